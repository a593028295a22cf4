"""Who follows which market data. Sockets that follow the same are one audience: they share frames.

Pure.
"""

from collections.abc import Collection, Iterator

from marketdata.ticks import Item
from streaming.buffer import Outbox


class Audience:
    """Sockets that follow the same items: what one of them is sent, all of them are."""

    __slots__ = ("channels", "items", "sockets")

    def __init__(self, items: frozenset[Item]) -> None:
        self.items = items
        self.channels = frozenset(channel for channel, _ in items)
        self.sockets: set[Outbox] = set()


class Audiences:
    """The sockets of a process by what they follow."""

    def __init__(self) -> None:
        self._of_items: dict[frozenset[Item], Audience] = {}
        self._of_item: dict[Item, set[Audience]] = {}
        self._of_socket: dict[Outbox, Audience] = {}

    def __contains__(self, item: Item) -> bool:
        return item in self._of_item

    def __len__(self) -> int:
        """How many items somebody follows."""
        return len(self._of_item)

    def followed(self, socket: Outbox) -> frozenset[Item]:
        """What a socket follows."""
        audience = self._of_socket.get(socket)
        return frozenset() if audience is None else audience.items

    def of(self, item: Item) -> Collection[Audience]:
        """Find who follows an item."""
        return self._of_item.get(item, ())

    def all(self) -> Iterator[Audience]:
        """Go through everybody."""
        return iter(self._of_items.values())

    def move(self, socket: Outbox, items: frozenset[Item]) -> None:
        """Let a socket follow these items and no others.

        An item that stays is followed at every moment: other threads look.
        """
        before = self._of_socket.pop(socket, None)
        if items:
            audience = self._of_items.get(items) or self._made(items)
            audience.sockets.add(socket)
            self._of_socket[socket] = audience
        if before is not None and before.items != items:
            before.sockets.discard(socket)
            self._drop_if_empty(before)

    def _made(self, items: frozenset[Item]) -> Audience:
        audience = self._of_items[items] = Audience(items)
        for item in items:
            self._of_item.setdefault(item, set()).add(audience)
        return audience

    def _drop_if_empty(self, audience: Audience) -> None:
        if audience.sockets:
            return
        del self._of_items[audience.items]
        for item in audience.items:
            following = self._of_item[item]
            following.discard(audience)
            if not following:
                del self._of_item[item]
