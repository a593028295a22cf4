"""How old an answer may be: fresh, fresh while the market is closed, stale while nothing is told.

The figures are the table of docs/market-data.md, whose rows are compared with these.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opitios.core import clock
from opitios.core.errors import Problem
from tests.broker.loopback import answering, http, resetting

if TYPE_CHECKING:
    from marketdata.reads import Question
    from marketdata.sources import Sources

PAGE = Path(__file__).resolve().parents[2] / "docs" / "market-data.md"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

BAR = {"t": "2026-11-20T05:00:00Z", "o": 1, "h": 2, "l": 1, "c": 2, "v": 3, "n": 1, "vw": 1.5}
BARS = {"bars": {"AAPL": [BAR]}, "next_page_token": None}
CLOCK = {"timestamp": "2026-11-20T14:30:00Z", "is_open": True,
         "next_open": "2026-11-23T14:30:00Z", "next_close": "2026-11-20T21:00:00Z"}  # fmt: skip
CONTRACT = {"symbol": "AAPL261218C00190000"}
# By row of the page: what is asked, what the broker answers, and the seconds of its three columns.
ROWS: dict[str, tuple[Callable[[Any], "Question"], Any, tuple[float, float, float]]] = {
    "option chain": (
        lambda ask: ask.chain("AAPL", {}),
        {"snapshots": {"AAPL261218C00190000": {}}, "next_page_token": None},
        (2, MINUTE, 10 * MINUTE),
    ),
    "bars by minute": (
        lambda ask: ask.bars("AAPL", {"timeframe": "5Min"}, clock.now()),
        BARS,
        (5, 5 * MINUTE, HOUR),
    ),
    "bars by day": (
        lambda ask: ask.bars("AAPL", {"timeframe": "1Day"}, clock.now()),
        BARS,
        (MINUTE, 5 * MINUTE, HOUR),
    ),
    "contracts": (
        lambda ask: ask.contracts({}),
        {"option_contracts": [CONTRACT], "next_page_token": None},
        (5 * MINUTE, 5 * MINUTE, DAY),
    ),
    "one asset": (
        lambda ask: ask.asset("AAPL"),
        {"symbol": "AAPL"},
        (5 * MINUTE, 5 * MINUTE, 7 * DAY),
    ),
    "assets": (lambda ask: ask.assets({}), [{"symbol": "AAPL"}], (HOUR, HOUR, 7 * DAY)),
    "calendar": (
        lambda ask: ask.calendar({}),
        [{"date": "2026-11-23"}],
        (6 * HOUR, 6 * HOUR, 30 * DAY),
    ),
    "clock": (lambda ask: ask.clock(), CLOCK, (1, 1, 10)),
}


@pytest.fixture
def later(
    later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> Callable[[float], None]:
    """Move the monotonic clock of the caches ahead; what is known of the hours stays."""
    from marketdata import hours  # noqa: PLC0415 - Django is set up by now

    monkeypatch.setattr(hours, "BELIEVED_SECONDS", float("inf"))
    return later


def sources_of(name: str, fleet_of: Callable[..., Any], *, is_open: bool) -> "tuple[Any, Sources]":
    """A broker that answers the row's question twice, and then no more."""
    answer = answering(http(200, ROWS[name][1]))
    fleet = fleet_of(data_001=[answer, answer, resetting])
    sources = fleet.sources()
    sources.hours.know(is_open=is_open)
    return fleet, sources


def ask(name: str, sources: "Sources") -> str:
    """Where the answer is from."""
    from marketdata import questions  # noqa: PLC0415 - Django is set up by now

    answer = sources.reads.answer(ROWS[name][0](questions))
    assert answer["age_ms"] >= 0
    return str(answer["source"])


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("name", ROWS)
def test_an_answer_is_fresh_for_its_time_then_asked_anew_then_shown_stale_then_503(
    later: Callable[[float], None], fleet_of: Callable[..., Any], name: str, is_open: bool
) -> None:
    opened, closed, stale = ROWS[name][2]
    fresh = opened if is_open else closed
    fleet, sources = sources_of(name, fleet_of, is_open=is_open)
    told = [ask(name, sources)]

    later(fresh * 0.5)
    told.append(ask(name, sources))
    later(fresh)
    told.append(ask(name, sources))
    later(max(fresh, stale * 0.5))
    told += [ask(name, sources), ask(name, sources)] if stale > fresh else []
    later(stale)
    with pytest.raises(Problem) as refused:
        ask(name, sources)

    assert told == ["broker", "cache", "broker", "stale", "stale"]
    assert (refused.value.status, refused.value.reason.slug) == (503, "broker-unavailable")
    assert fleet.asked()["data_001"] >= 4


def test_the_page_tells_these_times() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ") and line.count("|") == 5 and re.search(r"\d", line)
    ]

    told = {name: times for row in rows for name, times in _told(row)}

    assert told == {name: times for name, (*_, times) in ROWS.items()} | {
        "quotes, trades, snapshots": _latest()
    }


def _latest() -> tuple[float, float, float]:
    from marketdata import loads, rows  # noqa: PLC0415 - Django is set up by now

    return rows.FRESH_OPEN, rows.FRESH_CLOSED, loads.STALE_SECONDS


_NAMES = {
    "option chain": ("option chain",),
    "bars by minute and hour; longer ones": ("bars by minute", "bars by day"),
    "one asset; the list of them": ("one asset", "assets"),
}
_UNITS = {"s": 1.0, "min": MINUTE, "h": HOUR, "day": DAY, "days": DAY, "week": 7 * DAY}


def _told(row: list[str]) -> list[tuple[str, tuple[float, float, float]]]:
    """One row of the page: a cell with a semicolon is of two questions."""
    name, *cells = row
    names = _NAMES.get(name, (name,))
    columns = [[_seconds(each) for each in cell.split(";")] for cell in cells]
    return [
        (each, (_at(columns[0], place), _at(columns[1], place), _at(columns[2], place)))
        for place, each in enumerate(names)
    ]


def _at(column: list[float], place: int) -> float:
    return column[min(place, len(column) - 1)]


def _seconds(text: str) -> float:
    count, unit = text.split()
    return float(count) * _UNITS[unit]
