"""The market process: data sockets by lease, subscriptions by demand, ticks to everybody.

One thread decides: which sockets are ours (leases.py), what is wanted (demand.py), which socket
carries what (sides.py), how each channel is (feedstate.py). The sockets live on a loop of their
own; what they hear goes through a bounded batch (batches.py) to the bus, in messages 10 ms apart.
"""

import threading
import uuid
from collections.abc import Mapping
from math import inf
from typing import Any

import structlog
from django.db import DatabaseError

from accounts.models import FeedLease
from accounts.pool import Pool
from marketdata import leases
from marketdata.batches import Batch
from marketdata.demand import Demand
from marketdata.hours import Hours
from marketdata.leases import Socket, Told
from marketdata.publishing import Publisher
from marketdata.routing import real_ones
from marketdata.sides import Side
from marketdata.silence import Newest, SilenceWatch
from marketdata.ticks import packed
from opitios.broker.alpaca.backoff import StreamState, StreamTimers
from opitios.broker.alpaca.datastreams import Condition, DataStreams, SocketKind
from opitios.broker.alpaca.datawire import Message
from opitios.core import clock, database
from opitios.core.bus import Bus, Topic
from opitios.core.config import Config

logger = structlog.get_logger("app")

# How often states are told when nothing changes, and who listens may count on it. Seconds.
TELL_SECONDS = 1.0
# After ticks were lost, the feed is `behind` for so long. Seconds.
LOSING_SECONDS = 5.0
# Changes of so many seconds are one round.
TOGETHER_SECONDS = 0.01

# A process that lost its leases and lives has closed its sockets after so many renewals.
RENEWALS_TO_CLOSE = 1.5


