"""What somebody wants to see of the stream, as words and as the message that asks for it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streaming.protocol import EVERYTHING

# OCC: root, day, call or put, strike. Its quotes come on a channel of their own.
_OPTION = re.compile(r"[A-Z]{1,6}[0-9]?[0-9]{6}[CP][0-9]{8}")
_AFTER = re.compile(r"([^=\s]+)=([0-9]{1,18})")


class BadWish(ValueError):
    """What was asked for cannot be read; the text says how it is written."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Accounts (or `*`), symbols, and from which journal numbers on."""

    orders: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    trades: tuple[str, ...] = ()
    after: Mapping[str, int] = field(default_factory=dict)

    def message(self, seen: Mapping[str, int]) -> dict[str, Any]:
        """Ask for all of it, of each account after the number that was `seen` last."""
        asked: dict[str, Any] = {"action": "subscribe"}
        if self.orders:
            asked["orders"] = list(self.orders)
        for name, symbols in (("quotes", self.quotes), ("trades", self.trades)):
            asked |= _by_market(name, symbols)
        after = {name: seq for name, seq in seen.items() if self._follows(name)}
        return asked | ({"after": after} if after else {})

    def _follows(self, account_id: str) -> bool:
        return EVERYTHING in self.orders or account_id in self.orders


def _by_market(channel: str, symbols: tuple[str, ...]) -> dict[str, list[str]]:
    options = [symbol for symbol in symbols if _OPTION.fullmatch(symbol)]
    stocks = [symbol for symbol in symbols if symbol not in options]
    both = {channel: stocks, f"option_{channel}": options}
    return {name: listed for name, listed in both.items() if listed}


def read(*, orders: str, quotes: str, trades: bool, after: str) -> Wishes:
    """Read the words of a command line: `a,b` or `*`, `AAPL,MSFT`, `a=812`. Raises BadWish."""
    symbols = _listed(quotes)
    if trades and not symbols:
        raise BadWish("--trades shows the trades of the symbols of --quotes: name some")
    wishes = Wishes(_listed(orders), symbols, symbols if trades else (), _numbers(after))
    if not wishes.orders and not wishes.quotes:
        raise BadWish("name what to follow: --orders account_001 (or '*'), or --quotes AAPL,MSFT")
    if strangers := sorted(name for name in wishes.after if not wishes._follows(name)):
        raise BadWish(f"--after speaks of {', '.join(strangers)}, which --orders does not follow")
    return wishes


def _listed(text: str) -> tuple[str, ...]:
    words = (word.strip() for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def _numbers(text: str) -> dict[str, int]:
    found = [_AFTER.fullmatch(pair) for pair in _listed(text)]
    if not all(found):
        raise BadWish("--after is written account_001=812, more of them with commas")
    return {pair[1]: int(pair[2]) for pair in found if pair}
