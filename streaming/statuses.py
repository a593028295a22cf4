"""What sockets were told of their channels' feeds: every change once, at first what is amiss."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from marketdata.feedstate import LIVE
from marketdata.ticks import Item
from opitios.core import clock
from streaming import protocol
from streaming.audiences import Audience
from streaming.buffer import Outbox
from streaming.feedstates import FeedState
from streaming.frames import Frame


class Statuses:
    """The last status of each socket and channel."""

    def __init__(self) -> None:
        self._told: dict[Outbox, dict[str, object]] = {}

    def __len__(self) -> int:
        """How many sockets follow any channel."""
        return len(self._told)

    def greet(
        self, socket: Outbox, channel: str, state: FeedState, items: Collection[Item]
    ) -> None:
        """Tell one who follows a channel from now on, if anything is amiss."""
        missing = state.missing_of(channel, items)
        self._told.setdefault(socket, {})[channel] = state.key(missing)
        if state.state != LIVE or missing:
            socket.put(_frame(channel, state, missing))

    def keep(self, socket: Outbox, channels: Collection[str]) -> None:
        """Forget the channels that a socket does not follow any more."""
        told = {name: key for name, key in self._told.pop(socket, {}).items() if name in channels}
        if told:
            self._told[socket] = told

    def tell(self, channel: str, state: FeedState, audiences: Iterable[Audience]) -> None:
        """Tell who follows a channel how its feed is, where that is not what they were told."""
        for audience in audiences:
            if channel in audience.channels:
                self._tell(channel, state, audience)

    def _tell(self, channel: str, state: FeedState, audience: Audience) -> None:
        missing = state.missing_of(channel, audience.items)
        key = state.key(missing)
        untold = [each for each in audience.sockets if self._key(each, channel) != key]
        if untold:
            frame = _frame(channel, state, missing)
            for socket in untold:
                self._told.setdefault(socket, {})[channel] = key
                socket.put(frame)

    def _key(self, socket: Outbox, channel: str) -> object:
        return self._told.get(socket, {}).get(channel)


def _frame(channel: str, state: FeedState, missing: Collection[str]) -> Frame:
    return protocol.status(
        channel,
        feed=state.feed,
        state=state.state,
        since=clock.rfc3339(datetime.fromtimestamp(state.since, tz=UTC)),
        missing=sorted(missing),
    )
