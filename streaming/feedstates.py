"""How the live feed of each channel is, and what of it a client is told. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

LIVE, DOWN, BEHIND = "live", "down", "behind"

# Seconds without a word of the market process, which speaks each second, that count as its end.
SILENT_SECONDS = 3.0
# Each new symbol makes its channel `behind` for a moment: seconds of it that nobody is told of.
CATCH_UP_SECONDS = 2.0


class FeedState(NamedTuple):
    """How one channel is for this process.

    state: `live`, `down`, `stale` or `behind`. since: when that began, in epoch seconds.
    heard_since: since when this process has listened without a gap, None where it does not.
    """

    feed: str | None
    state: str
    since: float
    heard_since: float | None

    @property
    def key(self) -> tuple[object, ...]:
        """What must differ for a client to be told again: also after a gap that was mended."""
        return self.feed, self.state, self.heard_since

    def is_lasting(self, now: float) -> bool:
        """Whether those who follow the channel already are told of it."""
        return self.state != BEHIND or now - self.since >= CATCH_UP_SECONDS

    def covers(self, at: float) -> bool:
        """Whether everything was heard from before this instant until now (epoch seconds)."""
        return self.state == LIVE and self.since <= at


class FeedStates:
    """The last that was heard of each channel. All times are epoch seconds."""

    def __init__(self, *, started_at: float) -> None:
        self._states: dict[str, FeedState] = {}
        self._heard_at = started_at

    def note(self, message: Mapping[str, Any], now: float) -> None:
        """Hear one message of Topic.MARKET."""
        self._heard_at = now
        told = FeedState(message["feed"], message["state"], message["since"], None)
        self._states[message["channel"]] = told

    def of(self, channel: str, *, now: float, heard_since: float | None) -> FeedState | None:
        """How a channel is; None while this process is too young to know.

        Without Redis, or where the market process is silent, it is down as far as we know.
        """
        last = self._states.get(channel)
        is_silent = now - self._heard_at > SILENT_SECONDS
        if last is None and not is_silent:
            return None
        if last is None or is_silent or heard_since is None:
            return FeedState(None if last is None else last.feed, DOWN, self._heard_at, None)
        since = max(last.since, heard_since) if last.state == LIVE else last.since
        return last._replace(since=since, heard_since=heard_since)
