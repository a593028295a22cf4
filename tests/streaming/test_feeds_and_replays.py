"""Pushes and reads in any order, lost and doubled: every socket sees 1..n once, in order (G19)."""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streaming.buffer import Outbox
from streaming.feeds import Feed
from streaming.protocol import Message

# A page of the journal, and a queue of pages and pushes under way: small, so that all are met.
PAGE = 3
SOCKETS = 4


class Streams(RuleBasedStateMachine):
    """A journal that grows, a feed that hears of it somehow, and sockets that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = Feed("A")
        self.head = 0
        self.pages: list[tuple[Outbox, list[Message]]] = []
        self.sockets = [Outbox() for _ in range(SOCKETS)]
        self.began: dict[Outbox, int] = {}
        self.heard: dict[Outbox, list[int]] = defaultdict(list)

    @initialize(head=st.integers(0, 5), pushed=st.lists(st.integers(1, 5)))
    def open(self, head: int, pushed: list[int]) -> None:
        """Read where the journal stands; pushes came before."""
        self.head = max([head, *pushed])
        for seq in pushed:
            self._show(self.feed.offer(_entry(seq)))
        self._show(self.feed.begin(head))

    @rule(count=st.integers(1, 5))
    def write(self, count: int) -> None:
        """Entries are written, and nobody hears of them."""
        self.head += count

    @rule(back=st.integers(0, 6))
    def push(self, back: int) -> None:
        """One is pushed: the newest, or one from before, again or at last."""
        if self.head > back:
            self._show(self.feed.offer(_entry(self.head - back)))

    @rule()
    def poll(self) -> None:
        """The journal's head is read, and a page of what is missing."""
        self.feed.note(self.head)
        before = self.feed.seq or 0
        for entry in self._page(before):
            self._show(self.feed.offer(entry))
        if self.feed.seq == before:
            self.feed.forget_ahead()

    @rule(number=st.integers(0, SOCKETS - 1))
    def follow(self, number: int) -> None:
        """A socket follows from now on, or goes on where it was."""
        socket = self.sockets[number]
        if socket not in self.began:
            self.began[socket] = self.feed.seq or 0
        self.feed.follow(socket)

    @rule(number=st.integers(0, SOCKETS - 1), after=st.floats(0, 1))
    def follow_after(self, number: int, after: float) -> None:
        """A socket follows anew after an entry that exists; this process may not know it yet."""
        socket = self.sockets[number]
        self.began[socket] = round(after * self.head)
        self.heard[socket].clear()
        self.feed.follow(socket, self.began[socket])

    @rule(number=st.integers(0, SOCKETS - 1))
    def leave(self, number: int) -> None:
        """A socket follows no more; pages that were read for it may still come."""
        self.feed.leave(self.sockets[number])
        self.began.pop(self.sockets[number], None)
        self.heard[self.sockets[number]].clear()

    @rule(number=st.integers(0, SOCKETS - 1))
    def read_page(self, number: int) -> None:
        """A page is read for a late socket, to be shown later."""
        after = self.feed.misses(self.sockets[number])
        if after is not None:
            self.pages.append((self.sockets[number], self._page(after)))

    @precondition(lambda self: self.pages)
    @rule(index=st.integers(0, 100))
    def show_page(self, index: int) -> None:
        """One of the pages is shown, whatever happened meanwhile."""
        socket, page = self.pages.pop(index % len(self.pages))
        for entry in page:
            if self.feed.replay(socket, entry):
                self.heard[socket].append(entry["seq"])

    @invariant()
    def every_socket_sees_each_entry_once_and_in_order(self) -> None:
        for socket, began in self.began.items():
            heard = self.heard[socket]
            assert heard == list(range(began + 1, began + 1 + len(heard)))

    def teardown(self) -> None:
        """In the end everybody has everything."""
        while (self.feed.seq or 0) < self.head:
            self.poll()
        for number, socket in enumerate(self.sockets):
            while self.feed.misses(socket) is not None:
                self.read_page(number)
                self.show_page(len(self.pages) - 1)
        for socket, began in self.began.items():
            assert self.heard[socket] == list(range(began + 1, self.head + 1))
        assert self.feed.subscribers == set(self.began)
        assert self.feed.late == {}

    def _show(self, messages: list[Message]) -> None:
        for message in messages:
            for socket in self.feed.receivers(message):
                self.heard[socket].append(message["seq"])

    def _page(self, after: int) -> list[Message]:
        return [_entry(seq) for seq in range(after + 1, self.head + 1)][:PAGE]


def _entry(seq: int) -> Message:
    return {"account_id": "A", "seq": seq}


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
