"""What every staff page shares: nothing can be changed, and a state is a dot with its word.

Everything shown here may have been written by a program or by the broker: text enters HTML only
through format_html, never joined by hand.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.admin import ShowFacets
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from accounts.models import Account, AccountState

NEW_YORK = ZoneInfo("America/New_York")
NOTHING = "–"

# Tones of a dot: good, info, busy, warn, bad, idle (opitios/static/opitios/console.css).
ENVIRONMENT_TONES = {
    Account.Environment.LIVE: "bad",
    Account.Environment.PAPER: "good",
    Account.Environment.SANDBOX: "info",
}
STATE_TONES = {
    AccountState.State.READY: "good",
    AccountState.State.WARMING: "busy",
    AccountState.State.SUSPECT: "warn",
    AccountState.State.QUARANTINED: "bad",
    AccountState.State.DISABLED: "idle",
}
STREAM_TONES = {
    AccountState.Stream.LISTENING: "good",
    AccountState.Stream.CONNECTING: "busy",
    AccountState.Stream.THROTTLED: "warn",
    AccountState.Stream.LOST: "warn",
    AccountState.Stream.UNAUTHORIZED: "bad",
    AccountState.Stream.CLOSED: "idle",
}


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc] # unfold ships no types
    """Pages on which nobody, superusers included, can add, change or delete anything."""

    actions = None
    # Counting beside each filter reads whole tables.
    show_facets = ShowFacets.NEVER
    compressed_fields = False
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50

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


def environment(word: str) -> SafeString:
    """Show an environment as PAPER, LIVE or SANDBOX."""
    tone = ENVIRONMENT_TONES.get(Account.Environment(word), "idle")
    return format_html('<span class="op-badge op-{}">{}</span>', tone, word.upper())


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
