"""Heads that lie about where a request goes and whence it comes, or are as long as they can be.

H134–H136, H143–H145.
"""

import json

import pytest

from opitios.core import database
from tests.api.calls import GOOD
from tests.hostile.corpus import untouched
from tests.hostile.wire import Answer, Target, head, refused

pytestmark = pytest.mark.django_db

FORM = "Content-Type: application/x-www-form-urlencoded"


def first(target: Target, *parts: bytes) -> Answer:
    return target.exchange(*parts)[0]


POISONED = {
    "another name": "evil.example",
    "ours as a prefix": "localhost.evil.example",
    "ours as a suffix": "evil-localhost",
    "ours as a user": "localhost@evil.example",
    "ours as a port": "evil.example:localhost",
    "a list": "localhost,evil.example",
    "a list of ours": "localhost, localhost",
    "a path": "localhost/evil.example",
    "a query": "localhost?evil.example",
    "a quote": 'localhost"',
    "markup": "<script>alert(1)</script>",
    "nothing": "",
    "a space": "local host",
    "bytes": "\xff\xfe",
    "a wildcard": "*",
    "a domain": ".localhost",
    "an address": "169.254.169.254",
    "the address in one number": "2130706433",
    "the address in hex": "0x7f000001",
    "an address of IPv6 that is none": "[::1",
    "very long": "a" * 10_000,
}  # fmt: skip


@pytest.mark.parametrize("host", POISONED.values(), ids=POISONED)
def test_h134_another_host_is_refused_on_calls_and_pages_alike(target: Target, host: str) -> None:
    for path in (target.orders, "/", "/admin/", "/admin/login/", "/api/docs", "/nowhere"):
        answer = first(target, head("GET", path, target.bearer, host=host))

        assert refused(answer), path
        assert answer.body == b"" or answer.json()["errors"][0]["field"] == "Host"
        assert b"evil" not in answer.body
        assert "location" not in answer.headers


def test_h134_two_hosts_are_refused_even_where_both_are_ours(target: Target) -> None:
    for second in ("evil.example", "localhost"):
        assert refused(first(target, head("GET", target.orders, target.bearer, f"Host: {second}")))


def test_h134_who_names_no_host_is_refused_but_may_ask_whether_we_live(target: Target) -> None:
    raw = f"GET {target.orders} HTTP/1.1\r\n{target.bearer}\r\n\r\n".encode()

    assert refused(first(target, raw))
    for path in ("/health/live", "/health/ready"):
        assert first(target, f"GET {path} HTTP/1.1\r\n\r\n".encode()).status == 200


def test_h134_an_absolute_uri_leads_nowhere_but_here(target: Target) -> None:
    for uri in (
        "http://evil.example",
        "http://169.254.169.254",
        "ftp://localhost",
        "//evil.example",
    ):
        raw = f"GET {uri}/latest/meta-data HTTP/1.1\r\n\r\n".encode()
        assert refused(first(target, raw)), uri
    answer = first(target, head("GET", "http://evil.example/admin/"))
    assert (answer.status, answer.headers["location"]) == (302, "/admin/login/?next=/admin/")


def test_h134_nothing_is_fetched_for_anybody(target: Target) -> None:
    assert target.exchange(head("CONNECT", "evil.example:443"), goodbye=False) == []


FORWARDED = [
    "X-Forwarded-For: 10.9.8.7", "X-Forwarded-For: 10.9.8.7, 127.0.0.1",
    "X_Forwarded_For: 10.9.8.7", "x_forwarded-for: 10.9.8.7", "X-Real-IP: 10.9.8.7",
    "Forwarded: for=10.9.8.7", "Client-IP: 10.9.8.7",
    "True-Client-IP: 10.9.8.7", "CF-Connecting-IP: 10.9.8.7", "Remote-Addr: 10.9.8.7",
    "REMOTE_ADDR: 10.9.8.7", "Via: 1.1 10.9.8.7",
]  # fmt: skip


