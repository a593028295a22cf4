"""One account's entries in the journal's order, whatever order their pushes came in. Pure."""

from collections.abc import Iterable

from streaming.buffer import Outbox
from streaming.protocol import Message

# Entries kept while an earlier one is missing; the journal gives the rest again.
MAX_AHEAD = 256


class Feed:
    """What was shown of one account, and to whom.

    `seq` is the number of the last entry shown, None until the journal's head has been read. A
    socket is a subscriber, which has seen everything up to `seq`, or it is late.
    """

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.seq: int | None = None
        self.subscribers: set[Outbox] = set()
        # The last number that each socket has which is being brought up to date; it may also be
        # ahead of us, where it heard more at another process.
        self.late: dict[Outbox, int] = {}
        # The highest number that is known to exist.
        self.known = 0
        self._ahead: dict[int, Message] = {}

    @property
    def is_behind(self) -> bool:
        """Whether an entry exists that was not shown."""
        return self.seq is not None and self.seq < self.known

    @property
    def followers(self) -> set[Outbox]:
        """Everybody who would miss it."""
        return self.subscribers.union(self.late)

    @property
    def heard(self) -> int:
        """The last number that anybody here has heard of."""
        return max(self.seq or 0, *self.late.values()) if self.late else self.seq or 0

    # Entries

    def begin(self, seq: int) -> list[Message]:
        """Go on from the journal's head: the messages that came while it was being read."""
        self.seq = seq
        self.note(seq)
        self._ahead = {number: told for number, told in self._ahead.items() if number > seq}
        return self._in_order(seq)

    def note(self, seq: int) -> None:
        """Hear that an entry of this number exists."""
        self.known = max(self.known, seq)

    def offer(self, message: Message) -> list[Message]:
        """Take a message, pushed or read: what can be shown now, in order, none twice."""
        number: int = message["seq"]
        self.note(number)
        if self.seq is not None and number <= self.seq:
            return []
        if len(self._ahead) < MAX_AHEAD or number - 1 == self.seq:
            self._ahead.setdefault(number, message)
        return [] if self.seq is None else self._in_order(self.seq)

    def forget_ahead(self) -> None:
        """Believe the journal: what it does not hold does not exist."""
        self._ahead.clear()
        self.known = self.seq or 0

    def rewind(self, seq: int) -> list[Outbox]:
        """Go back to a journal that ends before what was shown; the sockets that saw beyond."""
        gone = [socket for socket, number in self.late.items() if number > seq]
        told = [*self.subscribers, *gone]
        for socket in gone:
            del self.late[socket]
        self.subscribers.update(gone)
        self.seq = seq
        self.forget_ahead()
        return told

    def _in_order(self, seq: int) -> list[Message]:
        ready = []
        while (message := self._ahead.pop(seq + 1, None)) is not None:
            ready.append(message)
            seq += 1
        self.seq = seq
        return ready

    # Sockets

    def follow(self, socket: Outbox, after: int | None = None) -> None:
        """Let a socket see what comes from now on; with `after` everything beyond that number."""
        if after is not None:
            self.subscribers.discard(socket)
            self._bring_to(socket, after)
        elif socket not in self.late:
            self.subscribers.add(socket)

    def leave(self, socket: Outbox) -> None:
        """Let a socket see nothing more."""
        self.subscribers.discard(socket)
        self.late.pop(socket, None)

    def receivers(self, message: Message) -> Iterable[Outbox]:
        """Whom to show a message that `offer` gave; from then on those, too, who saw it before."""
        if not self.late:
            return self.subscribers
        shown = list(self.subscribers)
        for socket, number in list(self.late.items()):
            if number == message["seq"]:
                del self.late[socket]
                self.subscribers.add(socket)
        return shown

    def replay(self, socket: Outbox, message: Message) -> bool:
        """Whether a late socket misses this message next: then show it at once.

        One that has everything with it is a subscriber; what a page holds twice, or for one that
        left meanwhile or began anew, is not for it.
        """
        if self.late.get(socket) != message["seq"] - 1:
            return False
        self._bring_to(socket, message["seq"])
        return True

    def misses(self, socket: Outbox) -> int | None:
        """After which number a late socket can be shown more, None where it waits for us."""
        number = self.late.get(socket)
        if number is None or self.seq is None or number >= self.seq:
            return None
        return number

    def _bring_to(self, socket: Outbox, seq: int) -> None:
        self.late[socket] = seq
        self.note(seq)
        if seq == self.seq:
            del self.late[socket]
            self.subscribers.add(socket)
