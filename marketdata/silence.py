"""A data socket that says nothing: is the market quiet, or is the socket mute?

Pings are answered by a mute socket too, and some symbols are quoted once an hour. So after some
seconds of silence in market hours the broker's REST is asked about what is subscribed: if it has a
newer price than the socket told, the socket is mute. Where it has none, it is asked again after
twice the time.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from marketdata import kinds
from marketdata.kinds import Kind
from marketdata.routing import NoDataAccount, Router
from opitios.broker.alpaca.datastreams import Condition
from opitios.broker.errors import BrokerError
from opitios.core.errors import Problem

logger = structlog.get_logger("app")

# Symbols asked about in one question.
MOST_ASKED = 20
# Seconds between two questions about one silence, at most.
LONGEST_WAIT = 900.0
# Clocks differ by less (reliability.md G23), and a price takes its time to us. Seconds.
MARGIN = 1.0

# Reads the newest instant (epoch seconds) of symbols of one of Alpaca's channels; None: no prices.
Newest = Callable[[str, str, Sequence[str], str], float | None]


@dataclass(slots=True)
class _Silence:
    """One silence of one socket: since when, and after how long of it the broker is asked."""

    since: float
    wait: float
    asked: "Future[float | None] | None" = None


class SilenceWatch:
    """Judges silences. One thread looks; questions are asked on others."""

    def __init__(self, newest: Newest, *, seconds: float) -> None:
        """`seconds` of silence are none of its business."""
        self._newest = newest
        self._seconds = seconds
        self._margin = min(MARGIN, seconds / 2)
        self._silences: dict[str, _Silence] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="silence")

    def is_mute(self, name: str, kind: str, feed: str, condition: Condition, now: float) -> bool:
        """Whether a listening socket should have said something. Returns at once."""
        since = max(condition.heard_at or 0.0, condition.since)
        silence = self._silences.get(name)
        if silence is None or silence.since != since:
            silence = self._silences[name] = _Silence(since, self._seconds)
        if now - since < silence.wait:
            return False
        if silence.asked is None:
            silence.asked = self._ask(kind, feed, condition)
            return False
        return silence.asked.done() and self._judge(silence, now)

    def close(self) -> None:
        """Ask nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, kind: str, feed: str, condition: Condition) -> "Future[float | None]":
        for channel in ("quotes", "trades"):
            symbols = sorted(symbol for word, symbol in condition.subscribed if word == channel)
            if symbols and (kind, channel) in _ASKED_AS:
                asked = symbols[:MOST_ASKED]
                return self._threads.submit(self._newest, kind, channel, asked, feed)
        unasked: Future[float | None] = Future()
        unasked.set_result(None)
        return unasked

    def _judge(self, silence: _Silence, now: float) -> bool:
        """Read the answer; where it proves nothing, wait for as long again."""
        asked, silence.asked = silence.asked, None
        silence.wait = min(2 * (now - silence.since), now - silence.since + LONGEST_WAIT)
        try:
            newest = asked.result() if asked is not None else None
        except (BrokerError, NoDataAccount, Problem) as error:
            logger.info("a silent data socket could not be judged", error=type(error).__name__)
            return False
        return newest is not None and newest > silence.since + self._margin


# By kind of socket and channel: what asks the same. Nobody answers for option trades.
_ASKED_AS: Mapping[tuple[str, str], Kind] = {
    ("stock", "quotes"): kinds.QUOTES,
    ("stock", "trades"): kinds.TRADES,
    ("option", "quotes"): kinds.OPTION_QUOTES,
}


def newest_over(router: Router) -> Newest:
    """Ask the broker over the data accounts. What is made raises as Router.ask does."""

    def newest(kind: str, channel: str, symbols: Sequence[str], feed: str) -> float | None:
        same = _ASKED_AS[kind, channel]
        answer = router.ask(lambda account: same.read(account.data, symbols, feed))
        return max(_instants(answer.body, same.wrapper), default=None)

    return newest


def _instants(body: Any, wrapper: str | None) -> list[float]:
    told = body.get(wrapper) if isinstance(body, dict) else None
    prices = told.values() if isinstance(told, dict) else ()
    return [instant for each in prices if (instant := _instant(each)) is not None]


def _instant(price: Any) -> float | None:
    try:
        return datetime.fromisoformat(price["t"]).timestamp()
    except (TypeError, KeyError, ValueError):
        # Its own shape is for others to judge.
        return None
