"""Tokens that no issuer of ours made, and the one answer all of them hear.

Import late from a conftest: Django is set up after conftests are read.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.http import HttpResponse

from accounts import gate
from accounts.tokenkeys import Demands
from accounts.tokens import EXPIRED, NOT_VALID, Verifier
from opitios.core.config import JwtKey
from streaming import auth
from streaming.protocol import Code, Refusal
from tests.accounts.issuer import (
    claims,
    hs256,
    pair,
    part,
    public_key,
    rs256,
    rsa_pair,
    token,
)
from tests.api.calls import Api
from tests.hostile.corpus import in_every_case, refused, untouched
from tests.hostile.strangers import FLEETING

HS = {"alg": "HS256", "typ": "JWT", "kid": "hs"}
# Each key of the ring: its kid, its algorithm, its private half.
SIGNERS = {"rs": "RS256", "ES256": "ES256", "EdDSA": "EdDSA"}
PUBLIC = {"rs": rsa_pair()[0], "ES256": pair("ES256")[0], "EdDSA": pair("EdDSA")[0]}
PRIVATE = {"rs": rsa_pair()[1], "ES256": pair("ES256")[1], "EdDSA": pair("EdDSA")[1]}


def ring() -> list[JwtKey]:
    """A key of every kind."""
    return [hs256(), rs256(), public_key("ES256"), public_key("EdDSA")]


def use(monkeypatch: pytest.MonkeyPatch, keys: list[JwtKey], **demands: Any) -> Verifier:
    """Let this process verify with these keys and demands, on requests and on sockets."""
    made = Verifier(keys, Demands(**demands))
    for module in (gate, auth):
        monkeypatch.setattr(module, "verifier", lambda: made)
    return made


def good(api: Api, **changed: Any) -> dict[str, Any]:
    """The claims of a token that may trade the account."""
    may = {"account_id": api.account, "permissions": ["account_read", "trade"]}
    return claims(**may | changed)


def signed_by(kid: str, payload: Any, **header: Any) -> str:
    """A token signed as the ring's own key would, with anything more in its header."""
    if kid == "hs":
        return token(payload, header=HS | header)
    headers = {"kid": kid, **header}
    return jwt.encode(payload, PRIVATE[kid], algorithm=SIGNERS[kid], headers=headers)


def by_hand(head: Any, payload: Any, secret: bytes, digest: Any = hashlib.sha256) -> str:
    """Any header and payload, signed with any bytes as shared secret."""
    signed = f"{part(head)}.{part(payload)}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), digest))}"


def resigned(head: Any, payload: Any, kid: str) -> str:
    """Any header, with a signature over it by a key of the ring, whatever the header says."""
    signed = f"{part(head)}.{part(payload)}"
    algorithm = jwt.get_algorithm_by_name(SIGNERS[kid])
    key = load_pem_private_key(PRIVATE[kid].encode(), None)
    return f"{signed}.{part(algorithm.sign(signed.encode(), key))}"


def raw(payload: dict[str, Any], name: str, text: str, *, kid: str = "hs") -> str:
    """A token one of whose claims is spelled exactly so."""
    body = json.dumps({**payload, name: "<here>"}).replace('"<here>"', text)
    return token(body.encode(), header=HS | {"kid": kid})


def lasting(answer: HttpResponse) -> dict[str, str]:
    """An answer's headers, but for those that tell the time and what a limit has left."""
    return {name: value for name, value in answer.items() if name not in FLEETING}


def answers(api: Api, authorization: str) -> Iterator[tuple[Any, ...]]:
    """What a reader and a trader hear: status, headers and body, but for the request's id."""
    about = {"Authorization": authorization, "X_Request_ID": "the-same"}
    for answer in (api.get(**about), api.place(**about)):
        refused(answer, 401, hides=[api.account])
        yield answer.status_code, lasting(answer), answer.content


def all_refused(api: Api, tokens: Iterable[str], *, detail: str = NOT_VALID) -> None:
    """Each of these tokens hears one and the same 401, on a request and on a socket.

    A good token is let in first: what is refused, is refused for what is wrong with it.
    """
    assert api.get(Authorization=f"Bearer {token(good(api))}").status_code == 200
    known = list(answers(api, "Bearer " + _reference(detail)))

    def check(odd: str) -> None:
        assert list(answers(api, f"Bearer {odd}")) == known
        with pytest.raises(Refusal) as caught:
            auth.verified(odd)
        assert (caught.value.code, caught.value.detail) == (Code.AUTH_FAILED, detail)

    with untouched(api.account):
        in_every_case(tokens, check)


def _reference(detail: str) -> str:
    if detail == NOT_VALID:
        return "a.b.c"
    assert detail == EXPIRED
    now = claims()["iat"]
    return token(claims(iat=now - 7200, exp=now - 3600))
