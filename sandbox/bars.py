"""Bars of any symbol over years, from the same seeded prices as its quotes.

A bar is read off a handful of instants in its time, so its price range is a little narrower than
what a stream of every tick would have shown.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

from sandbox.instants import SECOND, rfc3339
from sandbox.market import mix
from sandbox.sessions import new_york
from sandbox.timeframes import Days, Span, Timeframe, spans

# Instants looked at in one bar: its first and last, and some between.
LOOKS = 6
MINUTE = 60 * SECOND


class Bar(NamedTuple):
    """Prices (USD), volume (shares or contracts) and trades of one span; `at` is its stamp."""

    at: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    trades: int
    vwap: float

    def render(self) -> dict[str, object]:
        """The bar in the data API's short keys."""
        return {
            "t": rfc3339(self.at).replace(".000000000Z", "Z"),
            "o": self.open,
            "h": self.high,
            "l": self.low,
            "c": self.close,
            "v": self.volume,
            "n": self.trades,
            "vw": self.vwap,
        }


class Paper(NamedTuple):
    """What bars are made of: a price at any instant, how busy it is, and its own number."""

    price_at: Callable[[int], float]
    # About how much of it changes hands in a minute of trading.
    a_minute: int
    salt: int


class Window(NamedTuple):
    """From `start` to `end`, both included (instants, as Alpaca has it), and the direction."""

    start: int
    end: int
    newest_first: bool = False


def bars(paper: Paper, frame: Timeframe, window: Window, *, days: Days, now: int) -> Iterator[Bar]:
    """The bars whose stamp lies in the window; minutes and hours only when they are over."""
    until = min(window.end, now)
    first, last = _day(window.start), _day(until)
    ends_early = frame.unit in {"Min", "Hour"}
    for span in spans(frame, days, first, last, newest_first=window.newest_first):
        if not window.start <= span.stamp <= until or span.start >= now:
            continue
        if not (ends_early and span.end > now):
            yield bar_of(paper, span, now)


def bar_of(paper: Paper, span: Span, now: int) -> Bar:
    """One bar, of as much of its time as is over."""
    end = min(span.end, now)
    step = max((end - span.start) // (LOOKS - 1), 1)
    prices = [round(paper.price_at(span.start + step * look), 2) for look in range(LOOKS)]
    chance = mix(paper.salt ^ span.stamp)
    minutes = max((end - span.start) / MINUTE, 1 / 60)
    volume = 1 + int(paper.a_minute * minutes * (0.5 + (chance % 1000) / 1000))
    return Bar(
        at=span.stamp,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=volume,
        trades=max(1, volume // (20 + chance % 60)),
        vwap=round(sum(prices) / LOOKS, 6),
    )


def _day(at: int) -> date:
    return new_york(at).date()
