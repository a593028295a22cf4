"""What looks like one request to one reader and like two to another (H133, H137)."""

import json

import pytest

from tests.api.calls import GOOD
from tests.hostile.corpus import untouched
from tests.hostile.wire import Target, head, refused

pytestmark = pytest.mark.django_db

ORDER = json.dumps(GOOD).encode()
# Where it is hidden in a body, its answer would show that the body was read as a request.
HIDDEN = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: hidden-1\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER)
TE = "Transfer-Encoding: chunked"


def length(raw: bytes) -> str:
    return f"Content-Length: {len(raw)}"


AMBIGUOUS = {
    "CL.TE": ([length(HIDDEN), TE], b"0\r\n\r\n" + HIDDEN),
    "CL.TE, a byte left over": (["Content-Length: 6", TE], b"0\r\n\r\nG"),
    "CL.TE, an order": ([length(CHUNKED), TE], CHUNKED),
    "TE.CL": ([TE, "Content-Length: 4"], b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
    "TE.CL, an order": ([TE, "Content-Length: 3"], CHUNKED),
    "TE.TE": ([TE, "Transfer-Encoding: identity"], CHUNKED),
    "TE.TE reversed": (["Transfer-Encoding: identity", TE, length(ORDER)], ORDER + HIDDEN),
    "TE list": (["Transfer-Encoding: chunked, identity"], CHUNKED),
    "TE xchunked": (["Transfer-Encoding: xchunked", length(ORDER)], ORDER + HIDDEN),
    "TE identity": (["Transfer-Encoding: identity", length(ORDER)], ORDER + HIDDEN),
    "TE before a space": (["Transfer-Encoding : chunked", length(ORDER)], CHUNKED + HIDDEN),
    "TE folded": (["Transfer-Encoding:\r\n chunked", length(ORDER)], CHUNKED),
    "TE after a vertical tab": (["Transfer-Encoding: \x0bchunked", length(ORDER)], CHUNKED),
    "TE quoted": (['Transfer-Encoding: "chunked"', length(ORDER)], ORDER),
    "CL twice, unlike": ([length(ORDER), "Content-Length: 0"], ORDER),
    "CL list": ([f"{length(ORDER)}, {len(ORDER)}"], ORDER),
    "CL list, unlike": ([f"{length(ORDER)}, 0"], ORDER),
    "CL plus": ([f"Content-Length: +{len(ORDER)}"], ORDER),
    "CL minus": (["Content-Length: -1"], ORDER),
    "CL hex": ([f"Content-Length: {len(ORDER):#x}"], ORDER),
    "CL with a point": ([f"{length(ORDER)}.0"], ORDER),
    "CL beyond 64 bits": (["Content-Length: 18446744073709551617"], ORDER),
    "CL in full-width digits": (["Content-Length: \xef\xbc\x91"], ORDER),
    "a line end in a name": (["X-A\r: b", length(ORDER)], ORDER),
    "NUL in a value": (["X-A: a\x00b", length(ORDER)], ORDER),
    "an empty name": ([": b", length(ORDER)], ORDER),
}


@pytest.mark.parametrize(("lines", "body"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_h133_a_body_of_two_lengths_is_refused_and_nothing_in_it_is_answered(
    target: Target, lines: list[str], body: bytes
) -> None:
    request = target.place(*lines)

    with untouched(target.account):
        answers = target.exchange(request, body)

    # The connection ends there: what follows on it is read by nobody.
    assert len(answers) == 1
    assert refused(answers[0])


def test_h133_lengths_that_agree_are_one_length(target: Target) -> None:
    answers = target.exchange(target.place(length(ORDER), length(ORDER)), ORDER)

    assert [answer.status for answer in answers] == [202, 200]
    assert answers[1].is_goodbye


IN_CHUNKS = {
    "plain": CHUNKED,
    "an extension": b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER),
    "a long extension": b"%x;%s\r\n%s\r\n0\r\n\r\n" % (len(ORDER), b"a" * 60_000, ORDER),
    "an extension with a line end": b"%x;\n\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER),
    "many chunks": b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in ORDER) + b"0\r\n\r\n",
    "a length that is none": b"zz\r\n" + ORDER,
    "a length beyond 64 bits": b"f" * 17 + b"\r\n" + ORDER,
    "trailers": b"%x\r\n%s\r\n0\r\nContent-Length: 3\r\n\r\n" % (len(ORDER), ORDER),
    "many trailers": CHUNKED[:-2] + b"X-A: b\r\n" * 5000 + b"\r\n",
}


@pytest.mark.parametrize("body", IN_CHUNKS.values(), ids=IN_CHUNKS)
def test_h137_a_body_in_chunks_is_refused(target: Target, body: bytes) -> None:
    request = target.place(TE)

    with untouched(target.account):
        answers = [each for each in target.exchange(request, body) if not each.is_goodbye]

    assert len(answers) == 1
    assert answers[0].json()["detail"] == "Send the body with its Content-Length, not in chunks."
    assert refused(answers[0])


def test_h137_pipelined_requests_are_answered_in_order_each_for_its_own_token(
    target: Target,
) -> None:
    paths = [(target.orders, target.bearer), (target.orders, "X: y"), ("/nowhere", target.bearer)]
    requests = [head("GET", path, line) for path, line in paths * 10]

    *answers, last = target.exchange(*requests)

    assert [answer.status for answer in answers] == [200, 401, 404] * 10
    assert last.is_goodbye


def test_h137_a_body_that_was_not_read_is_no_request(target: Target) -> None:
    request = target.place(length(HIDDEN), bearer=False)

    answers = target.exchange(request, HIDDEN)

    assert answers[0].status == 401
    assert all(answer.is_goodbye for answer in answers[1:])


@pytest.mark.parametrize("expected", ["100-continue", "100-Continue", "200-ok", "x" * 5000])
def test_h137_expect_is_refused_without_the_body(target: Target, expected: str) -> None:
    request = target.place(length(ORDER), f"Expect: {expected}", bearer=False)

    answers = target.exchange(request, goodbye=False)

    assert [answer.status for answer in answers] == [401]


OTHER_PROTOCOLS = {
    "HTTP/0.9": b"GET /api/v1/health\r\n\r\n",
    "HTTP/0.9 without a line end": b"GET /\n",
    "HTTP/2.0 by word": b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "HTTP/1.9": b"GET / HTTP/1.9\r\nHost: localhost\r\n\r\n",
    "HTTP/11": b"GET / HTTP/11\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"x" * 200,
    "SSH": b"SSH-2.0-x\r\n",
    "SIP": b"OPTIONS sip:x SIP/2.0\r\n\r\n",
    "PROXY": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "Redis": b"*1\r\n$7\r\nCONFIG\r\n",
    "nothing but bytes": bytes(range(256)) * 4,
    "carriage returns alone": b"GET / HTTP/1.1\rHost: localhost\r\r\n\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path with a space": b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("raw", OTHER_PROTOCOLS.values(), ids=OTHER_PROTOCOLS)
def test_h137_what_is_not_http_1_ends_the_connection(target: Target, raw: bytes) -> None:
    answers = target.exchange(raw)

    assert [(answer.status, answer.body) for answer in answers] in ([], [(400, b"")])
