"""Quotes from the sandbox, through every layer: its words are Alpaca's."""

from collections.abc import Iterator

import pytest

from opitios.broker.alpaca.transport import Transport
from opitios.broker.port import Credentials
from opitios.core.errors import Problem, Reason
from tests.marketdata.brokers import WIRE, pooled
from tests.support.sandbox_process import SandboxProcess


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox of this file's own."""
    with SandboxProcess(tmp_path_factory.mktemp("quotes")) as process:
        yield process


@pytest.fixture
def transport() -> Iterator[Transport]:
    """The connections of one test."""
    made = Transport()
    yield made
    made.close()


def test_a_quote_has_every_key(sandbox: SandboxProcess, transport: Transport) -> None:
    from marketdata.quotes import Quotes  # noqa: PLC0415 - Django is set up by now
    from marketdata.routing import Router  # noqa: PLC0415

    sandbox.pin_price("AAPL", "187.20", "187.21")
    credentials = Credentials(sandbox.key("data_001"), sandbox.secret("data_001"))
    account = pooled("data_001", sandbox.url, credentials, transport)
    quotes = Quotes(Router(lambda: [account]))

    quote = quotes.latest(symbol="AAPL", feed="iex")

    assert set(quote) == {"symbol", *WIRE, "feed", "source", "age_ms"}
    assert (quote["bp"], quote["ap"], quote["source"]) == (187.2, 187.21, "broker")
    with pytest.raises(Problem) as caught:
        quotes.latest(symbol="ZZZZ", feed="iex")
    assert caught.value.reason is Reason.UNKNOWN_SYMBOL