@pytest.mark.parametrize("line", FORWARDED)
def test_h135_a_stranger_does_not_say_whence_it_comes(target: Target, line: str) -> None:
    order = json.dumps(GOOD).encode()

    answer = first(target, target.place(line, f"Content-Length: {len(order)}"), order)

    assert answer.status == 202
    found = database.row(
        "SELECT body FROM accounts_journalentry WHERE account_id = %s ORDER BY seq DESC LIMIT 1",
        [target.account],
    )
    assert found is not None
    assert "127.0.0.1" in str(found["body"])
    assert "10.9.8.7" not in str(found["body"])


@pytest.mark.parametrize(
    "line",
    ["X-Forwarded-Proto: https", "X_Forwarded_Proto: https", "X-Forwarded-Ssl: on",
     "X-Forwarded-Host: evil.example", "X_Forwarded_Host: evil.example", "X-Host: evil.example",
     "Forwarded: host=evil.example;proto=https", "X-Forwarded-Port: 444",
     "X-Forwarded-Prefix: /evil", "X-Forwarded-Server: evil.example", "Script-Name: /evil"],
)  # fmt: skip
def test_h135_a_stranger_does_not_say_how_it_came(target: Target, line: str) -> None:
    answer = first(target, head("GET", "/admin/", line))

    assert (answer.status, answer.headers["location"]) == (302, "/admin/login/?next=/admin/")
    # Sent to those alone who came over TLS.
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(
    "line",
    ["Authorization_: {0}", "authorization_: {0}", "X-Authorization: {0}",
     "Proxy-Authorization: {0}", "X-Original-Authorization: {0}", "HTTP_AUTHORIZATION: {0}",
     "Cookie: Authorization={0}"],
)  # fmt: skip
def test_h135_a_token_in_another_header_is_none(target: Target, line: str) -> None:
    given = line.format(f"Bearer {target.token}")

    assert first(target, head("GET", target.orders, given)).status == 401


@pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override"])
def test_h135_a_header_leads_to_no_other_path(target: Target, name: str) -> None:
    answer = first(target, head("GET", "/health/live", target.bearer, f"{name}: {target.orders}"))

    assert answer.json() == {"status": "alive"}


LONG = {
    "a header of 64 KB": ["X-A: " + "a" * 65_536],
    "a header of 1 MB": ["X-A: " + "a" * 1_000_000],
    "a name of 64 KB": ["X-" + "a" * 65_536 + ": b"],
    "a thousand headers": [f"X-{number}: a" for number in range(1000)],
    "a header a thousand times": ["X-A: b"] * 1000,
    "101 headers": [f"X-{number}: a" for number in range(100)],
    "a token of 64 KB": ["Authorization: Bearer " + "a" * 65_536],
    "thousands of cookies": ["Cookie: " + "; ".join(f"c{number}=x" for number in range(10_000))],
    "a session of 50 KB": ["Cookie: sessionid=" + "x" * 50_000],
}


@pytest.mark.parametrize("lines", LONG.values(), ids=LONG)
@pytest.mark.parametrize("path", ["/admin/", "/api/v1/accounts"])
def test_h136_a_head_too_long_is_refused_by_the_server(
    target: Target, lines: list[str], path: str
) -> None:
    answers = target.exchange(head("GET", path, *lines))

    # With most of it unread the connection may be reset before its answer is seen.
    assert [answer.status for answer in answers] in ([431], [400], [])
    assert all(map(refused, answers))


def test_h136_a_path_too_long_is_refused(target: Target) -> None:
    assert first(target, head("GET", "/" + "a" * 20_000)).status == 404
    answers = target.exchange(head("GET", "/" + "a" * 70_000))
    assert [answer.status for answer in answers] in ([414], [431], [])


@pytest.mark.parametrize("size", [8 * 1024 + 1, 16 * 1024, 30_000])
def test_h136_a_token_over_8_kb_is_401_as_far_as_the_server_lets_it_through(
    target: Target, size: int
) -> None:
    answer = first(target, head("GET", target.orders, "Authorization: Bearer " + "a" * size))

    assert answer.status == 401
    assert refused(answer)


