"""The values of the port refuse what could not be true."""

import pytest

from opitios.broker.alpaca.endpoints import LIVE, PAPER, sandbox_endpoint
from opitios.broker.port import Credentials, Endpoint


@pytest.mark.parametrize("odd", ["", "two words", "a\r\nX-Evil: 1", "ü", "\x00"])
def test_a_key_that_could_break_a_header_is_refused_without_being_shown(odd: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as caught:
        Credentials("PK1", odd)

    assert odd == "" or odd not in str(caught.value)


@pytest.mark.parametrize(
    "odd",
    [
        "https://api.alpaca.markets/",
        "https://api.alpaca.markets/v2",
        "api.alpaca.markets",
        "ftp://api.alpaca.markets",
        "https://user:pass@api.alpaca.markets",
        "https://",
        "https://host?x",
    ],
)
def test_a_broker_url_is_an_origin(odd: str) -> None:
    with pytest.raises(ValueError, match="broker URL"):
        Endpoint("paper", odd, "https://data.alpaca.markets", "wss://x/stream", "wss://x")


def test_a_stream_url_is_a_websocket() -> None:
    with pytest.raises(ValueError, match="ws://"):
        Endpoint(
            "paper", "https://a.example", "https://b.example", "https://c.example/stream", "wss://x"
        )


def test_the_known_endpoints_are_alpacas() -> None:
    assert PAPER.trading_url == "https://paper-api.alpaca.markets"
    assert PAPER.stream_url == "wss://paper-api.alpaca.markets/stream"
    assert LIVE.trading_url == "https://api.alpaca.markets"
    assert LIVE.stream_url == "wss://api.alpaca.markets/stream"
    assert sandbox_endpoint("http://127.0.0.1:8092").stream_url == "ws://127.0.0.1:8092/stream"
