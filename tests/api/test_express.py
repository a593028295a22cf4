"""The express way answers as the usual way does, and leaves to it whatever is not usual."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts import denials, gate
from marketdata import api as rest
from marketdata import kinds
from marketdata import rows as kept_rows
from marketdata.kinds import Kind
from marketdata.rows import NOTHING
from marketdata.sources import Sources
from opitios.core import clock
from opitios.core.admission import Rules, get_admission
from opitios.core.coalesce import Kept
from opitios.core.config import InboundLimits
from opitios.express import price_stops
from tests.accounts.custodial import ME, reach_from_everywhere
from tests.api.ways import QUOTE, Ways, counted, token_of
from tests.marketdata.brokers import Fleet, quoting
from tests.marketdata.conftest import fleet_of, timers
from tests.support.accounts import open_account

__all__ = ["fleet_of", "timers"]

pytestmark = pytest.mark.django_db

CONTRACT = "AAPL361219C00190000"
# What each kind has at hand: the price of one symbol.
AT_HAND = {
    QUOTE: (kinds.QUOTES, "AAPL"),
    "/api/v1/stocks/trade/AAPL": (kinds.TRADES, "AAPL"),
    "/api/v1/stocks/snapshot/AAPL": (kinds.SNAPSHOTS, "AAPL"),
    f"/api/v1/options/quote/{CONTRACT}": (kinds.OPTION_QUOTES, CONTRACT),
}
OPEN = dict.fromkeys(InboundLimits.model_fields)


@pytest.fixture
def sources(
    still: None, fleet_of: Callable[..., Fleet], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sources]:
    """Prices of a process of its own, which stay at hand for as long as a test can last."""
    monkeypatch.setattr(kept_rows, "FRESH_OPEN", 3600.0)
    monkeypatch.setattr(kept_rows, "HOT_SECONDS", 3600.0)
    made = fleet_of(data_001=[quoting("MSFT")]).sources()
    monkeypatch.setattr(rest, "get_sources", lambda: made)
    for kind, symbol in AT_HAND.values():
        have(made, kind, symbol, b'{"t":"2026-11-20T14:30:00Z","bp":187.2}')
    admission = get_admission()
    before, admission.rules = admission.rules, Rules(InboundLimits.model_validate(OPEN))
    yield made
    admission.rules = before


def have(sources: Sources, kind: Kind, symbol: str, told: bytes) -> None:
    """Let a price be at hand."""
    feed = kind.feeds[0]
    kept = {kind.key(symbol, feed): Kept(told, clock.monotonic())}
    sources.latest(kind).loads.keep(feed, kept)


@pytest.fixture
def ways(sources: Sources, capfd: pytest.CaptureFixture[str]) -> Ways:
    """Both ways to the same process, its lists read and a good token known."""
    gate.get_gate().refresh()
    made = Ways(capfd)
    assert made.usual().status == "200 OK"
    return made


def test_every_view_of_one_symbol_s_last_price_is_a_stop_of_the_express_way() -> None:
    assert set(price_stops()) == {path.rpartition("/")[0] for path in AT_HAND}


@pytest.mark.parametrize("path", AT_HAND)
def test_what_is_at_hand_is_answered_alike_without_a_statement_and_without_django(
    ways: Ways, statements: list[str], path: str
) -> None:
    statements.clear()
    express = ways.express(path)
    asked = list(statements)

    assert express.express
    assert express.told == ways.usual(path).told
    assert (express.status, express.line["status"], asked) == ("200 OK", 200, [])


USUAL: Mapping[str, dict[str, Any]] = {
    "a request id": {"HTTP_X_REQUEST_ID": "mine-17"},
    "an odd request id": {"HTTP_X_REQUEST_ID": "mine 17\x1b"},
    "an agent": {"HTTP_USER_AGENT": "bot/1 \x1b[31m\u0430"},
    "another's address, from nobody we trust": {"HTTP_X_FORWARDED_FOR": "10.1.2.3"},
    "the time it came in": {"HTTP_X_REQUEST_START": "t=1.5"},
    "what it would take": {"HTTP_ACCEPT": "text/html", "HTTP_IF_NONE_MATCH": "*"},
    "a scheme in other letters": {"HTTP_AUTHORIZATION": None, "scheme": "bEARER"},
    "an address that is none": {"REMOTE_ADDR": ""},
}


@pytest.mark.parametrize("how", USUAL.values(), ids=USUAL)
def test_what_a_client_adds_changes_neither_answer(ways: Ways, how: dict[str, Any]) -> None:
    how = dict(how)
    if scheme := how.pop("scheme", None):
        how["HTTP_AUTHORIZATION"] = f"{scheme} {ways.token}"
    known = ways.usual(**how)

    express = ways.express(**how)

    assert express.express
    assert express.told == known.told


# Each of them is the usual way's to answer: method, path, and what comes with it.
UNUSUAL: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "HEAD": ("HEAD", QUOTE, {}),
    "POST": ("POST", QUOTE, {"body": b"{}"}),
    "OPTIONS": ("OPTIONS", QUOTE, {}),
    "no method we know": ("get", QUOTE, {}),
    "a body": ("GET", QUOTE, {"body": b"{}"}),
    "a body in chunks": ("GET", QUOTE, {"HTTP_TRANSFER_ENCODING": "chunked"}),
    "a feed": ("GET", f"{QUOTE}?feed=iex", {}),
    "no feed": ("GET", f"{QUOTE}?feed=cboe", {}),
    "an unknown parameter": ("GET", f"{QUOTE}?symbol=MSFT", {}),
    "a format": ("GET", f"{QUOTE}?format=xml", {}),
    "a slash more": ("GET", f"{QUOTE}/", {}),
    "no symbol": ("GET", "/api/v1/stocks/quote/", {}),
    "small letters": ("GET", "/api/v1/stocks/quote/aapl", {}),
    "a symbol with its feed": ("GET", "/api/v1/stocks/quote/AAPL%20iex%20quote%20iex", {}),
    "letters of another alphabet": ("GET", "/api/v1/stocks/quote/%D0%90APL", {}),
    "bytes that are no text": ("GET", "/api/v1/stocks/quote/%FF", {}),
    "a symbol nobody asked for yet": ("GET", "/api/v1/stocks/quote/MSFT", {}),
    "a symbol that is known not to be": ("GET", "/api/v1/stocks/quote/ZZZZ", {}),
    "no token": ("GET", QUOTE, {"HTTP_AUTHORIZATION": None}),
    "another scheme": ("GET", QUOTE, {"HTTP_AUTHORIZATION": "Basic YTpi"}),
    "a token that is none": ("GET", QUOTE, {"HTTP_AUTHORIZATION": "Bearer x"}),
    "two tokens": ("GET", QUOTE, {"HTTP_AUTHORIZATION": "Bearer a, Bearer b"}),
    "a token that is not ASCII": ("GET", QUOTE, {"HTTP_AUTHORIZATION": "Bearer \xe4"}),
    "another's host": ("GET", QUOTE, {"HTTP_HOST": "evil.example"}),
    "too long in line": ("GET", QUOTE, {"HTTP_X_REQUEST_START": "late"}),
    "another path": ("GET", "/api/v1/token", {}),
    "the root": ("GET", "/", {}),
}


@pytest.mark.parametrize(("method", "path", "how"), UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_not_usual_goes_to_the_usual_way_untouched(
    ways: Ways, sources: Sources, method: str, path: str, how: dict[str, Any]
) -> None:
    have(sources, kinds.QUOTES, "ZZZZ", NOTHING)
    if how.get("HTTP_X_REQUEST_START"):
        how = {"HTTP_X_REQUEST_START": f"t={clock.now().timestamp() - 30:.3f}"}
    express = ways.express(path, method, **how)

    usual = ways.usual(path, method, **how)

    assert not express.express
    # What was just asked for is at hand the second time.
    assert express.told[0] == usual.told[0]
    assert express.body.replace(b'"source":"broker"', b'"source":"cache"') == usual.body
    assert express.headers == usual.headers
    assert {**express.line} == {**usual.line}


def test_a_token_that_is_new_here_is_verified_the_usual_way_and_then_known(ways: Ways) -> None:
    token = token_of()

    first, second = ways.express(token=token), ways.express(token=token)

    assert (first.express, second.express) == (False, True)
    assert first.told == second.told


def refused_alike(ways: Ways, token: str, status: str) -> None:
    """A token that was let in before is refused both ways, and by the usual way alone."""
    express = ways.express(token=token)
    assert not express.express
    assert express.status.startswith(status)
    assert express.told == ways.usual(token=token).told


@pytest.mark.parametrize("kind", ["jti", "sub"])
def test_a_token_that_was_known_is_refused_from_its_denial_on(ways: Ways, kind: str) -> None:
    about = {"sub": f"express-{uuid4().hex[:12]}", "jti": uuid4().hex}
    token = token_of(**about)
    ways.usual(token=token)
    assert ways.express(token=token).express

    denials.deny(kind, about[kind], until=None, actor=ME, reason="lost")
    gate.get_gate().refresh()

    refused_alike(ways, token, "401")


def test_a_subject_from_elsewhere_is_refused_although_its_token_is_known(ways: Ways) -> None:
    sub = f"express-{uuid4().hex[:12]}"
    token = token_of(sub=sub)
    ways.usual(token=token)

    denials.set_subject(sub, {"allowed_ips": ["10.0.0.0/8"]}, actor=ME, reason="its office")
    gate.get_gate().refresh()

    refused_alike(ways, token, "401")


def test_a_token_that_expired_since_is_refused(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    token = token_of()
    ways.usual(token=token)
    now = clock.now

    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=2))

    refused_alike(ways, token, "401")


def test_a_known_token_without_the_permission_is_refused(ways: Ways) -> None:
    refused_alike(ways, token_of(permissions=["trade"]), "403")
    token = token_of(permissions=["trade"])
    ways.usual(token=token)

    refused_alike(ways, token, "403")


def test_a_fleet_with_an_account_that_is_barred_from_here_goes_the_usual_way(ways: Ways) -> None:
    account = open_account()
    # Those of other tests count for a fleet.
    reach_from_everywhere()
    token = token_of(account_id=None, account_scope="all")
    ways.usual(token=token)
    assert ways.express(token=token).express

    denials.set_networks(account, ["10.0.0.0/8"], actor=ME, reason="its office")
    gate.get_gate().refresh()
    try:
        express = ways.express(token=token)
        assert (express.express, express.told) == (False, ways.usual(token=token).told)
    finally:
        reach_from_everywhere()


def test_r23_both_ways_take_from_the_same_limits_and_are_refused_alike(ways: Ways) -> None:
    token = token_of(rate_limits={"requests_per_minute": 4})
    ways.usual(token=token)

    answers = [ways.express(token=token), ways.usual(token=token), ways.express(token=token)]

    left = [dict(each.headers)["X-RateLimit-Remaining"] for each in answers]
    assert left == ["2", "1", "0"]
    assert {dict(each.headers)["RateLimit-Policy"] for each in answers} == {'"token";q=4;w=60'}
    assert [each.express for each in answers] == [True, False, True]
    refused_alike(ways, token, "429")


def test_a_price_that_is_not_at_hand_costs_one_permit_and_no_more(ways: Ways) -> None:
    token = token_of(rate_limits={"requests_per_minute": 4})

    first = ways.express("/api/v1/stocks/quote/MSFT", token=token)

    assert not first.express
    assert dict(first.headers)["X-RateLimit-Remaining"] == "3"


def test_what_the_express_way_answers_keeps_the_symbol_asked_for(
    ways: Ways, sources: Sources
) -> None:
    rows, key = sources.latest(kinds.QUOTES).rows, kinds.QUOTES.key("SPY", "iex")
    have(sources, kinds.QUOTES, "SPY", b'{"bp":1}')
    assert key not in rows.asked_lately("iex")

    assert ways.express("/api/v1/stocks/quote/SPY").express

    assert key in rows.asked_lately("iex")


def test_a_process_whose_lists_are_not_read_yet_answers_nobody_the_express_way(ways: Ways) -> None:
    gate.get_gate()._loaded.clear()

    refused_alike(ways, ways.token, "503")


def test_both_ways_are_counted_alike(ways: Ways) -> None:
    route = price_stops()[QUOTE.rpartition("/")[0]].route
    counts = []

    def count() -> tuple[float, float]:
        answers = counted("market_data_answers", "quote", "cache")
        return counted("http_requests", "GET", route, 200), answers

    for ask in (ways.express, ways.usual):
        before = count()
        ask()
        counts.append([now - was for was, now in zip(before, count(), strict=True)])

    assert counts == [[1, 1], [1, 1]]
