"""Messages of the stream as words for people. Pure; no text of a caller's steers a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opitios.core import clock
from opitios.core.logs import printable

Message = Mapping[str, Any]

NOTHING = "–"
# Characters of each cell but the last, so that lines stand in columns: of an update, of a tick.
_UPDATE_WIDTHS = (12, 12, 6, 13, 22, 16, 18)
_TICK_WIDTHS = (12, 22, 5, 30)

# What of an order's states stands out; the others are on their way.
_STYLES = {
    "filled": "green", "partially_filled": "cyan", "rejected": "bold red", "denied": "bold red",
    "unknown": "yellow", "lapsed": "yellow", "canceled": "dim", "expired": "dim", "replaced": "dim",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Delay:
    """Milliseconds from what happened to its leaving the gateway, and from there to here.

    None where the message does not say. The second part compares two machines' clocks.
    """

    gateway: float | None
    way: float | None

    @property
    def whole(self) -> str:
        """The sum alone."""
        told = [part for part in (self.gateway, self.way) if part is not None]
        return f"{_plain(sum(told))} ms" if told else NOTHING

    def __str__(self) -> str:
        if self.gateway is None or self.way is None:
            return self.whole
        return f"{self.whole} ({_plain(self.gateway)}+{_plain(self.way)})"


def delay(message: Message, received_at: datetime) -> Delay:
    """Read a message's instants: `at` or `t`, `sent_at`, and when it was received."""
    happened = instant(message.get("at") or message.get("t"))
    sent = instant(message.get("sent_at"))
    if sent is None:
        return Delay(None, None if happened is None else clock.milliseconds(happened, received_at))
    gateway = None if happened is None else clock.milliseconds(happened, sent)
    return Delay(gateway, clock.milliseconds(sent, received_at))


def instant(text: Any) -> datetime | None:
    """Read RFC 3339, to the microsecond; None where there is none."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None


def update_cells(
    message: Message, received_at: datetime, *, brief: bool = False
) -> list[tuple[str, str]]:
    """An order's or an account's message as cells, each text with its style.

    brief: the delay as one figure.
    """
    late = delay(message, received_at)
    order = message.get("order") or {}
    status = word(order.get("status") or message.get("reason"))
    cells = [
        (f"{received_at.astimezone():%H:%M:%S.%f}"[:-3], "dim"),
        (word(message["account_id"]), ""),
        (f"#{message['seq']}", "bold"),
        (word(message.get("event")), "magenta" if message["T"] == "account" else "blue"),
        (asked(order), ""),
        (status, _STYLES.get(status, "cyan" if order else "")),
        (filled(order), ""),
        (late.whole if brief else str(late), "dim"),
    ]
    return _in_columns(cells, _UPDATE_WIDTHS)


def asked(order: Message) -> str:
    """What an order asks for: `buy 10 AAPL limit 187.25`."""
    if not order:
        return NOTHING
    size = order.get("qty") or f"${order.get('notional')}"
    symbol = order.get("symbol") or f"{len(order.get('legs') or [])} legs"
    prices = [order.get(name) for name in ("stop_price", "limit_price")]
    words = (order.get("side"), size, symbol, order.get("type"), *prices)
    return " ".join(word(each) for each in words if each is not None)


def filled(order: Message) -> str:
    """How much is filled, and at what: `4 of 10 at 187.21`."""
    done = order.get("filled_qty")
    if done in {None, "0"}:
        return NOTHING
    price = order.get("filled_avg_price")
    whole = f" of {word(order['qty'])}" if order.get("qty") else ""
    return f"{word(done)}{whole}" + (f" at {word(price)}" if price else "")


def tick_cells(message: Message, received_at: datetime) -> list[tuple[str, str]]:
    """A quote, a trade or a bar as cells."""
    told = {
        "q": f"{_at(message, 'bp', 'bs')}  {_at(message, 'ap', 'as')}",
        "t": _at(message, "p", "s"),
        "b": " ".join(f"{name} {price(message, name)}" for name in "ohlc"),
    }
    cells = [
        (f"{received_at.astimezone():%H:%M:%S.%f}"[:-3], "dim"),
        (word(message.get("S")), "bold"),
        ({"q": "quote", "t": "trade", "b": "bar"}[message["T"]], "blue"),
        (told[message["T"]], ""),
        (str(delay(message, received_at)), "dim"),
    ]
    return _in_columns(cells, _TICK_WIDTHS)


def _in_columns(cells: list[tuple[str, str]], widths: tuple[int, ...]) -> list[tuple[str, str]]:
    padded = zip(cells, (*widths, 0), strict=True)
    return [(text.ljust(width), style) for (text, style), width in padded]


def _at(message: Message, name: str, size: str) -> str:
    return f"{price(message, name)} × {number(message, size)}"  # noqa: RUF001 - times


def price(message: Message, name: str) -> str:
    """A price with two digits behind the point, or more where it has them."""
    value = message.get(name)
    if not isinstance(value, int | float):
        return word(value)
    return max(f"{value:.2f}", f"{value}", key=lambda text: len(text.partition(".")[2]))


def number(message: Message, name: str) -> str:
    """A number of the market's, as it was written."""
    return word(message.get(name))


def word(value: Any) -> str:
    """Text that somebody else wrote, harmless and short."""
    return NOTHING if value is None else printable(str(value))


def _plain(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"  # noqa: PLR2004 - three digits
