"""Every endpoint of market data through real processes: granian, the broker, a token over HTTP.

What each answers is held against api.md §2 and §6, the API's own document, and the broker itself.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
import requests
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from django.http import HttpResponse

from marketdata.symbols import MOST_SYMBOLS
from opitios.core import clock
from sandbox.contracts import chain, expirations
from sandbox.sessions import session_on
from sandbox.universe import LISTED
from tests.marketdata.gateways import Gateway, gateway
from tests.openapi.document import Document
from tests.support.accounts import token
from tests.support.until import until

pytestmark = [pytest.mark.journeys, pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

PREFIX = "/api/v1/"
TODAY = clock.now().date()
# A contract that lives for weeks, and one that expired long ago.
OCC = next(
    each.symbol for each in chain(LISTED["AAPL"], TODAY) if each.expires_on > expirations(TODAY)[3]
)
EXPIRED = "AAPL200117C00190000"
# The row of api.md §2, and a good question for each.
ENDPOINTS = {
    "stocks/quote/{symbol}": "stocks/quote/AAPL",
    "stocks/quotes": "stocks/quotes?symbols=AAPL,BRK.B,ZZZZ",
    "stocks/trade/{symbol}": "stocks/trade/AAPL",
    "stocks/snapshot/{symbol}": "stocks/snapshot/AAPL",
    "stocks/snapshots": "stocks/snapshots?symbols=AAPL,SPY,ZZZZ",
    "stocks/bars/{symbol}": "stocks/bars/AAPL?limit=5",
    "options/chain/{symbol}": "options/chain/AAPL?limit=5",
    "options/quote/{occ}": f"options/quote/{OCC}",
    "options/quotes": f"options/quotes?symbols={OCC},{EXPIRED}",
    "options/contracts": "options/contracts?underlying_symbols=AAPL&limit=5",
    "assets": "assets?exchange=ARCA",
    "assets/{symbol}": "assets/AAPL",
    "clock": "clock",
    "calendar": "calendar?start=2026-11-23&end=2026-11-27",
}
WITHOUT_FEED = {"options/contracts", "assets", "assets/{symbol}", "clock", "calendar"}
BATCHES = {"stocks/quotes": "quotes", "stocks/snapshots": "snapshots", "options/quotes": "quotes"}
# A year without the day that is still being traded; and one with the beginning of every half.
YEAR = {"start": str(TODAY - timedelta(days=361)), "end": str(TODAY - timedelta(days=2))}
LAST_YEAR = {"start": f"{TODAY.year - 1}-01-01", "end": f"{TODAY.year - 1}-12-27"}


@pytest.fixture(scope="module")
def market(own_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One web process and one broker for this file."""
    with ExitStack() as stack:
        made = gateway(tmp_path_factory.mktemp("market"), stack, webs=1)
        made.sandbox.pin_price("AAPL", "187.20", "187.21")
        yield made


@pytest.fixture(scope="module")
def document() -> Document:
    return Document()


