"""The market process: data sockets by lease, subscriptions by demand, ticks to everybody.

One thread decides: which sockets are ours (leases.py), what is wanted (demand.py), which socket
carries what (sharing.py), how each channel is (feedstate.py). The sockets live on a loop of their
own; what they hear goes through a bounded batch (batches.py) to the bus, in messages 10 ms apart.
"""

import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from typing import Any

import structlog
from django.db import DatabaseError

from accounts.models import Account, FeedLease
from accounts.pool import Pool, PooledAccount
from marketdata import leases
from marketdata.batches import Batch
from marketdata.demand import Demand
from marketdata.feedstate import FeedStates, Ground
from marketdata.hours import Hours
from marketdata.leases import Socket, Told
from marketdata.routing import real_ones
from marketdata.sharing import Outlet, in_use, share
from marketdata.silence import Newest, SilenceWatch
from marketdata.ticks import (
    OPTION_CHANNELS,
    OPTION_WORDS,
    STOCK_CHANNELS,
    STOCK_WORDS,
    Item,
    Tick,
    packed,
)
from opitios.broker.alpaca.backoff import StreamState, StreamTimers
from opitios.broker.alpaca.datastreams import (
    PATHS,
    SYMBOL_LIMIT,
    Condition,
    DataSocket,
    DataStreams,
    Kind,
    Pair,
)
from opitios.broker.alpaca.datawire import Message
from opitios.core import clock, database
from opitios.core.bus import Bus, Topic
from opitios.core.config import Config

logger = structlog.get_logger("app")

# Between two messages of ticks; a first one goes at once. Seconds.
BATCH_SECONDS = 0.01
# Ticks in one message of the bus: about a quarter of a megabyte.
MOST_A_MESSAGE = 2000
# How often states are told when nothing changes, and who listens may count on it. Seconds.
TELL_SECONDS = 1.0
# After ticks were lost, the feed is `behind` for so long. Seconds.
LOSING_SECONDS = 5.0
# Changes of so many seconds are one round.
TOGETHER_SECONDS = 0.01

# A process that lost its leases and lives has closed its sockets after so many renewals.
RENEWALS_TO_CLOSE = 1.5

# What a plan carries on one socket (alpaca-wire.md §2), and what it hears.
_BASIC_ROOM = {"stock": 30, "option": 200}
_FEEDS = {"stock": ("iex", "sip"), "option": ("indicative", "opra")}

# Only other keys help: nothing is expected of them any more.
_HOPELESS = frozenset({"unauthorized", "refused", "throttled"})


@dataclass(slots=True)
class _Side:
    """All sockets of one kind. `words`: our channels by Alpaca's name; `kinds`: by message."""

    kind: Kind
    words: Mapping[str, str]
    channels: Mapping[str, str]
    feed: str = ""
    # What carries each symbol, and since when each is wanted, by channel (epoch seconds).
    placed: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, dict[str, float]] = field(default_factory=dict)

    def want(self, counted: Mapping[str, Mapping[str, int]], now: float) -> dict[str, int]:
        """Note what is wanted of each channel; how often each symbol is in all of them."""
        demand: dict[str, int] = {}
        for channel in self.words:
            before = self.wanted.get(channel, {})
            told = counted.get(channel, {})
            self.wanted[channel] = {symbol: before.get(symbol, now) for symbol in told}
            for symbol, held in told.items():
                demand[symbol] = demand.get(symbol, 0) + held
        return demand

    def pairs(self, name: str) -> list[Pair]:
        """What a socket is to be subscribed to."""
        return [
            (word, symbol)
            for channel, word in self.words.items()
            for symbol in self.wanted.get(channel, ())
            if self.placed.get(symbol) == name
        ]


