"""An order meets a broker that misbehaves: it is sent once, and the error says what may follow."""

import gzip

import pytest

from opitios.broker.errors import AccessDenied, NotSent, OutcomeUnknown, Throttled
from tests.broker.conftest import BRIEF, BrokerStarter, TradingAt
from tests.broker.loopback import (
    Behaviour,
    answering,
    answering_then_closing,
    dripping,
    hanging,
    http,
    resetting,
)
from tests.support.crowd import Stopwatch

ORDER = {"symbol": "AAPL", "qty": "1", "side": "buy", "client_order_id": "op1-1"}
HTML = b"<html>bad gateway</html>"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HUGE = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n"
ENDLESS_CHUNKS = CHUNKED + b"100000\r\n" + b"x" * 0x100000 + b"\r\n" + b"1\r\nx\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (hanging, "timeout"),
        (dripping(http(200, {"id": "1" * 200})), "timeout"),
        (dripping(CUT + b"{" * 500), "timeout"),
        (resetting, "reset"),
        (answering_then_closing(b""), "reset"),
        (answering_then_closing(CUT + b'{"id'), "reset"),
        (answering_then_closing(CHUNKED + b"5\r\n{"), "reset"),
        (answering_then_closing(b"HTTP/1.1 200 OK\r\n\r\n{"), "unparsable"),
        (answering(b"SSH-2.0-OpenSSH\r\n"), "unparsable"),
        (answering(http(200, b'{"id": 1}', Content_Encoding="gzip")), "unparsable"),
        (answering(http(200, gzip.compress(b"{}"))), "unparsable"),
        (answering(http(200, HTML, Content_Type="text/html")), "unparsable"),
        (answering(HUGE), "too-large"),
        (answering(ENDLESS_CHUNKS), "too-large"),
        (answering(http(302, b"", Location="http://127.0.0.1:1/")), "redirect"),
        (answering(http(502, HTML, Content_Type="text/html")), "http-5xx"),
        (answering(http(504)), "http-5xx"),
        (answering(http(103)), "unexpected-status"),
    ],
)
def test_an_order_without_a_certain_answer_is_unknown_and_was_sent_once(
    broker_that: BrokerStarter,
    trading_at: TradingAt,
    hasty_at: TradingAt,
    behaviour: Behaviour,
    reason: str,
) -> None:
    broker = broker_that(behaviour)
    trading = (hasty_at if reason == "timeout" else trading_at)(broker.origin)

    with Stopwatch() as took, pytest.raises(OutcomeUnknown) as caught:
        trading.submit_order(ORDER)

    assert caught.value.reason == reason
    broker.wait_for_requests(1)
    assert broker.posts() == 1
    assert took.is_within(BRIEF.submit + 0.5), took


def test_a_label_does_not_make_an_answer_unreadable(
    broker_that: BrokerStarter, trading_at: TradingAt
) -> None:
    broker = broker_that(answering(http(200, {"id": "1"}, Content_Type="text/plain")))

    answer = trading_at(broker.origin).submit_order(ORDER)

    assert answer.body == {"id": "1"}
    assert broker.posts() == 1


@pytest.mark.parametrize("seconds", [None, 3.0])
def test_a_throttled_order_is_not_sent_again(
    broker_that: BrokerStarter, trading_at: TradingAt, seconds: float | None
) -> None:
    headers = {} if seconds is None else {"Retry_After": f"{seconds:.0f}"}
    broker = broker_that(answering(http(429, {"message": "too many requests."}, **headers)))

    with pytest.raises(Throttled) as caught:
        trading_at(broker.origin).submit_order(ORDER)

    assert caught.value.retry_after_seconds == seconds
    assert broker.posts() == 1


def test_a_401_page_is_an_access_denied(broker_that: BrokerStarter, trading_at: TradingAt) -> None:
    broker = broker_that(answering(http(401, b"<html>401</html>", Content_Type="text/html")))

    with pytest.raises(AccessDenied) as caught:
        trading_at(broker.origin).submit_order(ORDER)

    assert caught.value.body is None
    assert caught.value.message == "the broker answered 401 with 16 bytes of text/html"


def test_a_closed_port_is_proof_that_nothing_was_sent(
    broker_that: BrokerStarter, trading_at: TradingAt
) -> None:
    broker = broker_that(hanging)
    broker.close()

    with pytest.raises(NotSent) as caught:
        trading_at(broker.origin).submit_order(ORDER)

    assert caught.value.reason == "no-connection"
    assert broker.posts() == 0


def test_a_name_that_does_not_resolve_is_proof_that_nothing_was_sent(trading_at: TradingAt) -> None:
    with pytest.raises(NotSent, match="NameResolutionError"):
        trading_at("http://broker.invalid").submit_order(ORDER)


def test_an_answer_after_an_error_is_not_mistaken_for_the_next_one(
    broker_that: BrokerStarter, trading_at: TradingAt
) -> None:
    late = http(500) + http(200, {"id": "somebody else's"})
    broker = broker_that(answering(late), answering(http(200, {"id": "2"})))
    trading = trading_at(broker.origin)

    with pytest.raises(OutcomeUnknown):
        trading.submit_order(ORDER)
    answer = trading.submit_order(ORDER)

    assert answer.body == {"id": "2"}
