"""One account's entries in the journal's order, whatever order their pushes came in. Pure."""

from streaming.buffer import Outbox
from streaming.protocol import Message

# Entries kept while an earlier one is missing; the journal gives the rest again.
MAX_AHEAD = 256


class Feed:
    """What was shown of one account, and to whom.

    `seq` is the number of the last entry shown, None until the journal's head has been read.
    """

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.seq: int | None = None
        self.subscribers: set[Outbox] = set()
        # The highest number that is known to exist.
        self.known = 0
        self._ahead: dict[int, Message] = {}

    @property
    def is_behind(self) -> bool:
        """Whether an entry exists that was not shown."""
        return self.seq is not None and self.seq < self.known

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

    def _in_order(self, seq: int) -> list[Message]:
        ready = []
        while (message := self._ahead.pop(seq + 1, None)) is not None:
            ready.append(message)
            seq += 1
        self.seq = seq
        return ready
