"""Forged signatures, confused keys and headers that ask for others (H001 to H017, H036, H040)."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from accounts import checks, jwks, tokens
from accounts.tokenkeys import SECRET_BYTES, BadTokenKeys, Demands
from accounts.tokens import Verifier
from opitios.core.config import JwtKey
from tests.accounts.issuer import SECRET, pair, part, rsa_pair, token
from tests.accounts.jwks_server import JwksServer, jwk
from tests.api.calls import Api
from tests.hostile.corpus import MANY, in_every_case
from tests.hostile.forgeries import (
    HS,
    PUBLIC,
    SIGNERS,
    all_refused,
    by_hand,
    good,
    resigned,
    ring,
    signed_by,
    use,
)

pytestmark = pytest.mark.django_db

KIDS = ("hs", "rs", "ES256", "EdDSA", None)
DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
# The order of P-256's group.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture(autouse=True)
def keys(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring with a key of every kind."""
    use(monkeypatch, ring())


def named(alg: Any, kid: str | None) -> dict[str, Any]:
    """A header."""
    return {"alg": alg} if kid is None else {"alg": alg, "kid": kid}


def with_secrets(payload: Any, secrets: list[bytes]) -> Iterator[str]:
    """Tokens signed with each of these as shared secret, in the name of each key."""
    for secret in secrets:
        for kid in KIDS:
            for alg, digest in DIGESTS.items():
                yield by_hand(named(alg, kid), payload, secret, digest)


def test_h001_an_unsigned_token(api: Api) -> None:
    body = part(good(api))
    algs: list[Any] = ["none", "None", "nOnE", "NONE", "", None, 0, False, [], {}, ["none"], "null",
                       "none\0", " none", "hs256", "HS256 ", "HS1", "A128KW", "dir"]  # fmt: skip
    heads = [part(named(alg, kid)) for alg in algs for kid in KIDS]
    heads += [part({"kid": kid}) for kid in KIDS if kid]

    signatures = ("", part(b"\0" * 32), token(good(api)).rpartition(".")[2])
    all_refused(api, [f"{head}.{body}.{each}" for head in heads for each in signatures])


def test_h002_a_public_key_s_pem_as_shared_secret(api: Api) -> None:
    pems = [pem.encode() for pem in PUBLIC.values()]
    spelled = [pem.strip() for pem in pems] + [pem.replace(b"\n", b"\r\n") for pem in pems]
    bare = [b"".join(pem.splitlines()[1:-1]) for pem in pems]

    all_refused(api, with_secrets(good(api), pems + spelled + bare))


def test_h003_a_public_key_s_der_as_shared_secret(api: Api) -> None:
    loaded: list[Any] = [load_pem_public_key(pem.encode()) for pem in PUBLIC.values()]
    secrets = [key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in loaded]
    secrets += [loaded[0].public_bytes(Encoding.DER, PublicFormat.PKCS1)]
    secrets += [loaded[1].public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)]
    secrets += [loaded[2].public_bytes(Encoding.Raw, PublicFormat.Raw)]
    secrets += [json.dumps(jwk(SIGNERS[kid], pem)).encode() for kid, pem in PUBLIC.items()]

    all_refused(api, with_secrets(good(api), secrets))


def test_h004_an_empty_secret_or_one_of_a_byte(api: Api) -> None:
    weak = [b"", b"\0", b"\n", b"0", b"a", b"secret", b"hs", SECRET[:1].encode(), b"null"]

    all_refused(api, with_secrets(good(api), weak))


def test_h005_a_file_that_the_kid_names_as_secret(api: Api) -> None:
    paths = ["/dev/null", "/etc/hostname", "/etc/passwd", "/proc/sys/kernel/ostype", "manage.py"]
    cases = []
    for path in paths:
        content = b"" if path == "/dev/null" else Path(path).read_bytes()
        for kid in (path, f"../../../..{path}", f"file://{path}", f"{path}\0", f"~{path}"):
            cases += [by_hand(named("HS256", kid), good(api), each) for each in
                      (content, content.strip())]  # fmt: skip

    all_refused(api, cases)