class MarketFeed:
    """One market process. `run()` until `stop()`; tests call the steps."""

    def __init__(
        self, config: Config, pool: Pool, *, bus: Bus, hours: Hours, newest: Newest
    ) -> None:
        self._config, self._timers = config, config.timers
        self._pool, self._bus, self._hours = pool, bus, hours
        self._demand = Demand(bus)
        self.owner = f"{config.process}/{uuid.uuid4().hex[:8]}"
        self.leased: frozenset[Socket] = frozenset()
        # Until when another owner may be closing its socket (monotonic).
        self._others_until: dict[Socket, float] = {}
        self.sides = (
            _Side("stock", STOCK_WORDS, STOCK_CHANNELS),
            _Side("option", OPTION_WORDS, OPTION_CHANNELS),
        )
        self.streams = DataStreams(
            deliver=self._take,
            on_state=self._on_socket,
            timers=StreamTimers(reaped=config.timers.feed_reaped),
        )
        self._batch = Batch()
        self._watch = SilenceWatch(newest, seconds=config.timers.feed_silence)
        self._states = FeedStates()
        # By name: the key and address a socket was opened with; its side and feed.
        self._open: dict[str, tuple[int, str]] = {}
        self._heard_on: dict[str, tuple[_Side, str]] = {}
        # By name: since when it does not listen, what it was seen to carry, how many it can.
        self._not_listening: dict[str, float] = {}
        self._carried: dict[str, frozenset[Pair]] = {}
        self._limits: dict[str, int] = {}
        self._mute: set[str] = set()
        self._due: dict[str, float] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._stored: dict[Socket, Told] = {}
        # A process that slept is not to speak before it knows that it still may (monotonic).
        self._may_speak_until = float("-inf")
        self._lost_at, self._dropped = float("-inf"), 0
        self._last_tick_at: float | None = None
        self._counted = (clock.monotonic(), 0)
        self._closing, self._wake = threading.Event(), threading.Event()
        self._publisher = threading.Thread(target=self._publish, name="ticks", daemon=True)

    # Life

    def run(self) -> None:
        """Work until `stop()`; then close the sockets in order and let the leases go."""
        self._pool.show("market", self.snapshot)
        self._pool.on_change(self._wake.set)
        self.streams.start()
        self._publisher.start()
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
        except Exception:
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
            # What follows needs no Postgres: without it nobody else can take a lease either.
            self._serve()
        self._store()

    def _serve(self) -> None:
        counted = self._demand.counted()
        for side in self.sides:
            self._serve_side(side, counted)
        self._look_for_mute()
        self._tell()

    def _end(self) -> None:
        """Say that nothing is live any more, and leave the sockets to others."""
        now = clock.now().timestamp()
        gone = [pair for name in list(self._open) for pair in self._items(name)]
        told = [
            {"channel": each["channel"], "feed": each["feed"], "state": "down", "since": now,
             "reason": "ended"}
            for each in self._told.values()
        ]  # fmt: skip
        self.streams.stop()
        self._watch.close()
        self._bus.publish((Topic.TICKS, packed([], gone=gone)), *((Topic.MARKET, m) for m in told))
        try:
            leases.release(self.owner)
        except DatabaseError as error:
            logger.warning("the leases run out by themselves", error=str(error))
        database.release()

    # Leases

    def _hold_leases(self) -> None:
        if not self._is_due("leases", self._timers.lease_renew):
            return
        began, valid = clock.monotonic(), self._timers.lease_valid
        try:
            held = leases.hold(self.owner, valid_seconds=valid)
        except DatabaseError:
            self._may_speak_until = began + valid
            raise
        self._own(held)
        self._may_speak_until = began + valid if held else float("-inf")

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

    def _is_due(self, what: str, every: float) -> bool:
        now = clock.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True

    # Sockets and what they carry

    def _serve_side(self, side: _Side, counted: Mapping[str, Mapping[str, int]]) -> None:
        able = self._able(side)
        demand = side.want(counted, clock.now().timestamp())
        outlets = in_use(self._outlets(side, able), len(demand))
        used = {one.name for one in outlets}
        self._keep_open(side, [each for each in able if _name(each, side.kind) in used])
        side.placed = share(demand, outlets, side.placed)
        for name in used:
            self.streams.want(name, side.pairs(name))

    def _able(self, side: _Side) -> list[PooledAccount]:
        """Our accounts that can carry this side's feed, best first; chooses the feed."""
        accounts = real_ones(self._pool.data_accounts())
        side.feed = self._feed(side.kind, accounts)
        basic, _ = _FEEDS[side.kind]
        return [
            one
            for one in accounts
            if self._others_until.get((one.account_id, side.kind), inf) <= clock.monotonic()
            and (one.data_plan == Account.DataPlan.PLUS or side.feed in {basic, "delayed_sip"})
        ]

    def _feed(self, kind: Kind, accounts: Iterable[PooledAccount]) -> str:
        chosen = self._config.stock_feed if kind == "stock" else self._config.option_feed
        is_plus = any(one.data_plan == Account.DataPlan.PLUS for one in accounts)
        return chosen or _FEEDS[kind][is_plus]

    def _outlets(self, side: _Side, able: list[PooledAccount]) -> list[Outlet]:
        """The sockets there could be: accounts of one type have one rank."""
        conditions = self.streams.conditions()
        groups = groupby(able, key=lambda one: one.account_type)
        return [
            self._outlet(side, one, rank, conditions)
            for rank, (_, members) in enumerate(groups)
            for one in members
        ]

    def _outlet(
        self, side: _Side, one: PooledAccount, rank: int, conditions: Mapping[str, Condition]
    ) -> Outlet:
        name = _name(one, side.kind)
        is_limited = (
            one.data_plan == Account.DataPlan.BASIC
            and one.environment != Account.Environment.SANDBOX
        )
        room = float(_BASIC_ROOM[side.kind]) if is_limited else inf
        condition = conditions.get(name)
        if condition is not None and SYMBOL_LIMIT in condition.refused.values():
            # The broker's word: what it carries now is what it can.
            self._limits[name] = max(1, len({symbol for _, symbol in condition.subscribed}))
        return Outlet(
            name, rank, min(room, self._limits.get(name, inf)), self._is_failing(name, condition)
        )

    def _is_failing(self, name: str, condition: Condition | None) -> bool:
        if condition is None or condition.state == "listening":
            self._not_listening.pop(name, None)
            return False
        now = clock.monotonic()
        since = self._not_listening.setdefault(name, now)
        return condition.state in _HOPELESS or now - since > self._timers.feed_failover

    def _keep_open(self, side: _Side, accounts: list[PooledAccount]) -> None:
        """Open what is to be open with its present key and address, and close the others."""
        wanted = {
            _name(one, side.kind): (
                one,
                f"{one.endpoint.data_stream_url}{PATHS[side.kind]}{side.feed}",
            )
            for one in accounts
        }
        mine = {name for name, (heard, _) in self._heard_on.items() if heard is side}
        self._close(mine - wanted.keys())
        new = []
        for name, (one, url) in wanted.items():
            if self._open.get(name) != (one.key_version, url):
                self._open[name] = (one.key_version, url)
                self._heard_on[name] = (side, side.feed)
                self._limits.pop(name, None)
                new.append(DataSocket(name, one.credentials, url))
        if new:
            self.streams.open_all(new)

    def _close(self, names: set[str]) -> None:
        for name in names:
            self._batch.put_gone(self._items(name))
            del self._open[name], self._heard_on[name]
            self._carried.pop(name, None)
            self._not_listening.pop(name, None)
            self._mute.discard(name)
        if names:
            self.streams.drop_all(names)

    def _items(self, name: str) -> list[Item]:
        """What a socket was seen to carry, in our words."""
        side, _ = self._heard_on[name]
        ours = {word: channel for channel, word in side.words.items()}
        return [
            (ours[word], symbol) for word, symbol in self._carried.get(name, ()) if word in ours
        ]

    # On the sockets' loop

    def _take(self, name: str, messages: list[Message], received_at: float) -> None:
        heard = self._heard_on.get(name)
        if heard is None:
            return
        side, feed = heard
        self._last_tick_at = received_at
        self._batch.put(_ticks(side.channels, feed, messages, received_at))

    def _on_socket(self, name: str, state: StreamState) -> None:
        """Tell what a socket does not carry any more."""
        condition = self.streams.conditions().get(name)
        heard = self._heard_on.get(name)
        if condition is not None and heard is not None:
            before = self._carried.get(name, frozenset())
            self._carried[name] = condition.subscribed
            ours = {word: channel for channel, word in heard[0].words.items()}
            lost = before - condition.subscribed
            if lost:
                self._batch.put_gone((ours[word], symbol) for word, symbol in lost if word in ours)
        if state != "listening":
            self._mute.discard(name)
        self._wake.set()

    # Telling

    def _look_for_mute(self) -> None:
        """Find sockets that should have said something, in market hours, and open them again."""
        if not self._is_due("mute", min(1.0, self._timers.feed_silence / 4)):
            return
        if not self._hours.is_open():
            return
        now = clock.now().timestamp()
        for name, condition in self.streams.conditions().items():
            heard = self._heard_on.get(name)
            if heard is None or condition.state != "listening" or not condition.subscribed:
                continue
            side, feed = heard
            if self._watch.is_mute(name, side.kind, feed, condition, now):
                logger.warning("a data socket is mute", socket=name)
                self._mute.add(name)
                self._tell()
                self.streams.reopen(name)

    def _tell(self) -> None:
        """Say how each channel is: what changed at once, the others each second."""
        told = [each for side in self.sides for each in self._told_of(side)]
        news = [each for each in told if self._told.get(each["channel"]) != each]
        self._told = {each["channel"]: each for each in told}
        is_time = self._is_due("tell", TELL_SECONDS)
        if clock.monotonic() < self._may_speak_until:
            self._bus.publish(*((Topic.MARKET, each) for each in (told if is_time else news)))

    def _told_of(self, side: _Side) -> Iterable[dict[str, Any]]:
        if side.kind not in leases.of_kinds(self.leased):
            return
        now = clock.now().timestamp()
        conditions = self.streams.conditions()
        mine = {name: conditions[name] for name in self._names(side) if name in conditions}
        is_losing = clock.monotonic() - self._lost_at < LOSING_SECONDS
        for channel, word in side.words.items():
            wanted = side.wanted.get(channel, {})
            ground = Ground(word, wanted, side.placed, mine, frozenset(self._mute), is_losing)
            yield self._states.note(channel, side.feed, ground, now)

    def _names(self, side: _Side) -> list[str]:
        return [name for name, (heard, _) in list(self._heard_on.items()) if heard is side]

    def _store(self) -> None:
        """Let the pool view know how our sockets are, where that changed."""
        if self._is_due("stored", self._timers.pool_row):
            self._stored.clear()
        conditions = self.streams.conditions()
        now = {socket: self._told_socket(socket, conditions) for socket in self.leased}
        changed = {
            socket: told
            for socket, told in now.items()
            if _shown(self._stored.get(socket)) != _shown(told)
        }
        leases.tell(self.owner, changed)
        self._stored |= changed

    def _told_socket(self, socket: Socket, conditions: Mapping[str, Condition]) -> Told:
        name = " ".join(socket)
        condition, heard = conditions.get(name), self._heard_on.get(name)
        if condition is None or heard is None:
            return Told(FeedLease.State.CLOSED)
        return Told(
            state=condition.state,
            reason=condition.reason,
            feed=heard[1],
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
        last = self._last_tick_at
        age = None if last is None else max(0, int((clock.now().timestamp() - last) * 1000))
        return {
            "feed": {
                "sockets": len(listening),
                "symbols": len({symbol for each in listening for _, symbol in each.subscribed}),
                "messages_per_second": round((messages - before) / max(now - since, 0.001), 1),
                "last_tick_age_ms": age,
                "conflated": self._batch.conflated,
                "dropped": self._batch.dropped,
                "reconnects": self.streams.counts["failures"],
            }
        }

    # The publisher's thread

    def _publish(self) -> None:
        while not self._closing.is_set():
            if not self._batch.arrived.wait(0.5):
                continue
            try:
                self._publish_batch()
            except Exception:
                logger.exception("ticks could not be published")
                self._lost_at = clock.monotonic()
            self._closing.wait(BATCH_SECONDS)

    def _publish_batch(self) -> None:
        ticks, gone = self._batch.take()
        # Somebody else may own the sockets by now.
        sent = clock.monotonic() < self._may_speak_until
        for start in range(0, max(1, len(ticks)), MOST_A_MESSAGE):
            part = packed(ticks[start : start + MOST_A_MESSAGE], gone=() if start else gone)
            sent = sent and self._bus.publish((Topic.TICKS, part))
        dropped = self._batch.dropped
        if not sent or dropped != self._dropped:
            self._lost_at, self._dropped = clock.monotonic(), dropped


def _ticks(
    channels: Mapping[str, str], feed: str, messages: list[Message], at: float
) -> Iterable[Tick]:
    """Make ticks of what a socket told; what is none of our channels is skipped."""
    for message in messages:
        channel, symbol = channels.get(message.pop("T", "")), message.pop("S", None)
        if channel is not None and isinstance(symbol, str):
            yield Tick(channel, feed, symbol, at, message)


def _name(account: PooledAccount, kind: str) -> str:
    return f"{account.account_id} {kind}"


def _shown(told: Told | None) -> tuple[object, ...] | None:
    """What of a socket is news: each message is not."""
    return None if told is None else (told.state, told.reason, told.feed, told.symbols, told.since)
