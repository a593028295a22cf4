"""Tokens of odd shapes and in odd places (H033, H035, H037, H038)."""

from typing import Any

import pytest

from accounts.tokens import MAX_TOKEN_BYTES
from tests.accounts.issuer import part, token
from tests.api.calls import Api, read
from tests.hostile.corpus import in_every_case, refused, untouched
from tests.hostile.forgeries import all_refused, good, ring, use

pytestmark = pytest.mark.django_db

PATHS = ("/api/v1/token", "/api/v1/accounts")


@pytest.fixture(autouse=True)
def keys(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring with a key of every kind."""
    use(monkeypatch, ring())


def padded(api: Api, size: int) -> str:
    """A good token of so many bytes, or one more where base64 has no such length."""
    pad = (size - len(token(good(api, pad="")))) * 3 // 4
    return next(
        made
        for more in range(-3, 6)
        if len(made := token(good(api, pad="x" * (pad + more)))) >= size
    )


def test_h033_longer_than_eight_kilobytes(api: Api) -> None:
    longest = padded(api, MAX_TOKEN_BYTES - 2)
    assert len(longest) <= MAX_TOKEN_BYTES
    assert api.get(Authorization=f"Bearer {longest}").status_code == 200
    sizes = [MAX_TOKEN_BYTES + more for more in range(1, 16)] + [9_000, 10_000, 20_000, 65_536,
             100_000, 1_000_000]  # fmt: skip
    cases = [padded(api, size) for size in sizes] + ["x" * 1_000_000, "." * 10_000]

    all_refused(api, cases)


def test_h035_padding_whitespace_and_dots(api: Api) -> None:
    made = token(good(api))
    head, body, signature = made.split(".")
    cases = [
        f"{made}=", f"{made}==", f"{head}=.{body}.{signature}", f"{head}.{body}==.{signature}",
        f"{head} .{body}.{signature}", f"{head}. {body}.{signature}", f"{made}\n",
        f"{head}\n.{body}.{signature}", f"{made}\r\n", f"{made}\0", f"\0{made}", f"\ufeff{made}",
        f"{head}.{body}.{signature}.", f".{made}", "." * 1000, "..", ".", "",
        f"{head}..{signature}",
        f"{head}.{body}", head, f"{made}.{signature}", f"{head}..{body}.{signature}",
        made.replace(".", "．"), made.replace(".", ","), f"{head}%2e{body}%2e{signature}",
        f'"{made}"', f"'{made}'", f"<{made}>", f"{head}\t.{body}.{signature}", made[::-1],
        f"{made}\u200b", made.upper(), f"{part(b'x')}.{part(b'x')}.{part(b'x')}",
    ]  # fmt: skip

    all_refused(api, cases)


def test_h037_authorization_headers_that_are_no_single_bearer(api: Api) -> None:
    made, other = token(good(api)), token(good(api, jti="other"))
    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
        assert api.get(Authorization=f"{scheme} {made}").status_code == 200
    headers = [
        f"Bearer {made}, Bearer {other}", f"Bearer {made},Bearer {made}", f"Bearer {made}, {made}",
        f"Bearer {made},", f",Bearer {made}", f"Basic x, Bearer {made}", f"Bearer {made}, Basic x",
        f"Bearer Bearer {made}", f"Bearer token={made}", f"Bearer {made} {other}", f"Basic {made}",
        f"Token {made}", f"JWT {made}", f"Digest {made}", f"Bearer\t{made}", f"Bearer:{made}",
        f"Bearer={made}", f"Bearer{made}", made, "Bearer", "Bearer ", "", " ", f"DPoP {made}",
        f"Bearer\n{made}", f"ｂearer {made}", f"Bearer {made};x", f"\0Bearer {made}",
    ]  # fmt: skip
    known = api.get(Authorization="Bearer a.b.c", X_Request_ID="the-same").content

    def is_refused(header: str) -> None:
        # The client leaves an empty header out; a server does not.
        about: dict[str, Any] = {"HTTP_AUTHORIZATION": header, "HTTP_X_REQUEST_ID": "the-same"}
        answer: Any = api.client.get(api.orders, **about)
        refused(answer, 401)
        assert answer.content == known

    with untouched(api.account):
        in_every_case(headers, is_refused)


def test_h038_a_token_where_none_belongs(api: Api) -> None:
    made = token(good(api))
    queries = [f"{name}={made}" for name in ("token", "access_token", "jwt", "authorization",
               "Authorization", "bearer", "auth", "id_token")]  # fmt: skip
    headers: list[dict[str, str]] = [
        {"HTTP_X_AUTH_TOKEN": made}, {"HTTP_X_ACCESS_TOKEN": made}, {"HTTP_X_AUTHORIZATION": made},
        {"HTTP_PROXY_AUTHORIZATION": f"Bearer {made}"}, {"HTTP_X_API_KEY": made},
        {"HTTP_SEC_WEBSOCKET_PROTOCOL": f"bearer, {made}"}, {"HTTP_X_JWT_ASSERTION": made},
        {"HTTP_X_FORWARDED_AUTHORIZATION": f"Bearer {made}"}, {"HTTP_TOKEN": made},
        {"HTTP_COOKIE": f"token={made}"}, {"HTTP_COOKIE": f"access_token={made}"},
        {"HTTP_COOKIE": f"Authorization=Bearer {made}"}, {"HTTP_COOKIE": f"sessionid={made}"},
    ]  # fmt: skip
    cases: list[tuple[str, dict[str, str]]] = [("", each) for each in headers]
    cases += [(f"?{query}", {}) for query in queries]
    known = refused(api.get(api.orders, Authorization=""), 401)["detail"]

    def is_nobody(case: tuple[str, dict[str, str]]) -> None:
        query, given = case
        for path in (*PATHS, api.orders):
            answer: Any = api.client.get(path + query, **given)  # type: ignore[arg-type] # headers
            assert refused(answer, 401, hides=[made])["detail"] == known

    with untouched(api.account):
        in_every_case(cases, is_nobody)
    assert read(api.get("/api/v1/token", Authorization=f"Bearer {made}"))["subject"] == "bot-7"
