"""What the data sockets told their owner, and how a test waits for it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opitios.broker.alpaca.datastreams import Condition, DataSocket, DataStreams
from opitios.broker.alpaca.datawire import Message
from opitios.broker.port import Credentials
from tests.broker.conftest import KEY_ID, SECRET, STREAM_TIMERS
from tests.support.until import until

TIMERS = replace(STREAM_TIMERS, reaped=1.0)
KEYS = Credentials(KEY_ID, SECRET)


class Heard:
    """An owner of data sockets: keeps messages by symbol and states in their order."""

    def __init__(self, **timers: float) -> None:
        self.messages: list[Message] = []
        self.states: list[str] = []
        self.streams = DataStreams(
            deliver=self.deliver, on_state=self.on_state, timers=replace(TIMERS, **timers)
        )

    def deliver(self, _name: str, messages: list[Message], received_at: float) -> None:
        assert received_at > 0
        self.messages += messages

    def on_state(self, _name: str, state: str) -> None:
        if self.states[-1:] != [state]:
            self.states.append(state)

    def open(self, url: str, keys: Credentials = KEYS, **how: Any) -> None:
        """Open the one socket of this owner."""
        self.streams.open_all([DataSocket("one", keys, url, **how)])

    def want(self, *pairs: str) -> None:
        """Want `quotes AAPL` and the like."""
        told = [pair.partition(" ") for pair in pairs]
        self.streams.want("one", [(channel, symbol) for channel, _, symbol in told])

    @property
    def condition(self) -> Condition:
        """How the socket is."""
        return self.streams.conditions()["one"]

    def has(self, *pairs: str) -> bool:
        """Whether exactly these are subscribed."""
        return {" ".join(pair) for pair in self.condition.subscribed} == set(pairs)

    def until_has(self, *pairs: str) -> None:
        """Wait until exactly these are subscribed."""
        until(lambda: self.has(*pairs))

    def told(self) -> Counter[tuple[Any, Any]]:
        """How often each kind of message came of each symbol."""
        return Counter((each["T"], each["S"]) for each in self.messages)

    def hears(self, kind: str, symbol: str) -> Message:
        """Wait for such a message; the first of those since `messages` was last cleared."""
        wanted = (kind, symbol)

        def found() -> Message:
            told = ((each.get("T"), each.get("S")) for each in self.messages)
            return next((self.messages[at] for at, is_it in enumerate(told) if is_it == wanted), {})

        return until(found)


@contextmanager
def listening() -> Iterator[Callable[..., Heard]]:
    """Make owners, with other timers where they are named, and stop what they opened."""
    made: list[Heard] = []

    def start(**timers: float) -> Heard:
        made.append(Heard(**timers))
        made[-1].streams.start()
        return made[-1]

    try:
        yield start
    finally:
        for each in made:
            each.streams.stop()
