"""How the stream is shown: as JSON for a pipe, as lines, or with a live table on a terminal."""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from opitios.core import clock
from opitios.management.tail import lines
from opitios.management.tail.following import DATA, Following, Gap

Message = Mapping[str, Any]

# The table is drawn this often at most. Seconds.
REDRAW_SECONDS = 0.1
# Rows of the live table; further symbols are counted.
MOST_ROWS = 30

# Columns from which on there is room for both parts of a delay.
ROOMY = 140

TONES = {"good": "green", "warn": "yellow", "bad": "bold red", "": "dim"}


class View(Protocol):
    """What the follower tells."""

    def show(self, message: Message, received_at: datetime) -> None:
        """Show one message of the stream."""
        ...

    def say(self, text: str, tone: str = "") -> None:
        """Say something about the connection; tones: good, warn, bad."""
        ...

    def gap(self, gap: Gap) -> None:
        """Say that entries are missing."""
        ...

    def turn(self, following: Following) -> None:
        """Use a moment in which nothing came."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class JsonView:
    """Each message as it came, one a line; what is about the connection goes to stderr."""

    def __init__(self, out: Callable[[str], None], err: Callable[[str], None]) -> None:
        self._out, self._err = out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, message: Message, received_at: datetime) -> None:
        """Print it; whatever a terminal could mistake for a command is escaped."""
        self._out(json.dumps(message, separators=(",", ":")))

    def say(self, text: str, tone: str = "") -> None:
        """Print to stderr."""
        self._err(text)

    def gap(self, gap: Gap) -> None:
        """Print to stderr."""
        self._err(gap_line(gap))

    def turn(self, following: Following) -> None:
        """Need nothing."""


class PlainView(JsonView):
    """One line a message, for a file or a pipe that people read."""

    def show(self, message: Message, received_at: datetime) -> None:
        """Print updates and ticks as words, and of the rest what is worth knowing."""
        if message.get("T") in DATA:
            cells = _cells(message, received_at)
            self._out("  ".join(text for text, _ in cells))
        elif told := remark(message):
            self._out(f"-- {told[0]}")


class TerminalView:
    """Updates scroll by above a table of the last quotes and a line of figures."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._rows: dict[str, _Row] = {}
        self._state = ("connecting", "warn")
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn_at = 0.0
        self._following = Following()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        # What it held when it ended stays on the screen.
        self._console.print(self._drawn(end=" · ended"))

    def show(self, message: Message, received_at: datetime) -> None:
        """Print an update; take a quote or a trade into the table."""
        if message.get("T") in {"order", "account"}:
            brief = self._console.width < ROOMY
            line = _text(lines.update_cells(message, received_at, brief=brief))
            self._console.print(line, no_wrap=True, overflow="ellipsis")
        elif message.get("T") in {"q", "t", "b"}:
            row = self._rows.setdefault(lines.word(message.get("S")), _Row())
            row.hear(message, received_at)
        elif told := remark(message):
            self._console.print(Text(f"  {told[0]}", style=TONES[told[1]]))
        self._redraw()

    def say(self, text: str, tone: str = "") -> None:
        """Print it, and keep it as the state of the connection."""
        self._state = (text, tone)
        self._console.print(Text(f"● {text}", style=TONES[tone]))
        self._redraw(now=True)

    def gap(self, gap: Gap) -> None:
        """Print it in red."""
        self._console.print(Text(f"▲ {gap_line(gap)}", style="bold white on red"))

    def turn(self, following: Following) -> None:
        """Draw what has come since."""
        self._following = following
        self._redraw()

    def _redraw(self, *, now: bool = False) -> None:
        if now or clock.monotonic() - self._drawn_at >= REDRAW_SECONDS:
            self._drawn_at = clock.monotonic()
            self._live.update(self._drawn(), refresh=True)

    def _drawn(self, end: str = " · Ctrl-C ends it") -> RenderableType:
        counted, (state, tone) = self._following, self._state
        figures = [
            f"{counted.updates:,} updates", f"{counted.ticks:,} ticks",
            f"{counted.dropped:,} conflated", f"{counted.gaps:,} gaps",
        ]  # fmt: skip
        foot = Text.assemble(
            ("● ", TONES[tone]), f"{self._title} · {state} · ",
            (" · ".join(figures), TONES["bad"] if counted.gaps else "dim"),
            (end, "dim"),
        )  # fmt: skip
        return Group(self._table(), foot) if self._rows else foot

    def _table(self) -> Table:
        table = Table(show_edge=False, pad_edge=False, header_style="dim")
        for title in ("symbol", "bid", "size", "ask", "size", "last", "feed", "delay", "ticks"):
            table.add_column(title, justify="left" if title in {"symbol", "feed"} else "right")
        for symbol in sorted(self._rows)[:MOST_ROWS]:
            table.add_row(Text(symbol, style="bold"), *self._rows[symbol].cells())
        if len(self._rows) > MOST_ROWS:
            table.add_row(f"and {len(self._rows) - MOST_ROWS} more")
        return table


