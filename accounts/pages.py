"""What every staff page shares: nothing can be changed, and a state is a dot with its word.

Everything shown here may have been written by a program or by the broker: text enters HTML only
through format_html, never joined by hand.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.admin import ShowFacets
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from accounts.models import Account, AccountState

NEW_YORK = ZoneInfo("America/New_York")
NOTHING = "–"

# Tones of a dot: good, info, busy, warn, bad, hold, idle (opitios/static/opitios/console.css).
ENVIRONMENT_TONES = {
    Account.Environment.LIVE: "bad",
    Account.Environment.PAPER: "good",
    Account.Environment.SANDBOX: "info",
}
STATE_TONES: Mapping[str, str] = {
    AccountState.State.READY: "good",
    AccountState.State.WARMING: "busy",
    "suspended": "hold",
    "halted": "hold",
    AccountState.State.SUSPECT: "warn",
    AccountState.State.QUARANTINED: "bad",
    AccountState.State.DISABLED: "idle",
}
STREAM_TONES: Mapping[str, str] = {
    AccountState.Stream.LISTENING: "good",
    AccountState.Stream.CONNECTING: "busy",
    AccountState.Stream.THROTTLED: "warn",
    AccountState.Stream.LOST: "warn",
    AccountState.Stream.UNAUTHORIZED: "bad",
    AccountState.Stream.CLOSED: "idle",
}
BREAKER_TONES: Mapping[str, str] = {
    AccountState.Breaker.CLOSED: "good",
    AccountState.Breaker.HALF_OPEN: "warn",
    AccountState.Breaker.OPEN: "bad",
}

# No account holds more than this many digits of dollars.
_DIGITS = 18

# Below this share of a minute's calls the bar turns, and turns again: (percent, tone).
_SCARCE = ((10, "bad"), (30, "warn"), (100, "good"))


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc] # unfold ships no types
    """Pages on which nobody, superusers included, can add, change or delete anything."""

    actions = None
    # Counting beside each filter reads whole tables.
    show_facets = ShowFacets.NEVER
    compressed_fields = False
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list. Raises BadRequest for a byte that no text column can hold."""
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("A NUL is in the query.")
        page: HttpResponse = super().changelist_view(request, extra_context)
        return page

    def changeform_view(self, request: HttpRequest, *about: Any, **more: Any) -> HttpResponse:
        """Show one object. Raises Http404 for an id that none can have."""
        if "\0" in request.path:
            raise Http404
        page: HttpResponse = super().changeform_view(request, *about, **more)
        return page

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Find the object; None where there is none of this id."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False


def dot(word: str, tone: str) -> SafeString:
    """Show a state: a coloured dot and the word, so that colour never stands alone."""
    return format_html('<span class="op-dot op-{}">{}</span>', tone, word)


def badge(word: str, tone: str) -> SafeString:
    """Show a word on its colour."""
    return format_html('<span class="op-badge op-{}">{}</span>', tone, word)


def environment(word: str) -> SafeString:
    """Show an environment as PAPER, LIVE or SANDBOX."""
    return badge(word.upper(), ENVIRONMENT_TONES.get(Account.Environment(word), "idle"))


def two_lines(first: object, second: object) -> SafeString:
    """Show a value, and something smaller below it."""
    return format_html('<span class="op-two">{}<small>{}</small></span>', first, second)


def beside(*parts: str) -> SafeString:
    """Show things in one line."""
    return format_html_join("\N{EN SPACE}", "{}", ((part,) for part in parts))


def bar(left: int, whole: int) -> SafeString:
    """Show how much is left as a small bar with its figures; red where it is nearly nothing."""
    share = 100 * left / max(1, whole)
    tone = next((tone for below, tone in _SCARCE if share < below), "good")
    return format_html(
        '<span class="op-left op-{}"><meter min="0" max="{}" value="{}"></meter>{} of {}</span>',
        tone, whole, left, left, whole,
    )  # fmt: skip