COOKIES = [
    "sessionid=" + "x" * 20_000, "; ".join(f"c{number}=x" for number in range(2000)), ";" * 20_000,
    "=" * 20_000, 'sessionid="' + "\\" * 20_000, "sessionid=../../etc/passwd", "sessionid=\xff\xfe",
    "sessionid=" + "%00" * 5000, "csrftoken=" + "a" * 20_000, "csrftoken=<script>",
    "messages=" + "W1siX19qc29uX21lc3NhZ2UiLDAsMjAsImEiXV0:x" * 100, "sessionid", "a" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("cookie", COOKIES, ids=range(len(COOKIES)))
def test_h136_odd_cookies_sign_nobody_in(target: Target, cookie: str) -> None:
    answer = first(target, head("GET", "/admin/", f"Cookie: {cookie}"))

    assert (answer.status, answer.headers["location"]) == (302, "/admin/login/?next=/admin/")


RANGES = [
    "bytes=0-1", "bytes=-1", "bytes=5-1", "bytes=" + "0-0," * 5000, "bytes=-99999999999999999999",
    "bytes=99999999999999999999-", "lines=1-2", "bytes=a-b", "", "bytes=0-18446744073709551616",
]  # fmt: skip


@pytest.mark.parametrize("asked", RANGES, ids=range(len(RANGES)))
def test_h143_a_range_gives_no_more_than_the_whole(target: Target, asked: str) -> None:
    line = f"Range: {asked}"
    whole = len(first(target, head("GET", "/static/admin/css/base.css")).body)

    call = first(target, head("GET", "/api/v1/token", target.bearer, line))
    file = first(target, head("GET", "/static/admin/css/base.css", line))

    assert call.status == 200
    assert call.json()["accounts"] == [target.account]
    assert file.status in {200, 206, 416}
    assert len(file.body) <= whole


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "file://", "http://localhost"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "PUT", "X"])
def test_h144_no_page_of_another_origin_is_let_in(target: Target, origin: str, method: str) -> None:
    asked = f"Access-Control-Request-Method: {method}"
    names = "Access-Control-Request-Headers: authorization,content-type,idempotency-key"
    lines = (f"Origin: {origin}", asked, names, "Access-Control-Request-Private-Network: true")

    for path in (f"{target.orders}/stocks", "/api/v1/accounts/reload", "/nowhere"):
        answer = first(target, head("OPTIONS", path, *lines))

        assert refused(answer)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    read = first(target, head("GET", target.orders, target.bearer, f"Origin: {origin}"))
    assert not [name for name in read.headers if name.startswith("access-control-")]


FORGED = {
    "nothing": ([], ""),
    "a field without its cookie": ([], "csrfmiddlewaretoken=" + "a" * 64),
    "a cookie without its field": (["Cookie: csrftoken=" + "a" * 32], ""),
    "both of our own making": (["Cookie: csrftoken=short"], "csrfmiddlewaretoken=short"),
    "both, unlike": (["Cookie: csrftoken=" + "a" * 32], "csrfmiddlewaretoken=" + "b" * 32),
    "as a header": (["X-CSRFToken: " + "a" * 32], ""),
    "both right, from another page": (
        ["Cookie: csrftoken=" + "a" * 32, "Origin: https://evil.example"],
        "csrfmiddlewaretoken=" + "a" * 32,
    ),
    "both right, from no page": (
        ["Cookie: csrftoken=" + "a" * 32, "Origin: null"],
        "csrfmiddlewaretoken=" + "a" * 32,
    ),
}


@pytest.mark.parametrize(("lines", "field"), FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("path", ["/admin/login/", "/admin/logout/", "/admin/accounts/account/"])
def test_h145_a_form_of_another_page_is_refused(
    target: Target, path: str, lines: list[str], field: str
) -> None:
    form = f"username=admin&password=admin&{field}".encode()

    with untouched(target.account):
        answer = first(
            target, head("POST", path, FORM, f"Content-Length: {len(form)}", *lines), form
        )

    assert answer.status == 403
    assert "sessionid" not in answer.headers.get("set-cookie", "")
