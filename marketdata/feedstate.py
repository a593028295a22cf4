"""How each channel of the live feed is, from how its sockets are. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from opitios.broker.alpaca.datastreams import BAD_SYMBOL, Condition

LIVE, DOWN, STALE, BEHIND = "live", "down", "stale", "behind"

# A new symbol is subscribed within so many seconds; until then nobody is told of it.
SUBSCRIBING_SECONDS = 2.0
# Symbols without prices that are named, at most.
MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Ground:
    """What the state of one channel is judged by.

    channel: Alpaca's name of it. wanted: its symbols, and since when (epoch seconds). placed: the
    socket that carries each. conditions: of the sockets in use, by name. mute: those that should
    have said something. is_losing: whether ticks were lost lately.
    """

    channel: str
    wanted: Mapping[str, float]
    placed: Mapping[str, str]
    conditions: Mapping[str, Condition]
    mute: AbstractSet[str] = frozenset()
    is_losing: bool = False

    def carriers(self) -> set[str]:
        """The sockets that carry any symbol of the channel."""
        return {self.placed[symbol] for symbol in self.wanted if symbol in self.placed}

    def missing(self, now: float) -> list[str]:
        """Symbols without prices although their time to be subscribed is over."""
        return sorted(
            symbol
            for symbol, since in self.wanted.items()
            if now - since > SUBSCRIBING_SECONDS and not self._is_subscribed(symbol)
        )

    def is_refused(self, symbol: str) -> bool:
        """Whether the broker calls this no symbol."""
        condition = self.conditions.get(self.placed.get(symbol, ""))
        return condition is not None and condition.refused.get((self.channel, symbol)) == BAD_SYMBOL

    def _is_subscribed(self, symbol: str) -> bool:
        condition = self.conditions.get(self.placed.get(symbol, ""))
        return condition is not None and (self.channel, symbol) in condition.subscribed


def judge(ground: Ground, now: float) -> tuple[str, str | None]:
    """Say the channel's state and its reason, a slug; None where there is nothing to say."""
    carriers = ground.carriers()
    used = carriers or set(ground.conditions)
    down = [why for name in sorted(used) if (why := _why_down(ground.conditions.get(name)))]
    # Where nobody wants anything, one that listens is enough.
    if not used or (down and (carriers or len(down) == len(used))):
        return DOWN, next(iter(down), "no-data-account")
    if used & ground.mute:
        return STALE, "silent"
    return _judge_symbols(ground, now)


def _why_down(condition: Condition | None) -> str | None:
    if condition is None:
        return "connecting"
    return None if condition.state == "listening" else condition.state


def _judge_symbols(ground: Ground, now: float) -> tuple[str, str | None]:
    # Before the limit, over which a feed is believed in what it carries.
    if ground.is_losing:
        return BEHIND, "slow"
    missing = [each for each in ground.missing(now) if not ground.is_refused(each)]
    if any(symbol not in ground.placed for symbol in missing):
        return BEHIND, "symbol-limit"
    if missing:
        return BEHIND, "subscribing"
    return LIVE, None


def is_believed(message: Mapping[str, Any]) -> bool:
    """Whether a channel's prices are the present ones, by its message on Topic.MARKET.

    Over its limit a feed does not carry everything; what it carries is what it says.
    """
    is_full = message["state"] == BEHIND and message.get("reason") == "symbol-limit"
    return message["state"] == LIVE or is_full


class FeedStates:
    """The states as they are told: with the instant since when each holds."""

    def __init__(self) -> None:
        self._last: dict[str, dict[str, Any]] = {}

    def note(self, channel: str, feed: str, ground: Ground, now: float) -> dict[str, Any]:
        """Judge a channel and write its message for Topic.MARKET.

        One that is believed is so since its sockets listen: one that was lost in between begins
        anew.
        """
        state, reason = judge(ground, now)
        told: dict[str, Any] = {"channel": channel, "feed": feed, "state": state, "reason": reason}
        since, before = now, self._last.get(channel)
        if before is not None and _lasting(before) == _lasting(told):
            since = before["since"]
        if is_believed(told):
            since = max([since, *(ground.conditions[name].since for name in ground.carriers())])
        missing = ground.missing(now)[:MOST_NAMED]
        self._last[channel] = told | {"since": since} | ({"missing": missing} if missing else {})
        return self._last[channel]


def _lasting(told: Mapping[str, Any]) -> tuple[str, str, bool]:
    """What stays while nothing begins anew: what lost ticks, and now is believed, does begin."""
    return told["state"], told["feed"], is_believed(told)