def money(text: Any) -> str:
    """Show the broker's text of an amount with separators; what is no amount, as it is."""
    if text is None:
        return NOTHING
    try:
        amount = Decimal(str(text))
    except InvalidOperation:
        return str(text)
    # Written out, 1e999999 would be a page of its own.
    return f"{amount:,.2f}" if amount.is_finite() and amount.adjusted() < _DIGITS else str(text)


def age(seconds: float) -> str:
    """Show an age roughly: 12 s, 3 min, 5 h, 41 d."""
    for whole, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * whole:
            return f"{seconds // whole:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def ago(at: datetime | None, now: datetime) -> SafeString | str:
    """Show how long ago an instant was; the instant itself is its title."""
    if at is None:
        return NOTHING
    return format_html(
        '<time class="op-ago" datetime="{}" title="{} UTC">{} ago</time>',
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}", age((now - at).total_seconds()),
    )  # fmt: skip


def instant(at: datetime | None) -> SafeString | str:
    """Show an instant in UTC, and below it the time in New York."""
    if at is None:
        return NOTHING
    utc = at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    new_york = at.astimezone(NEW_YORK).strftime("%H:%M:%S %Z")
    return format_html(
        '<time class="op-when" datetime="{}">{}<span>{} New York</span></time>',
        at.isoformat(),
        utc,
        new_york,
    )


def milliseconds(value: float | None) -> str:
    """Show a duration: 0.6 ms, 24.8 ms, 1,203 ms; minutes and hours in their own units."""
    if value is None:
        return NOTHING
    if value < 1000:  # noqa: PLR2004 - a second
        return f"{value:.1f} ms"
    seconds = value / 1000
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:,.2f} s"
    return f"{seconds / 60:,.1f} min"


def code(text: str | None) -> SafeString | str:
    """Show an id or a hash in a fixed-width font."""
    return NOTHING if not text else format_html('<code class="op-code">{}</code>', text)


@dataclass(frozen=True, slots=True)
class Card:
    """A small table with a title (opitios/card.html). `numbers`: columns that stand to the right.

    `none` stands in the rows' place where there are none; `more` leads to all of them.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    none: str
    numbers: Sequence[str] = ()
    more: SafeString | str = ""

    @property
    def heads(self) -> list[tuple[str, str]]:
        """Each column's name with its class."""
        return [(name, self._class_of(name)) for name in self.columns]

    @property
    def lines(self) -> list[list[tuple[object, str]]]:
        """Each row's cells with their classes."""
        classes = [self._class_of(name) for name in self.columns]
        return [list(zip(row, classes, strict=True)) for row in self.rows]

    def _class_of(self, name: str) -> str:
        return "op-number" if name in self.numbers else ""


def pretty(value: Any) -> SafeString:
    """Show JSON, indented."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)
    return format_html('<pre class="op-json">{}</pre>', text)


def link(text: str, page: str, *arguments: Any, query: str = "") -> SafeString:
    """Link to an admin page by its URL name without `admin:`."""
    address = reverse(f"admin:{page}", args=arguments)
    return format_html('<a class="op-link" href="{}{}">{}</a>', address, query, text)


@dataclass(frozen=True, slots=True)
class Changed:
    """One field of a journal entry: what it was and what it became, as text."""

    field: str
    before: str
    after: str


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Changed]:
    """List the fields of an entry's `before` and `after` that have a value on either side."""
    was, became = before or {}, after or {}
    names: Iterable[str] = dict.fromkeys([*was, *became])
    told = [Changed(name, _shown(was.get(name)), _shown(became.get(name))) for name in names]
    return [change for change in told if (change.before, change.after) != (NOTHING, NOTHING)]


def _shown(value: Any) -> str:
    match value:
        case None:
            return NOTHING
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def figures(rows: Iterable[tuple[str, str]]) -> SafeString | str:
    """Show names and values in two columns."""
    told = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows)
    return format_html('<dl class="op-figures">{}</dl>', told) if told else NOTHING
