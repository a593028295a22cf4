"""How the live feed of each channel is for this process, and what of it a client is told. Pure."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from marketdata.feedstate import DOWN, is_believed
from marketdata.live import SILENT_SECONDS
from marketdata.ticks import Item


class FeedState(NamedTuple):
    """How one channel is.

    state: `live`, `down`, `stale` or `behind`. since: when that began, in epoch seconds.
    heard_since: since when this process has listened without a gap, None where it does not.
    missing: symbols without prices, whatever the state. is_believed: whether its prices are the
    present ones.
    """

    feed: str | None
    state: str
    since: float
    heard_since: float | None
    missing: tuple[str, ...] = ()
    is_believed: bool = False

    def missing_of(self, channel: str, items: Collection[Item]) -> list[str]:
        """Which of somebody's symbols have no prices."""
        return [symbol for symbol in self.missing if (channel, symbol) in items]

    def key(self, missing: Collection[str]) -> tuple[object, ...]:
        """What must differ for a client to be told again: also after a gap that was mended.

        Of one that is down it does not matter which feed it would be.
        """
        feed = None if self.state == DOWN else self.feed
        return feed, self.state, self.heard_since, *missing

    def covers(self, at: float) -> bool:
        """Whether everything was heard from before this instant until now (epoch seconds)."""
        return self.is_believed and self.since <= at


class FeedStates:
    """The last that was heard of each channel. All times are epoch seconds."""

    def __init__(self, *, started_at: float) -> None:
        self._states: dict[str, FeedState] = {}
        self._started_at = self._heard_at = self._unbroken_since = started_at

    def note(self, message: Mapping[str, Any], now: float) -> None:
        """Hear one message of Topic.MARKET."""
        if self._is_silent(now):
            # Who could not speak may have been unable to send prices too.
            self._unbroken_since = now
        self._heard_at = now
        self._states[message["channel"]] = FeedState(
            message["feed"],
            message["state"],
            message["since"],
            heard_since=None,
            missing=tuple(message.get("missing", ())),
            is_believed=is_believed(message),
        )

    def of(self, channel: str, *, now: float, heard_since: float | None) -> FeedState | None:
        """How a channel is; None while this process is too young to know.

        Without Redis, or where the market process is silent, it is down as far as we know.
        """
        last = self._states.get(channel)
        is_silent = self._is_silent(now)
        is_young = now - self._started_at <= SILENT_SECONDS
        if is_young and (last is None or heard_since is None):
            return None
        if last is None or is_silent or heard_since is None:
            return FeedState(None if last is None else last.feed, DOWN, self._heard_at, None)
        heard_since = max(heard_since, self._unbroken_since)
        since = max(last.since, heard_since) if last.is_believed else last.since
        return last._replace(since=since, heard_since=heard_since)

    def _is_silent(self, now: float) -> bool:
        return now - self._heard_at > SILENT_SECONDS
