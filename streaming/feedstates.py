"""How the live feed of each channel is for this process, and what of it a client is told. Pure."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from marketdata.feedstate import DOWN, is_believed
from marketdata.live import SILENT_SECONDS
from marketdata.ticks import Item


class FeedState(NamedTuple):
    """How one channel is.

    state: `live`, `down`, `stale` or `behind`. since: when that began, in epoch seconds.
    missing: symbols without prices, whatever the state. is_believed: whether its prices are the
    present ones.
    """

    feed: str | None
    state: str
    since: float
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
        since = self.since if self.is_believed else None
        return feed, self.state, since, *missing

    def covers(self, at: float) -> bool:
        """Whether everything was heard from before this instant until now (epoch seconds)."""
        return self.is_believed and self.since <= at


class HeardStates:
    """The last that was heard of each channel. All times are epoch seconds."""

    def __init__(self, *, started_at: float) -> None:
        self._started_at = started_at
        self._nothing = _Channel(None, started_at, started_at)
        self._channels: dict[str, _Channel] = {}

    def note(self, message: Mapping[str, Any], now: float) -> None:
        """Hear one message of Topic.MARKET."""
        before = self._channels.get(message["channel"], self._nothing)
        # Who could not speak may have been unable to send prices too.
        since = now if before.is_silent(now) else before.unbroken_since
        state = FeedState(
            message["feed"],
            message["state"],
            message["since"],
            missing=tuple(message.get("missing", ())),
            is_believed=is_believed(message),
        )
        self._channels[message["channel"]] = _Channel(state, now, since)

    def of(self, channel: str, *, now: float, heard_since: float | None) -> FeedState | None:
        """How a channel is; None while this process is too young to know.

        Without Redis, or where the owner of its sockets is silent, it is down as far as we know.
        """
        last = self._channels.get(channel, self._nothing)
        is_young = now - self._started_at <= SILENT_SECONDS
        if is_young and (last.state is None or heard_since is None):
            return None
        if last.state is None or heard_since is None or last.is_silent(now):
            return FeedState(last.state.feed if last.state else None, DOWN, last.heard_at)
        if not last.state.is_believed:
            return last.state
        since = max(last.state.since, heard_since, last.unbroken_since)
        return last.state._replace(since=since)


class _Channel(NamedTuple):
    """What was said last, when, and since when it was said each second. None: nothing yet."""

    state: FeedState | None
    heard_at: float
    unbroken_since: float

    def is_silent(self, now: float) -> bool:
        return now - self.heard_at > SILENT_SECONDS