class _Row:
    """The last quote and trade of a symbol."""

    def __init__(self) -> None:
        self.quote: Message = {}
        self.last = lines.NOTHING
        self.moved = ""
        self.feed = lines.NOTHING
        self.delay = lines.NOTHING
        self.ticks = 0

    def hear(self, message: Message, received_at: datetime) -> None:
        """Take a tick."""
        self.ticks += 1
        self.feed = lines.word(message.get("feed"))
        self.delay = str(lines.delay(message, received_at))
        if message["T"] == "q":
            self.moved = _direction(self.quote.get("bp"), message.get("bp"))
            self.quote = message
        else:
            self.last = lines.price(message, "p" if message["T"] == "t" else "c")

    def cells(self) -> list[Text]:
        """The row behind the symbol."""
        bid, ask = lines.price(self.quote, "bp"), lines.price(self.quote, "ap")
        sizes = lines.number(self.quote, "bs"), lines.number(self.quote, "as")
        price = Text(bid, style=self.moved)
        rest = (sizes[0], ask, sizes[1], self.last, self.feed, self.delay, f"{self.ticks:,}")
        return [price, *map(Text, rest)]


def _direction(before: Any, after: Any) -> str:
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return ""
    return "green" if after > before else "red" if after < before else ""


def _cells(message: Message, received_at: datetime) -> list[tuple[str, str]]:
    is_update = message.get("T") in {"order", "account"}
    return (lines.update_cells if is_update else lines.tick_cells)(message, received_at)


def _text(cells: list[tuple[str, str]]) -> Text:
    return Text("  ").join(Text(text, style=style) for text, style in cells)


def gap_line(gap: Gap) -> str:
    """Say which entries are missing."""
    which = f"#{gap.first}" if gap.first == gap.last else f"#{gap.first} to #{gap.last}"
    why = "did not come" if gap.reason is None else lines.word(gap.reason)
    return (
        f"GAP: {lines.word(gap.account_id)} {which} {why}; the account's journal has what there is"
    )


def remark(message: Message) -> tuple[str, str] | None:
    """Say what of the stream's own talk a person wants to know, and in which tone."""
    match message.get("T"):
        case "snapshot":
            return f"{lines.word(message['account_id'])} goes on after #{message['seq']}", ""
        case "status":
            return _state(message)
        case "dropped" | "gap":
            rest = {name: value for name, value in message.items() if name != "T"}
            told = " ".join(f"{name} {lines.word(value)}" for name, value in rest.items())
            return f"{message['T']}: {told}", "warn"
        case "error":
            words = (message.get("code"), message.get("msg"), message.get("detail"))
            said = " · ".join(lines.word(each) for each in words if each is not None)
            return f"error {said}", "bad"
        case _:
            return None


def _state(message: Message) -> tuple[str, str]:
    channel, state = lines.word(message.get("channel")), lines.word(message.get("state"))
    feed = f" of {lines.word(message['feed'])}" if message.get("feed") else ""
    since = lines.word(message.get("since"))[11:19]
    missing = " ".join(map(lines.word, message.get("missing") or ()))
    told = f"{channel}{feed}: {state} since {since} UTC"
    told += f", no prices of {missing}" if missing else ""
    return told, "good" if state == "live" and not missing else "warn"


def choose(*, as_json: bool, title: str) -> View:
    """Take the view that fits where the output goes."""
    if as_json or not sys.stdout.isatty():
        kind = JsonView if as_json else PlainView
        return kind(lambda line: print(line, flush=True), _complain)  # noqa: T201
    return TerminalView(Console(highlight=False), title)


def _complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - what a command says
