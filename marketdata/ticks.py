"""Prices on their way from the market process to everybody: one message of a stream is one tick.

The channels have our names, the same as on the client's socket (api.md §6). Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# By Alpaca's socket: its word for a message, and our channel. What else it says is not passed on.
STOCK_CHANNELS = {"t": "trades", "q": "quotes", "b": "bars"}
OPTION_CHANNELS = {"t": "option_trades", "q": "option_quotes"}
CHANNELS = (*STOCK_CHANNELS.values(), *OPTION_CHANNELS.values())
# Where a message says how something is now, the next one takes its place.
REPLACED = frozenset({"quotes", "option_quotes"})

# A channel of ours and a symbol.
Item = tuple[str, str]


class Tick(NamedTuple):
    """One message about one symbol.

    at: when it was received from the broker, in epoch seconds. body: Alpaca's short keys without
    `T` and `S`; its `t` is RFC 3339 text with nanoseconds.
    """

    channel: str
    feed: str
    symbol: str
    at: float
    body: dict[str, Any]


def packed(ticks: Iterable[Tick], *, gone: Iterable[Item] = ()) -> dict[str, Any]:
    """Write ticks as one message of Topic.TICKS, in their order.

    gone: what is not listened to any more: ticks of it, these too, may be followed by others that
    nobody hears.
    """
    # orjson writes no tuples that have names.
    message = {"ticks": [[*each] for each in ticks], "gone": [[*each] for each in gone]}
    return {key: told for key, told in message.items() if told or key == "ticks"}


def unpacked(message: Mapping[str, Any]) -> list[Tick]:
    """Read what `packed` wrote, after its way as JSON."""
    return [Tick(*each) for each in message["ticks"]]


def gone(message: Mapping[str, Any]) -> list[Item]:
    """Read what is not listened to any more."""
    return [(channel, symbol) for channel, symbol in message.get("gone", ())]
