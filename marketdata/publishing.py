"""Brings ticks from the batch to everybody, in messages 10 ms apart; a first one goes at once."""

import threading
from collections import Counter
from collections.abc import Sequence

import structlog

from marketdata.batches import Batch
from marketdata.counters import TICKS, TICKS_LOST
from marketdata.ticks import Item, Tick, packed
from opitios.core import clock
from opitios.core.bus import Bus, Topic

logger = structlog.get_logger("app")

# Between two messages of ticks. Seconds.
BATCH_SECONDS = 0.01
# Ticks in one message of the bus: about a quarter of a megabyte.
MOST_A_MESSAGE = 2000


class Publisher(threading.Thread):
    """One thread that publishes what waits in a batch.

    It speaks until `may_speak_until` (monotonic seconds), which its owner moves on as long as it
    certainly owns the sockets: one that slept is silent until then.
    """

    def __init__(self, batch: Batch, bus: Bus) -> None:
        super().__init__(name="ticks", daemon=True)
        self.may_speak_until = float("-inf")
        # When ticks were last lost (monotonic).
        self.lost_at = float("-inf")
        self._batch, self._bus = batch, bus
        self._dropped = 0
        self._closing = threading.Event()

    @property
    def may_speak(self) -> bool:
        """Whether nobody else can own the sockets."""
        return clock.monotonic() < self.may_speak_until

    def run(self) -> None:
        """Publish until closed."""
        while not self._closing.is_set():
            if not self._batch.arrived.wait(0.5):
                continue
            try:
                self.publish()
            except Exception:  # a process loop: what follows is to be published
                logger.exception("ticks could not be published")
                self.lost_at = clock.monotonic()
            self._closing.wait(BATCH_SECONDS)

    def close(self) -> None:
        """Publish nothing more."""
        self._closing.set()
        self._batch.arrived.set()
        if self.is_alive():
            self.join(timeout=3)

    def publish(self) -> None:
        """Publish what waits now, or lose it where we may not speak or Redis is away."""
        ticks, gone = self._batch.take()
        is_sent = self.may_speak and self._send(ticks, gone)
        dropped = self._batch.dropped
        lost = dropped - self._dropped + (0 if is_sent else len(ticks))
        if lost or not is_sent:
            self.lost_at, self._dropped = clock.monotonic(), dropped
            TICKS_LOST.add((), lost)
        else:
            for channel, count in Counter(tick.channel for tick in ticks).items():
                TICKS.add((channel,), count)

    def _send(self, ticks: Sequence[Tick], gone: Sequence[Item]) -> bool:
        for start in range(0, max(1, len(ticks)), MOST_A_MESSAGE):
            part = packed(ticks[start : start + MOST_A_MESSAGE], gone=() if start else gone)
            if not self._bus.publish((Topic.TICKS, part)):
                return False
        return True