def test_h006_algorithms_swapped(api: Api) -> None:
    payload, cases = good(api), []
    # Signed by one key, in the name of another.
    for kid in SIGNERS:
        cases += [resigned(named(alg, other), payload, kid) for other in KIDS for alg in
                  ("HS256", *SIGNERS.values()) if (other, alg) != (kid, SIGNERS[kid])]  # fmt: skip
    # The same key with another algorithm of its kind.
    for alg in ("RS384", "RS512", "PS256", "PS384", "PS512"):
        cases += [jwt.encode(payload, rsa_pair()[1], alg, {"kid": kid}) for kid in KIDS if kid]
    cases += [token(payload, header=HS | {"alg": alg}, digest=digest)
              for alg in DIGESTS for digest in DIGESTS.values()
              if (alg, digest) != ("HS256", hashlib.sha256)]  # fmt: skip

    all_refused(api, cases)


def test_h007_es256_with_r_and_s_of_nothing(api: Api) -> None:
    signed = signed_by("ES256", good(api)).rpartition(".")[0]
    odd = [0, 1, ORDER, ORDER - 1, ORDER + 1, 2**256 - 1]
    signatures = [r.to_bytes(32, "big") + s.to_bytes(32, "big") for r in odd for s in odd]
    signatures += [b"\0" * length for length in (1, 8, 63, 65, 72, 128)]
    signatures += [bytes.fromhex("3006020100020100"), bytes.fromhex("3006020101020101")]

    all_refused(api, [f"{signed}.{part(each)}" for each in signatures])


