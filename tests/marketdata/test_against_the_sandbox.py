"""Every kind of market data from the sandbox, through every layer: its words are Alpaca's."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from opitios.broker.alpaca.transport import Transport
from opitios.broker.port import Credentials
from opitios.core import clock
from sandbox.contracts import chain, expirations
from sandbox.universe import LISTED
from tests.marketdata.brokers import WIRE, pooled
from tests.marketdata.calls import ask_path
from tests.support.sandbox_process import SandboxProcess

if TYPE_CHECKING:
    from marketdata.sources import Sources

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox of this file's own."""
    with SandboxProcess(tmp_path_factory.mktemp("prices")) as process:
        yield process


@pytest.fixture
def transport() -> Iterator[Transport]:
    """The connections of one test."""
    made = Transport()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def sources(
    sandbox: SandboxProcess, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> "Sources":
    """A process whose one data account is the sandbox's."""
    from marketdata import api  # noqa: PLC0415 - Django is set up by now
    from marketdata.routing import Router  # noqa: PLC0415
    from marketdata.shared import Shared  # noqa: PLC0415
    from marketdata.sources import Sources  # noqa: PLC0415
    from opitios.core.bus import Bus  # noqa: PLC0415

    credentials = Credentials(sandbox.key("data_001"), sandbox.secret("data_001"))
    account = pooled("data_001", sandbox.url, credentials, transport)
    made = Sources(Router(lambda: [account]), Shared(Bus("redis://127.0.0.1:1/0")))
    monkeypatch.setattr(api, "get_sources", lambda: made)
    return made


def read(path: str) -> Any:
    """The body of a path that answers."""
    answered = ask_path(path)
    assert answered.status == 200, answered.body
    return answered.body


def a_contract() -> str:
    """A contract on Apple that lives for weeks."""
    today = clock.now().date()
    return next(
        each.symbol
        for each in chain(LISTED["AAPL"], today)
        if each.expires_on > expirations(today)[3]
    )


def test_a_quote_has_every_key(sandbox: SandboxProcess) -> None:
    sandbox.pin_price("AAPL", "187.20", "187.21")

    quote = read("stocks/quote/AAPL")

    assert set(quote) == {"symbol", *WIRE, "feed", "source", "age_ms"}
    assert (quote["bp"], quote["ap"], quote["source"]) == (187.2, 187.21, "broker")
    assert ask_path("stocks/quote/ZZZZ").body["reason"] == "unknown-symbol"


def test_a_batch_names_the_symbols_that_failed_and_why() -> None:
    told = read("stocks/quotes?symbols=SPY,ZZZZ,MSFT")

    assert list(told["quotes"]) == ["SPY", "MSFT"]
    assert {key: each["reason"] for key, each in told["errors"].items()} == {
        "ZZZZ": "unknown-symbol"
    }
    assert told["quotes"]["SPY"]["symbol"] == "SPY"
    nothing = ask_path("stocks/quotes?symbols=ZZZZ,ZZZY")
    assert (nothing.status, nothing.body["reason"]) == (404, "unknown-symbol")


def test_a_trade_and_a_snapshot_have_alpacas_keys() -> None:
    trade = read("stocks/trade/SPY?feed=sip")
    snapshot = read("stocks/snapshot/SPY")
    both = read("stocks/snapshots?symbols=SPY,QQQ")

    assert set(trade) == {*"tpsxciz", "symbol", "feed", "source", "age_ms"}
    assert trade["feed"] == "sip"
    assert {"latestTrade", "latestQuote", "minuteBar", "dailyBar", "prevDailyBar"} <= set(snapshot)
    assert set(both["snapshots"]) == {"SPY", "QQQ"}


def test_bars_come_in_pages_and_span_a_year_unless_told() -> None:
    first = read("stocks/bars/AAPL?limit=200")
    rest = read(f"stocks/bars/AAPL?limit=200&page_token={first['next_page_token']}")

    assert (first["symbol"], first["timeframe"], first["feed"]) == ("AAPL", "1Day", "iex")
    assert len(first["bars"]) == 200
    assert 40 < len(rest["bars"]) < 60
    assert rest["next_page_token"] is None
    assert set(first["bars"][0]) == {*"tohlcvn", "vw"}
    again = read("stocks/bars/AAPL?limit=200")
    assert (again["source"], again["bars"]) == ("cache", first["bars"])
    hours = read("stocks/bars/AAPL?timeframe=1H&sort=desc&limit=3")
    assert hours["timeframe"] == "1Hour"
    assert [bar["t"] for bar in hours["bars"]] == sorted(
        (bar["t"] for bar in hours["bars"]), reverse=True
    )
    assert ask_path("stocks/bars/ZZZZ").body["reason"] == "unknown-symbol"


def test_a_chain_has_greeks_and_only_what_was_asked_for(sandbox: SandboxProcess) -> None:
    told = read("options/chain/AAPL?type=put&strike_price_gte=180&strike_price_lte=190&limit=7")

    assert len(told["snapshots"]) == 7
    assert told["next_page_token"]
    for symbol, each in told["snapshots"].items():
        assert symbol[10] == "P"
        assert set(each["greeks"]) == {"delta", "gamma", "theta", "vega", "rho"}
    assert read("options/chain/QWXYZ")["snapshots"] == {}


def test_options_have_quotes_and_contracts() -> None:
    symbol = a_contract()

    quote = read(f"options/quote/{symbol}")
    both = read(f"options/quotes?symbols={symbol},AAPL200117C00190000")
    listed = read("options/contracts?underlying_symbols=AAPL&limit=3")

    assert (quote["symbol"], quote["feed"]) == (symbol, "indicative")
    assert (list(both["quotes"]), list(both["errors"])) == ([symbol], ["AAPL200117C00190000"])
    assert len(listed["option_contracts"]) == 3
    assert read(f"options/contracts?limit=3&page_token={listed['next_page_token']}")


def test_assets_clock_and_calendar_are_alpacas_with_their_age() -> None:
    asset = read("assets/AAPL")
    listed = read("assets?exchange=ARCA")["assets"]
    hours = read("clock")
    days = read("calendar?start=2026-11-23&end=2026-11-27")["calendar"]

    assert (asset["symbol"], asset["tradable"], asset["source"]) == ("AAPL", True, "broker")
    assert {each["exchange"] for each in listed} == {"ARCA"}
    assert (hours["is_open"], set(hours) >= {"timestamp", "next_open", "age_ms"}) == (True, True)
    assert [day["date"][-2:] for day in days] == ["23", "24", "25", "27"]
    assert ask_path("assets/ZZZZ").body["reason"] == "unknown-symbol"


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("stocks/quotes", 400, "symbols"),
        ("stocks/quotes?symbols=AAPL,aapl", 400, "symbols[1]"),
        (
            "stocks/quotes?symbols="
            + ",".join(f"A{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(101)),
            400,
            "symbols",
        ),
        ("stocks/trade/AAPL?feed=otc", 400, "feed"),
        ("stocks/bars/AAPL?timeframe=60Min", 422, "timeframe"),
        ("stocks/bars/AAPL?timeframe=5Month", 422, "timeframe"),
        ("stocks/bars/AAPL?timeframe=24Hour", 422, "timeframe"),
        ("stocks/bars/AAPL?start=2024-01-01&end=2025-06-01", 422, "start"),
        ("stocks/bars/AAPL?start=2025-06-02&end=2025-06-01", 422, "end"),
        ("stocks/bars/AAPL?start=2999-01-01", 422, "start"),
        ("stocks/bars/AAPL?start=yesterday", 422, "start"),
        ("stocks/bars/AAPL?limit=10001", 422, "limit"),
        ("stocks/bars/AAPL?page_token=%00", 422, "page_token"),
        ("stocks/bars/AAPL?color=red", 400, "color"),
        ("options/chain/AAPL?type=both", 422, "type"),
        ("options/chain/AAPL?strike_price_gte=cheap", 422, "strike_price_gte"),
        ("options/chain/AAPL?strike_price_gte=9&strike_price_lte=8", 422, "strike_price_lte"),
        ("options/chain/AAPL?expiration_date=soon", 422, "expiration_date"),
        ("options/quote/AAPL", 400, "symbol"),
        ("options/quote/AAPL260230C00190000", 400, "symbol"),
        ("options/contracts?underlying_symbols=AAPL,x", 400, "symbols[1]"),
        ("options/contracts?limit=1001", 422, "limit"),
        ("assets/..%2Forders", 404, None),
        ("assets/%7B%7B7*7%7D%7D", 400, "symbol"),
        ("assets?status=asleep", 422, "status"),
        ("calendar?start=2026-13-01", 422, "start"),
        ("clock?x=1", 400, "x"),
    ],
)
def test_a_wrong_question_says_what_is_allowed(path: str, status: int, field: str | None) -> None:
    answered = ask_path(path)

    assert answered.status == status, answered.body
    assert [each["field"] for each in answered.body["errors"]] == ([field] if field else [])


def test_every_path_asks_for_the_permission() -> None:
    for path in ("stocks/quotes?symbols=AAPL", "stocks/bars/AAPL", "clock", "assets", "calendar"):
        assert ask_path(path, permissions=["trade"]).status == 403
        assert ask_path(path, with_token=False).status == 401