class MarketFeed:
    """One market process. `run()` until `stop()`; tests call the steps."""

    def __init__(
        self, config: Config, pool: Pool, *, bus: Bus, hours: Hours, newest: Newest
    ) -> None:
        self._timers = config.timers
        self._pool, self._bus, self._hours = pool, bus, hours
        self._demand = Demand(bus)
        self.owner = f"{config.process}/{uuid.uuid4().hex[:8]}"
        self.leased: frozenset[Socket] = frozenset()
        # Until when another owner may be closing its socket (monotonic).
        self._others_until: dict[Socket, float] = {}
        self.streams = DataStreams(
            deliver=self._take,
            on_state=self._on_socket,
            timers=StreamTimers(reaped=config.timers.feed_reaped),
        )
        self.batch = Batch()
        self.publisher = Publisher(self.batch, bus)
        kinds: tuple[SocketKind, ...] = ("stock", "option")
        self._sides: dict[str, Side] = {
            kind: Side(kind, config=config, streams=self.streams, batch=self.batch)
            for kind in kinds
        }
        self.watch = SilenceWatch(newest, seconds=config.timers.feed_silence)
        self._mute: set[str] = set()
        self._due: dict[str, float] = {}
        # What was last told, by channel; and stored, by socket.
        self._told: dict[str, dict[str, Any]] = {}
        self._stored: dict[Socket, Told] = {}
        self._last_tick_at: float | None = None
        self._counted = (clock.monotonic(), 0)
        self._closing, self._wake = threading.Event(), threading.Event()

    # Life

    def run(self) -> None:
        """Work until `stop()`; then close the sockets in order and let the leases go."""
        self._pool.show("market", self.snapshot)
        self._pool.on_change(self._wake.set)
        self.streams.start()
        self.publisher.start()
        hints = self._bus.listen(Topic.DEMAND, lambda _hint: self._wake.set())
        try:
            while not self._closing.is_set():
                self._round()
        finally:
            hints.close()
            self._end()

    def stop(self) -> None:
        """End `run()`; safe in a signal handler."""
        self._closing.set()
        self._wake.set()

    def _round(self) -> None:
        try:
            self.step()
        except DatabaseError as error:
            logger.warning("the market process cannot reach postgres", error=str(error))
        except Exception:  # a process loop: its sockets have no other owner
            logger.exception("the market process failed a round")
        finally:
            database.release()
        self._wake.wait(min(self._timers.feed_poll, self._timers.lease_renew) / 2)
        self._closing.wait(TOGETHER_SECONDS)
        self._wake.clear()

    def step(self) -> None:
        """Hold the leases, bring subscriptions to the demand, say how everything is."""
        try:
            self._hold_leases()
        finally:
            # This needs no Postgres: without it nobody else can take a lease either.
            self._serve()
        self._store()

    def _serve(self) -> None:
        counted = self._demand.counted()
        accounts = real_ones(self._pool.data_accounts())
        for side in self._sides.values():
            side.serve(accounts, self._ours(side.kind), counted)
        self._look_for_mute()
        self._tell()

    def _end(self) -> None:
        """Say that nothing is live any more, and leave the sockets to others."""
        self.publisher.close()
        now = clock.now().timestamp()
        ended = {"state": "down", "reason": "ended", "since": now}
        told = [{**each, **ended} for each in self._told.values()]
        gone = [item for side in self._sides.values() for item in side.carried()]
        self.streams.stop()
        self.watch.close()
        if self.publisher.may_speak:
            self._bus.publish(
                (Topic.TICKS, packed([], gone=gone)), *((Topic.MARKET, each) for each in told)
            )
        try:
            leases.release(self.owner)
        except DatabaseError as error:
            logger.warning("the leases run out by themselves", error=str(error))
        database.release()

    # Leases

    def _hold_leases(self) -> None:
        if not self._is_due("leases", self._timers.lease_renew):
            return
        until = clock.monotonic() + self._timers.lease_valid
        try:
            held = leases.hold(self.owner, valid_seconds=self._timers.lease_valid)
        except DatabaseError:
            self.publisher.may_speak_until = until
            raise
        self._own(held)
        self.publisher.may_speak_until = until if held else -inf

    def _own(self, held: Mapping[Socket, int]) -> None:
        """Begin with what is ours now.

        Who lost it may live and not know yet. Its sockets are closed within a renewal; a connection
        before that would be refused, and then nothing could be tried until it is reaped.
        """
        if held.keys() == self.leased:
            return
        logger.info("data sockets leased", sockets=len(held), owner=self.owner)
        closed_at = clock.monotonic() + RENEWALS_TO_CLOSE * self._timers.lease_renew
        taken = {socket for socket, fence in held.items() if fence > 1} - self.leased
        self._others_until = {
            socket: self._others_until.get(socket, closed_at if socket in taken else 0.0)
            for socket in held
        }
        self.leased = frozenset(held)
        self._stored.clear()

    def _ours(self, kind: str) -> set[str]:
        """The accounts whose socket of a kind is ours, and nobody else's any more."""
        now = clock.monotonic()
        free = (socket for socket, until in self._others_until.items() if until <= now)
        return {account_id for account_id, its_kind in free if its_kind == kind}

    def _is_due(self, what: str, every: float) -> bool:
        now = clock.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True

    # On the sockets' loop

    def _take(self, name: str, messages: list[Message], received_at: float) -> None:
        self._last_tick_at = received_at
        self._side(name).take(name, messages, received_at)

    def _on_socket(self, name: str, state: StreamState) -> None:
        condition = self.streams.conditions().get(name)
        if condition is not None:
            self._side(name).note(name, condition)
        if state != "listening":
            self._mute.discard(name)
        self._wake.set()

    def _side(self, name: str) -> Side:
        return self._sides[name.rpartition(" ")[2]]

    # Telling

    def _look_for_mute(self) -> None:
        """Find sockets that should have said something, in market hours, and open them again."""
        if not self._is_due("mute", min(1.0, self._timers.feed_silence / 4)):
            return
        if not self._hours.is_open():
            return
        for name in self._mute_ones():
            logger.warning("a data socket is mute", socket=name)
            self._mute.add(name)
            self._tell()
            self.streams.reopen(name)

    def _mute_ones(self) -> list[str]:
        now, conditions = clock.now().timestamp(), self.streams.conditions()
        return [
            name
            for side in self._sides.values()
            for name, feed in side.feeds().items()
            if (condition := conditions.get(name)) is not None
            and condition.state == "listening"
            and condition.subscribed
            and self.watch.is_mute(name, side.kind, feed, condition, now)
        ]

    def _tell(self) -> None:
        """Say how each channel is: what changed at once, the others each second."""
        conditions, mute = self.streams.conditions(), frozenset(self._mute)
        is_losing = clock.monotonic() - self.publisher.lost_at < LOSING_SECONDS
        kinds = leases.of_kinds(self.leased)
        told = [
            each
            for kind, side in self._sides.items()
            if kind in kinds
            for each in side.states(conditions, mute, is_losing=is_losing)
        ]
        news = [each for each in told if self._told.get(each["channel"]) != each]
        self._told = {each["channel"]: each for each in told}
        now = told if self._is_due("tell", TELL_SECONDS) else news
        if now and self.publisher.may_speak:
            self._bus.publish(*((Topic.MARKET, each) for each in now))

    def _store(self) -> None:
        """Let the pool view know how our sockets are, where that changed."""
        if self._is_due("stored", self._timers.pool_row):
            self._stored.clear()
        conditions = self.streams.conditions()
        found = {socket: self._told_socket(socket, conditions) for socket in self.leased}
        changed = {
            socket: told
            for socket, told in found.items()
            if _news_of(self._stored.get(socket)) != _news_of(told)
        }
        leases.tell(self.owner, changed)
        self._stored |= changed

    def _told_socket(self, socket: Socket, conditions: Mapping[str, Condition]) -> Told:
        account_id, kind = socket
        side = self._sides[kind]
        name = side.name_of(account_id)
        condition, feed = conditions.get(name), side.feeds().get(name)
        if condition is None or feed is None:
            return Told(FeedLease.State.CLOSED)
        return Told(
            state=condition.state,
            reason=condition.reason,
            feed=feed,
            symbols=len({symbol for _, symbol in condition.subscribed}),
            since=leases.instant(condition.since),
            heard_at=leases.instant(condition.heard_at),
        )

    def snapshot(self) -> dict[str, Any]:
        """This process's part of its pool row. Called on the pool's thread, every few seconds."""
        (since, before), now = self._counted, clock.monotonic()
        messages = self.streams.counts["messages"]
        self._counted = now, messages
        conditions = self.streams.conditions().values()
        listening = [each for each in conditions if each.state == "listening"]
        return {
            "feed": {
                "sockets": len(listening),
                "symbols": len({symbol for each in listening for _, symbol in each.subscribed}),
                "messages_per_second": round((messages - before) / max(now - since, 0.001), 1),
                "last_tick_age_ms": self._last_tick_age_ms(),
                "conflated": self.batch.conflated,
                "dropped": self.batch.dropped,
                "reconnects": self.streams.counts["failures"],
            }
        }

    def _last_tick_age_ms(self) -> int | None:
        last = self._last_tick_at
        return None if last is None else max(0, int((clock.now().timestamp() - last) * 1000))


def _news_of(told: Told | None) -> tuple[object, ...] | None:
    """What of a socket is news: each message is not."""
    return None if told is None else (told.state, told.reason, told.feed, told.symbols, told.since)