def test_h008_a_key_of_another_curve_or_a_point_off_it(api: Api) -> None:
    curves = [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1(), ec.BrainpoolP256R1(), ec.SECP256R1()]
    cases = []
    for curve in curves:
        other = ec.generate_private_key(curve)
        for number in range(5):
            signed = f"{part(named('ES256', 'ES256'))}.{part(good(api, jti=f'j{number}'))}"
            r, s = decode_dss_signature(other.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
            size = (curve.key_size + 7) // 8
            raw_pair = r.to_bytes(size, "big") + s.to_bytes(size, "big")
            cases.append(f"{signed}.{part(raw_pair)}")

    all_refused(api, cases)
    chance = random.Random(8)  # noqa: S311 - cases that repeat

    def is_left_out(point: tuple[str, str]) -> None:
        x, y = point
        odd = jwk("ES256", pair("ES256")[0]) | {"x": x, "y": y}
        with pytest.raises(jwks.NotRead):
            jwks.read_set(json.dumps({"keys": [odd]}).encode(), Demands())

    points = [(part(chance.randbytes(32)), part(chance.randbytes(32))) for _ in range(MANY)]
    in_every_case(points, is_left_out)


def _embedded() -> Iterator[tuple[dict[str, Any], str, str]]:
    """Keys of a stranger as a header shows them; the algorithm and what it signs with."""
    yield jwk("ES256", pair("ES256K")[0]), "ES256K", pair("ES256K")[1]
    yield jwk("ES384", pair("ES384")[0]), "ES384", pair("ES384")[1]
    yield jwk("RS256", rsa_pair(2056)[0]), "RS256", rsa_pair(2056)[1]


def test_h009_a_key_in_the_header(api: Api) -> None:
    payload, cases = good(api), []
    for key, alg, private in _embedded():
        for kid in ("hs", "rs", "ES256", "EdDSA", "own"):
            head = {"kid": kid, "jwk": key | {"kid": kid}}
            cases.append(jwt.encode(payload, private, alg, head))
    secret = {"kty": "oct", "k": part(b"x" * 32)}
    cases += [by_hand(named("HS256", kid) | {"jwk": secret}, payload, b"x" * 32) for kid in KIDS]
    # The ring's own signature does not make it better.
    cases += [signed_by(kid, payload, jwk=key) for kid in ("hs", *SIGNERS) for key in
              (secret, jwk("ES256", PUBLIC["ES256"]), {}, None)]  # fmt: skip

    all_refused(api, cases)


def test_h010_a_url_of_keys_in_the_header_is_not_visited(api: Api) -> None:
    private = rsa_pair(2056)[1]
    with JwksServer() as strangers:
        strangers.publish(jwk("RS256", rsa_pair(2056)[0], "own"))
        urls = [strangers.url, strangers.url + "#", f"{strangers.url}/../keys", "file:///etc/passwd",
                "http://169.254.169.254/", "", None, [strangers.url]]  # fmt: skip
        cases = [jwt.encode(good(api), private, "RS256", {"kid": kid, "jku": url})
                 for url in urls for kid in ("own", "rs")]  # fmt: skip
        cases += [signed_by(kid, good(api), jku=url) for url in urls for kid in ("hs", "ES256")]

        all_refused(api, cases)
        assert strangers.asked == 0


def test_h011_certificates_in_the_header_are_not_visited(api: Api) -> None:
    with JwksServer() as strangers:
        told: list[dict[str, Any]] = [
            {"x5u": strangers.url}, {"x5u": "file:///dev/null"}, {"x5u": None}, {"x5c": []},
            {"x5c": ["MIIB"]}, {"x5c": part(b"x")}, {"x5c": [strangers.url]},
        ]  # fmt: skip
        cases = [signed_by(kid, good(api), **head) for head in told for kid in ("hs", *SIGNERS)]

        all_refused(api, cases)
        assert strangers.asked == 0


def test_h012_an_odd_kid(api: Api) -> None:
    odd: list[Any] = [
        "", " ", "HS", "hs ", " hs", "hs\0", "hs\n", "ｈｓ", "nobody", "*", "%", "../hs", "./hs",
        "/etc/passwd", "' OR '1'='1", "hs'--", "hs; DROP TABLE x", "${hs}", "{{7*7}}", "$(id)",
        "http://127.0.0.1/k", "__proto__", "x" * 3000, None, 0, 1, True, ["hs"], {"hs": 1}, [], {},
    ]  # fmt: skip

    all_refused(api, [by_hand({"alg": "HS256", "kid": kid}, good(api), SECRET.encode())
                      for kid in odd])  # fmt: skip


def test_h013_a_critical_header_that_nobody_knows(api: Api) -> None:
    crit: list[Any] = [[], ["exp"], ["b64"], ["x"], ["alg", "kid"], "exp", None, 1, {}, [[]], True]

    all_refused(api, [signed_by(kid, good(api), crit=each, exp=1) for each in crit
                      for kid in ("hs", "rs", "EdDSA")])  # fmt: skip


def test_h014_a_payload_that_is_not_encoded(api: Api) -> None:
    values: list[Any] = [False, True, "false", 0, None, []]
    cases = [by_hand(HS | {"b64": each} | more, good(api), SECRET.encode())
             for each in values for more in ({}, {"crit": ["b64"]})]  # fmt: skip
    head, body, signature = token(good(api)).split(".")
    plain = json.dumps(good(api))
    cases += [f"{head}..{signature}", f"{head}.{plain}.{signature}", f"{head}.{body}",
              f"{head}.{part(part(plain))}.{signature}", f"{head}.{body}..{signature}",
              f"{part(HS | {'b64': False})}..{signature}", f"{body}.{body}.{signature}",
              f"{head}.{body[::-1]}.{signature}"]  # fmt: skip

    all_refused(api, cases)


def test_h015_encrypted_tokens_and_tokens_within_tokens(api: Api) -> None:
    inner = token(good(api))
    heads: list[dict[str, Any]] = [
        {"alg": alg, "enc": enc, "kid": "rs"} for alg in ("RSA-OAEP", "dir", "RS256", "ECDH-ES")
        for enc in ("A128GCM", "A256GCM", "A128CBC-HS256")
    ]  # fmt: skip
    cases = [".".join([part(head), *(part(b"x" * n) for n in (32, 12, 64, 16))]) for head in heads]
    cases += [".".join([part(head), part(good(api)), part(b"x" * 64)]) for head in heads]
    wrapped = [inner.encode(), json.dumps(inner).encode(), {"jwt": inner}, {"payload": inner}]
    cases += [by_hand(HS | more, body, SECRET.encode()) for body in wrapped
              for more in ({}, {"cty": "JWT"})]  # fmt: skip
    cases += [signed_by("hs", good(api), zip="DEF"), signed_by("rs", good(api), cty="jwt")]

    all_refused(api, cases)


def test_h016_a_token_of_another_type(api: Api) -> None:
    types: list[Any] = [
        "dpop+jwt", "id_token", "at+jwt", "application/at+jwt", "logout+jwt", "JOSE", "jwt", "Jwt",
        "JWT ", "application/jwt", "secevent+jwt", "", None, 0, True, ["JWT"], {"typ": "JWT"},
    ]  # fmt: skip
    cases = [by_hand(HS | {"typ": each}, good(api), SECRET.encode()) for each in types]
    cases += [signed_by("ES256", good(api), typ=each) for each in types[:11]]

    all_refused(api, cases)


def test_h017_a_refresh_or_id_token_as_an_access_token(api: Api) -> None:
    kinds: list[Any] = ["refresh", "id", "Access", "ACCESS", "access ", "sliding", "bearer", "",
                        None, 0, True, ["access"], {"access": 1}]  # fmt: skip
    cases = [token(json.dumps(good(api) | {name: each}).encode())
             for name in ("token_type", "token_use") for each in kinds]  # fmt: skip

    all_refused(api, cases)


def test_h036_a_signature_cut_flipped_or_in_other_letters(api: Api) -> None:
    chance, cases = random.Random(36), []  # noqa: S311 - as above
    for kid in ("hs", *SIGNERS):
        signed, _, signature = signed_by(kid, good(api)).rpartition(".")
        for _ in range(10):
            place = chance.randrange(len(signature) - 1)
            other = chance.choice([c for c in "ABCabc019-_" if c != signature[place]])
            cases.append(f"{signed}.{signature[:place]}{other}{signature[place + 1 :]}")
        cases += [f"{signed}.{signature[:cut]}" for cut in (1, len(signature) // 2, -1, -4)]
        cases += [f"{signed}.{signature}{more}" for more in ("A", "AA", "AAAA", signature, "=")]
        cases += [f"{signed}.{signature.swapcase()}", f"{signed}.{signature[::-1]}",
                  f"{signed}.{'A' * len(signature)}", f"{signed}.{signature[:-1]}+",
                  f"{signed}.{signature.replace('-', '+').replace('_', '/')}/"]  # fmt: skip

    all_refused(api, cases)


def test_h040_a_weak_secret_ends_the_start() -> None:
    weak = [("k" * length, alg) for alg, least in SECRET_BYTES.items()
            for length in (0, 1, 8, 16, 24, least - 2, least - 1)]  # fmt: skip
    weak += [(PUBLIC[kid], alg) for kid in PUBLIC for alg in SECRET_BYTES]

    def ends(case: tuple[str, str]) -> None:
        secret, alg = case
        with pytest.raises(BadTokenKeys) as caught:
            Verifier([JwtKey.model_validate({"kid": "weak", "alg": alg, "key": secret})])
        assert "'weak'" in str(caught.value)
        assert not secret or len(secret) < 16 or secret not in str(caught.value)

    in_every_case(weak, ends)


def test_h040_a_start_check_names_the_weak_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def weak() -> Verifier:
        return Verifier([JwtKey.model_validate({"kid": "weak", "alg": "HS256", "key": "k" * 31})])

    monkeypatch.setattr(checks, "verifier", weak)

    (found,) = checks.check_token_keys(None)

    assert found.id == "accounts.E002"
    assert "'weak'" in found.msg
    assert tokens.verifier().trusts("test")