def test_the_list_is_that_of_the_api_s_document(document: Document) -> None:
    told = {
        path.removeprefix(PREFIX)
        for path, operations in document.told["paths"].items()
        if "Market data" in operations.get("get", {}).get("tags", ())
    }

    assert told == set(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_answers_as_the_document_says_with_source_age_and_feed(
    market: Gateway, document: Document, endpoint: str
) -> None:
    answer = market.get(ENDPOINTS[endpoint])

    assert answer.status_code == 200, answer.text
    document.hold("GET", PREFIX + ENDPOINTS[endpoint], as_django(answer))
    body = answer.json()
    rows = body[BATCHES[endpoint]].values() if endpoint in BATCHES else [body]
    for row in rows:
        assert row["source"] in {"broker", "cache"}
        assert 0 <= row["age_ms"] < 60_000
        assert ("feed" in row) == (endpoint not in WITHOUT_FEED)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_asks_for_a_token_and_its_permission(market: Gateway, endpoint: str) -> None:
    url = f"{market.origins[0]}{PREFIX}{ENDPOINTS[endpoint]}"
    trader = {"Authorization": f"Bearer {token([], permissions=['trade'])}"}

    assert requests.get(url, timeout=60).status_code == 401
    refused = requests.get(url, headers=trader, timeout=60)

    assert (refused.status_code, refused.json()["reason"]) == (403, "missing-permission")
    assert "market_data" in refused.json()["detail"]


@pytest.mark.parametrize(("endpoint", "wrapper"), BATCHES.items())
def test_a_batch_names_the_symbols_that_failed(
    market: Gateway, endpoint: str, wrapper: str
) -> None:
    path = ENDPOINTS[endpoint]
    *good, bad = path.partition("symbols=")[2].split(",")

    body = market.read(path)

    assert list(body[wrapper]) == good
    assert [row["symbol"] for row in body[wrapper].values()] == good
    [(name, error)] = body["errors"].items()
    assert (name, error["reason"]) == (bad, "unknown-symbol")
    assert bad in error["message"]
    nothing = market.get(endpoint, symbols=bad)
    assert (nothing.status_code, nothing.json()["reason"]) == (404, "unknown-symbol")


# Values


@pytest.mark.parametrize(
    ("ours", "theirs", "wrapper"),
    [
        ("stocks/quote/AAPL", "/v2/stocks/quotes/latest?symbols=AAPL", "quotes"),
        ("stocks/trade/AAPL", "/v2/stocks/trades/latest?symbols=AAPL", "trades"),
        (f"options/quote/{OCC}", f"/v1beta1/options/quotes/latest?symbols={OCC}", "quotes"),
        ("stocks/snapshot/AAPL", "/v2/stocks/snapshots?symbols=AAPL", None),
    ],
)
def test_a_price_is_the_broker_s(
    market: Gateway, ours: str, theirs: str, wrapper: str | None
) -> None:
    told: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []

    def are_the_same() -> bool:
        # Prices change five times a second, and what is told is up to a second old: it is the
        # broker's if it ever said so. Nobody needs to look at both between two changes.
        body = market.read(ours)
        broker = market.broker(theirs)
        [row] = (broker[wrapper] if wrapper else broker).values()
        if ours.startswith("options/"):
            # The sandbox stamps it with the instant of the question.
            row.pop("t")
        told.append({key: body[key] for key in row})
        rows.append(row)
        return told[-1] in rows or row in told

    assert until(are_the_same, seconds=20)


def test_the_market_s_facts_are_the_broker_s(market: Gateway) -> None:
    contracts = {"underlying_symbols": "AAPL", "limit": "50", "type": "put"}
    pairs = [
        (market.read("assets/BRK.B"), market.broker("/v2/assets/BRK.B")),
        (market.read("assets"), {"assets": market.broker("/v2/assets")}),
        (
            market.read("options/contracts", **contracts),
            market.broker("/v2/options/contracts", **contracts),
        ),
        (
            market.read("calendar", **YEAR),
            {"calendar": market.broker("/v2/calendar", **YEAR)},
        ),
    ]
    told, hours = market.read("clock"), market.broker("/v2/clock")
    pairs.append(({**told, "timestamp": hours["timestamp"]}, hours))

    for ours, theirs in pairs:
        assert {key: ours[key] for key in theirs} == theirs


def test_asset_lists_are_filtered_as_asked(market: Gateway) -> None:
    [gone] = market.read("assets", status="inactive")["assets"]

    assert (gone["symbol"], gone["status"], gone["tradable"]) == ("TWTR", "inactive", False)
    assert market.read("assets/TWTR")["status"] == "inactive"
    assert {each["exchange"] for each in market.read("assets", exchange="ARCA")["assets"]} == {
        "ARCA"
    }


# Bars


TIMEFRAMES = [
    *(TimeFrame(amount, TimeFrameUnit.Minute) for amount in range(1, 60)),
    *(TimeFrame(amount, TimeFrameUnit.Hour) for amount in range(1, 24)),
    TimeFrame(1, TimeFrameUnit.Day),
    TimeFrame(1, TimeFrameUnit.Week),
    *(TimeFrame(amount, TimeFrameUnit.Month) for amount in (1, 2, 3, 6, 12)),
]


def test_every_timeframe_that_alpaca_py_can_name_has_bars(market: Gateway) -> None:
    for frame in TIMEFRAMES:
        asked = {"timeframe": frame.value, "limit": 2, **LAST_YEAR}
        told = market.read("stocks/bars/SPY", **asked)

        assert told["timeframe"] == frame.value
        theirs = market.broker("/v2/stocks/bars", symbols="SPY", **asked)
        for ours, its in zip(told["bars"], theirs["bars"]["SPY"], strict=True):
            assert {key: ours[key] for key in its} == its
        assert len(told["bars"]) == (1 if frame.value == "12Month" else 2)


def test_fifty_one_minutes_are_not_five(market: Gateway) -> None:
    # alpaca-py writes 51Min for TimeFrame(5, TimeFrame.Minute): it is answered as what it says.
    day = last_session()
    asked = {"start": f"{day}T14:30:00Z", "end": f"{day}T16:30:00Z", "limit": 100}

    five = market.read("stocks/bars/SPY", timeframe="5Min", **asked)["bars"]
    fifty_one = market.read("stocks/bars/SPY", timeframe="51Min", **asked)["bars"]

    assert len(five) == 25
    assert len(fifty_one) == 2
    short = market.read("stocks/bars/SPY", timeframe="5T", **asked)
    assert (short["timeframe"], short["bars"]) == ("5Min", five)


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_of_bars_walked_to_the_end_are_one_big_page(market: Gateway, sort: str) -> None:
    asked = {"timeframe": "1Day", "sort": sort, "adjustment": "all", "feed": "sip", **YEAR}

    whole = market.read("stocks/bars/MSFT", limit=10_000, **asked)
    pages = list(walk(market, "stocks/bars/MSFT", limit=37, **asked))

    assert whole["next_page_token"] is None
    assert [len(page["bars"]) for page in pages[:-1]] == [37] * (len(pages) - 1)
    assert [bar for page in pages for bar in page["bars"]] == whole["bars"]
    assert len(whole["bars"]) > 230
    assert (whole["feed"], whole["symbol"], whole["timeframe"]) == ("sip", "MSFT", "1Day")


# Options


def test_pages_of_a_chain_walked_to_the_end_are_one_big_page(market: Gateway) -> None:
    # Read now: a day may have begun since this file was.
    today = clock.now().date()
    last = str(expirations(today)[4])
    asked = {"type": "call", "expiration_date_lte": last, "strike_price_gte": "150"}

    whole = market.read("options/chain/AAPL", limit=1000, **asked)
    pages = list(walk(market, "options/chain/AAPL", limit=29, **asked))

    assert whole["next_page_token"] is None
    symbols = [symbol for page in pages for symbol in page["snapshots"]]
    assert symbols == list(whole["snapshots"])
    assert len(symbols) > 100
    wanted = [
        each.symbol
        for each in chain(LISTED["AAPL"], today)
        if each.right == "call" and each.strike >= 150 and each.expires_on <= expirations(today)[4]
    ]
    assert symbols == wanted
    for row in whole["snapshots"].values():
        assert set(row["greeks"]) == {"delta", "gamma", "theta", "vega", "rho"}
        assert row["impliedVolatility"] > 0


def test_pages_of_contracts_walked_to_the_end_are_one_big_page(market: Gateway) -> None:
    asked = {"underlying_symbols": "AAPL,MSFT", "expiration_date_lte": str(expirations(TODAY)[2])}

    whole = market.read("options/contracts", limit=1000, **asked)
    pages = list(walk(market, "options/contracts", limit=61, **asked))

    assert whole["next_page_token"] is None
    rows = [row for page in pages for row in page["option_contracts"]]
    assert rows == whole["option_contracts"]
    assert {row["underlying_symbol"] for row in rows} == {"AAPL", "MSFT"}


# What is refused

MANY = ",".join(f"A{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(MOST_SYMBOLS + 1))
MANY_OCC = ",".join(f"AAPL261218C{n:08d}" for n in range(MOST_SYMBOLS + 1))
BEYOND = {"start": "2024-01-01", "end": "2025-06-01"}
BACKWARDS = {"start": "2025-06-02", "end": "2025-06-01"}


@pytest.mark.parametrize(
    ("path", "query", "field", "says"),
    [
        *((f"stocks/{what}/aapl", {}, "symbol", "AAPL or BRK.B")
          for what in ("quote", "trade", "snapshot", "bars")),
        ("options/chain/aapl", {}, "symbol", "AAPL or BRK.B"),
        ("options/quote/AAPL", {}, "symbol", "AAPL261218C00190000"),
        ("options/quote/AAPL260230C00190000", {}, "symbol", "YYMMDD"),
        ("assets/A_B", {}, "symbol", "a symbol, an id or a CUSIP"),
        *((path, {"symbols": many}, "symbols", "at most 100 symbols; these are 101")
          for path, many in (("stocks/quotes", MANY), ("stocks/snapshots", MANY),
                             ("options/quotes", MANY_OCC), ("options/contracts", MANY))
          if path != "options/contracts"),
        ("options/contracts", {"underlying_symbols": MANY}, "symbols", "at most 100 symbols"),
        *((path, {}, "symbols", "symbols=") for path in ("stocks/quotes", "stocks/snapshots")),
        ("stocks/quotes", {"symbols": "AAPL,,MSFT"}, "symbols[1]", "capital letters"),
        ("options/quotes", {"symbols": f"{OCC},AAPL"}, "symbols[1]", "eight digits"),
        *((f"stocks/{what}/AAPL", {"feed": "boats"}, "feed", "")
          for what in ("quote", "trade", "snapshot", "bars")),
        ("options/chain/AAPL", {"feed": "sip"}, "feed", "indicative or opra"),
        ("stocks/bars/AAPL", BEYOND, "start", "at most 366 days"),
        ("stocks/bars/AAPL", {"start": "2020-01-01"}, "start", "at most 366 days"),
        ("stocks/bars/AAPL", BACKWARDS, "end", "not before start"),
        ("stocks/bars/AAPL", {"start": "2999-01-01"}, "start", "not in the future"),
        *(("stocks/bars/AAPL", {"timeframe": frame}, "timeframe", "1Min–59Min, 1Hour–23Hour")
          for frame in ("0Min", "60Min", "24Hour", "2Day", "2Week", "5Month", "13Month", "1min",
                        "Min", "", "1 Min", "01Min")),
        ("stocks/bars/AAPL", {"limit": "10001"}, "limit", "1 to 10000"),
        ("options/chain/AAPL", {"limit": "1001"}, "limit", "1 to 1000"),
        ("options/contracts", {"limit": "0"}, "limit", "1 to 1000"),
        ("stocks/bars/AAPL", {"adjustment": "none"}, "adjustment", "raw or split"),
        ("stocks/bars/AAPL", {"sort": "up"}, "sort", "asc or desc"),
        ("options/chain/AAPL", {"type": "both"}, "type", "call or put"),
        ("options/chain/AAPL", {"expiration_date": "soon"}, "expiration_date", "2026-11-20"),
        ("calendar", BACKWARDS, "end", "not before start"),
        ("calendar", {"start": "2026-02-30"}, "start", "2026-11-20"),
        ("assets", {"exchange": "LSE"}, "exchange", "NASDAQ"),
        *((path, {"page_token": "made-up"}, "page_token", "next_page_token of the page before")
          for path in ("stocks/bars/AAPL", "options/chain/AAPL", "options/contracts")),
        ("stocks/bars/AAPL", {"page_token": "{}"}, "page_token", "next_page_token"),
        ("clock", {"when": "now"}, "when", "Unknown parameter"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_a_problem_that_says_what_is_allowed(
    market: Gateway, path: str, query: dict[str, str], field: str, says: str
) -> None:
    answer = market.get(path, **query)

    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["reason"] in {"bad-parameter", "invalid-parameter"}
    assert problem["retry"] == "after_fix"
    [error] = problem["errors"]
    assert error["field"] == field
    assert says in error["message"]
    if field == "feed":
        assert set(error["allowed"]) in ({"iex", "sip", "delayed_sip"}, {"indicative", "opra"})


@pytest.mark.parametrize(
    "path",
    [
        *(f"stocks/{what}/{symbol}" for what in ("quote", "trade", "snapshot")
          for symbol in ("ZZZZ", "TWTR")),
        "stocks/bars/ZZZZ",
        "options/chain/ZZZZ",
        "assets/ZZZZ",
        f"options/quote/{EXPIRED}",
        "options/quote/ZZZZ261218C00190000",
    ],
)  # fmt: skip
def test_what_the_broker_does_not_know_is_404_and_says_where_to_look(
    market: Gateway, path: str
) -> None:
    answer = market.get(path)

    assert (answer.status_code, answer.json()["reason"]) == (404, "unknown-symbol"), answer.text
    detail = answer.json()["detail"]
    assert "GET assets" in detail or "GET options/contracts" in detail
    if EXPIRED in path:
        assert "expired on 2020-01-17" in detail


def test_what_exists_and_has_no_rows_is_an_empty_list(market: Gateway) -> None:
    assert market.read("stocks/bars/TWTR")["bars"] == []
    assert market.read("options/chain/BRK.A")["snapshots"] == {}
    nothing = market.read("stocks/bars/AAPL", start="2026-11-07", end="2026-11-07")
    assert nothing["bars"] == []


def test_who_asks_again_for_what_is_unknown_is_no_call_each_time(market: Gateway) -> None:
    paths = ("stocks/bars/ZZZY", "assets/ZZZY", "options/chain/ZZZY")
    first = [market.get(path).status_code for path in paths]
    before = market.calls("GET /v2/assets/{symbol_or_asset_id}")

    again = [market.get(path).status_code for path in paths * 5]

    assert set(first + again) == {404}
    assert before > 0
    assert market.calls("GET /v2/assets/{symbol_or_asset_id}") == before


# Helpers


def walk(market: Gateway, path: str, **asked: Any) -> Iterator[Any]:
    """Read page after page until there is none."""
    page = market.read(path, **asked)
    yield page
    while page["next_page_token"] is not None:
        page = market.read(path, page_token=page["next_page_token"], **asked)
        yield page


def as_django(answer: requests.Response) -> HttpResponse:
    """The answer as the document's checks take it."""
    return HttpResponse(
        answer.content, status=answer.status_code, headers=dict(answer.headers.items())
    )


def last_session() -> str:
    """The last day with a whole session behind it."""
    days = (TODAY - timedelta(days=back) for back in range(1, 10))
    return str(next(day for day in days if session_on(day) is not None))
