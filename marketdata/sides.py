"""One kind of data socket: which of our accounts' are open, and what each carries.

The market process (feed.py) has one side for stocks and one for options. One thread serves it; what
the sockets' loop tells of them comes in by `take` and `note`.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import groupby
from math import inf
from typing import Any

from accounts.models import Account
from accounts.pool import PooledAccount
from marketdata.batches import Batch
from marketdata.feedstate import FeedStates, Ground
from marketdata.sharing import Outlet, in_use, share
from marketdata.ticks import OPTION_CHANNELS, STOCK_CHANNELS, Item, Tick
from opitios.broker.alpaca.datastreams import (
    PATHS,
    SYMBOL_LIMIT,
    Condition,
    DataSocket,
    DataStreams,
    Pair,
    SocketKind,
)
from opitios.broker.alpaca.datawire import Message
from opitios.core import clock
from opitios.core.config import Config

# What the basic plan carries on one socket (alpaca-wire.md §2), and what each plan hears.
_BASIC_ROOM: Mapping[SocketKind, int] = {"stock": 30, "option": 200}
_FEEDS: Mapping[SocketKind, tuple[str, str]] = {
    "stock": ("iex", "sip"),
    "option": ("indicative", "opra"),
}
# A feed that both plans hear.
_DELAYED = "delayed_sip"

# Nothing is to be expected of such a socket soon: its symbols go elsewhere at once.
_HOPELESS = frozenset({"unauthorized", "refused", "throttled"})

# Alpaca's names of our channels on the sockets.
_WORDS = {"t": "trades", "q": "quotes", "b": "bars"}
_CHANNELS: Mapping[SocketKind, Mapping[str, str]] = {
    "stock": STOCK_CHANNELS,
    "option": OPTION_CHANNELS,
}


class Side:
    """All data sockets of one kind. A socket's name is its account's id and the kind."""

    def __init__(
        self, kind: SocketKind, *, config: Config, streams: DataStreams, batch: Batch
    ) -> None:
        self.kind = kind
        self.feed = ""
        self._config, self._streams, self._batch = config, streams, batch
        # Our channel by Alpaca's word for a message, and by Alpaca's name of the channel.
        self._channels = _CHANNELS[kind]
        self._ours = {_WORDS[word]: channel for word, channel in self._channels.items()}
        self._states = FeedStates()
        # What carries each symbol, and since when each is wanted, by channel (epoch seconds).
        self._placed: dict[str, str] = {}
        self._wanted: dict[str, dict[str, float]] = {}
        # By socket: the key and address it was opened with, and its feed.
        self._open: dict[str, tuple[int, str]] = {}
        self._feeds: dict[str, str] = {}
        # By socket: since when it does not listen, what it was seen to carry, how many it can.
        self._not_listening: dict[str, float] = {}
        self._carried: dict[str, frozenset[Pair]] = {}
        self._limits: dict[str, int] = {}

    # Serving

    def serve(
        self,
        accounts: list[PooledAccount],
        ours: AbstractSet[str],
        counted: Mapping[str, Mapping[str, int]],
    ) -> None:
        """Open what is needed, close the rest, and bring subscriptions to the demand.

        accounts: all that may carry market data, best first. ours: the ids of those whose socket we
        own. counted: by channel, how often each symbol is held.
        """
        self.feed = self._feed_of(accounts)
        able = [one for one in accounts if one.account_id in ours and self._hears(one)]
        demand = self._note_demand(counted, clock.now().timestamp())
        outlets = in_use(self._outlets(able), len(demand))
        used = {one.name for one in outlets}
        self._keep_open([one for one in able if self.name_of(one.account_id) in used])
        self._placed = share(demand, outlets, self._placed)
        for name in used:
            self._streams.want(name, self._pairs(name))

    def name_of(self, account_id: str) -> str:
        """What the account's socket is called."""
        return f"{account_id} {self.kind}"

    def _note_demand(self, counted: Mapping[str, Mapping[str, int]], now: float) -> dict[str, int]:
        """Note what is wanted of each channel; how often each symbol is in all of them."""
        demand: dict[str, int] = {}
        for channel in self._ours.values():
            before, told = self._wanted.get(channel, {}), counted.get(channel, {})
            self._wanted[channel] = {symbol: before.get(symbol, now) for symbol in told}
            for symbol, held in told.items():
                demand[symbol] = demand.get(symbol, 0) + held
        return demand

    def _pairs(self, name: str) -> list[Pair]:
        """What a socket is to be subscribed to."""
        return [
            (word, symbol)
            for word, channel in self._ours.items()
            for symbol in self._wanted[channel]
            if self._placed.get(symbol) == name
        ]

    def _feed_of(self, accounts: Iterable[PooledAccount]) -> str:
        config = self._config
        chosen = config.stock_feed if self.kind == "stock" else config.option_feed
        is_plus = any(one.data_plan == Account.DataPlan.PLUS for one in accounts)
        return chosen or _FEEDS[self.kind][is_plus]

    def _hears(self, account: PooledAccount) -> bool:
        is_plus = account.data_plan == Account.DataPlan.PLUS
        return is_plus or self.feed in {_FEEDS[self.kind][0], _DELAYED}

    def _outlets(self, able: list[PooledAccount]) -> list[Outlet]:
        """The sockets there could be: accounts of one type have one rank."""
        conditions = self._streams.conditions()
        groups = groupby(able, key=lambda one: one.account_type)
        return [
            self._outlet(one, rank, conditions.get(self.name_of(one.account_id)))
            for rank, (_, members) in enumerate(groups)
            for one in members
        ]

    def _outlet(self, one: PooledAccount, rank: int, condition: Condition | None) -> Outlet:
        name = self.name_of(one.account_id)
        if condition is not None and SYMBOL_LIMIT in condition.refused.values():
            # The broker's word: what it carries now is what it can.
            self._limits[name] = max(1, len({symbol for _, symbol in condition.subscribed}))
        room = min(self._room(one), self._limits.get(name, inf))
        return Outlet(name, rank, room, self._is_failing(name, condition))

    def _room(self, one: PooledAccount) -> float:
        is_sandbox = one.environment == Account.Environment.SANDBOX
        is_plus = one.data_plan == Account.DataPlan.PLUS
        return inf if is_sandbox or is_plus else _BASIC_ROOM[self.kind]

    def _is_failing(self, name: str, condition: Condition | None) -> bool:
        if condition is None or condition.state == "listening":
            self._not_listening.pop(name, None)
            return False
        now = clock.monotonic()
        since = self._not_listening.setdefault(name, now)
        failover = self._config.timers.feed_failover
        return condition.state in _HOPELESS or now - since > failover

    def _keep_open(self, accounts: list[PooledAccount]) -> None:
        """Open what is to be open with its present key and address, and close the others."""
        wanted = {self.name_of(one.account_id): one for one in accounts}
        self._close(self._open.keys() - wanted.keys())
        new = []
        for name, one in wanted.items():
            url = f"{one.endpoint.data_stream_url}{PATHS[self.kind]}{self.feed}"
            if self._open.get(name) != (one.key_version, url):
                self._open[name], self._feeds[name] = (one.key_version, url), self.feed
                self._limits.pop(name, None)
                new.append(DataSocket(name, one.credentials, url))
        if new:
            self._streams.open_all(new)

    def _close(self, names: AbstractSet[str]) -> None:
        for name in names:
            self._batch.put_gone(self._items(self._carried.pop(name, frozenset())))
            del self._open[name], self._feeds[name]
            self._not_listening.pop(name, None)
        if names:
            self._streams.drop_all(names)

    # On the sockets' loop

    def take(self, name: str, messages: list[Message], received_at: float) -> None:
        """Pass on what a socket told."""
        feed = self._feeds.get(name)
        if feed is not None:
            self._batch.put(self._ticks(feed, messages, received_at))

    def note(self, name: str, condition: Condition) -> None:
        """Tell what a socket does not carry any more."""
        if name in self._feeds:
            lost = self._carried.get(name, frozenset()) - condition.subscribed
            self._carried[name] = condition.subscribed
            if lost:
                self._batch.put_gone(self._items(lost))

    def _ticks(self, feed: str, messages: list[Message], at: float) -> Iterable[Tick]:
        """Make ticks of messages; what is none of our channels is skipped."""
        for message in messages:
            channel = self._channels.get(message.pop("T", ""))
            symbol = message.pop("S", None)
            if channel is not None and isinstance(symbol, str):
                yield Tick(channel, feed, symbol, at, message)

    def _items(self, pairs: Iterable[Pair]) -> list[Item]:
        return [(self._ours[word], symbol) for word, symbol in pairs if word in self._ours]

    # Telling

    def feeds(self) -> dict[str, str]:
        """The sockets in use, and what each listens to."""
        return dict(self._feeds)

    def carried(self) -> list[Item]:
        """Everything that any socket carries."""
        return [item for pairs in list(self._carried.values()) for item in self._items(pairs)]

    def states(
        self, conditions: Mapping[str, Condition], mute: AbstractSet[str], *, is_losing: bool
    ) -> list[dict[str, Any]]:
        """How each channel is, as messages of Topic.MARKET."""
        now = clock.now().timestamp()
        mine = {name: conditions[name] for name in self._feeds if name in conditions}
        grounds = {
            channel: Ground(
                channel=word,
                wanted=self._wanted.get(channel, {}),
                placed=self._placed,
                conditions=mine,
                mute=mute,
                is_losing=is_losing,
            )
            for word, channel in self._ours.items()
        }
        return [
            self._states.note(channel, self.feed, ground, now)
            for channel, ground in grounds.items()
        ]
