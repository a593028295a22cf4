"""The accounts' list and one account's page: everything known of it, and no byte of its secrets."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Case, DecimalField, F, Q, QuerySet, When
from django.db.models.expressions import OrderBy
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts import custody, custodypages, fleet, fleetpages, journalpages, pages
from accounts.filters import BreakerFilter, OwnerFilter, StateFilter, StreamFilter
from accounts.models import Account, AccountState, Credential, JournalEntry, ProcessRow
from accounts.presence import GONE_AFTER
from opitios.core import clock

# What the broker tells of an account, in the order people look for it.
_BROKER_FIGURES = (
    "status", "account_number", "currency", "equity", "cash", "buying_power", "portfolio_value",
    "options_trading_level", "trading_blocked", "account_blocked",
)  # fmt: skip

# Of an account's own changes so many are on its page; the journal has them all.
LATEST = 15

# What a higher room shows on an account's page; None where this reader may not see it.
Part = Callable[[HttpRequest, str], pages.Card | None]
_parts: list[Part] = []


def show_on_account_page(part: Part) -> Part:
    """Register a card for the account's page; trading's orders come in this way."""
    _parts.append(part)
    return part


class _Known(F):
    """A column to order by, rows without a value last in either direction."""

    def asc(self, **how: Any) -> OrderBy:
        """Order upwards."""
        return super().asc(**how | {"nulls_last": True})

    def desc(self, **how: Any) -> OrderBy:
        """Order downwards."""
        return super().desc(**how | {"nulls_last": True})


def _number(column: str, key: str) -> Case:
    """Read a figure out of stored JSON; None for what is no number, whoever wrote it."""
    figure = Cast(KeyTextTransform(key, column), DecimalField(max_digits=30, decimal_places=6))
    plain = {f"{column}__{key}__regex": r"^-?[0-9]{1,15}(\.[0-9]{1,9})?$"}
    return Case(When(**plain, then=figure))


class CredentialInline(TabularInline):  # type: ignore[misc] # unfold ships no types
    """The key's versions: what is needed to recognise them, and no byte of what is sealed."""

    model = Credential
    verbose_name_plural = "key versions"
    fields = ("version", "hint", "master_key_id", "sealed_on", "age")
    readonly_fields = fields
    ordering = ("-version",)
    hide_title = True
    extra = 0
    max_num = 0
    can_delete = False

    @admin.display(description="sealed")
    def sealed_on(self, key: Credential) -> SafeString | str:
        """When this version was stored."""
        return pages.instant(key.created_at)

    @admin.display(description="age")
    def age(self, key: Credential) -> SafeString | str:
        """How old it is."""
        return pages.ago(key.created_at, clock.now())

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let everybody see who may see the account."""
        return bool(request.user.has_perm("accounts.view_account"))


class AccountAdmin(
    fleetpages.ShowsFleet,
    custodypages.SuspendsAccounts,
    journalpages.VerifiesJournal,
    pages.ReadOnlyAdmin,
):
    """The roster with what each account's desk last saw."""

    actions_detail = ("suspend", "resume", "verify_journal")
    list_display = (
        "named", "state_word", "checked", "calls_left", "breaker_badge",
        "stream_badge", "desk", "shown_equity", "shown_buying_power", "key",
    )  # fmt: skip
    list_per_page = 50
    list_max_show_all = 2000
    list_filter = (
        StateFilter,
        ("environment", ChoicesDropdownFilter),
        ("account_type", ChoicesDropdownFilter),
        StreamFilter,
        BreakerFilter,
        OwnerFilter,
    )
    search_fields = ("account_id",)
    search_help_text = "Beginning of an account id or desk, or end of a key"
    inlines = (CredentialInline,)
    fieldsets = (
        (
            "Roster",
            {
                "fields": (
                    ("account_id", "account_type", "environment_badge"),
                    ("priority", "data_plan", "max_connections", "enabled"),
                    ("url", "roster_version", "changed"),
                )
            },
        ),
        ("At the broker", {"fields": ("at_the_broker",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Bring along what desks and processes wrote, in the list's one query."""
        told = fleet.seen(clock.now()).annotate(
            left=_number("state__budget", "remaining"),
            equity=_number("state__broker_account", "equity"),
            buying_power=_number("state__broker_account", "buying_power"),
        )
        return told.order_by("account_id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Account], search_term: str
    ) -> tuple[QuerySet[Account], bool]:
        """Find by how an id or a desk begins, or by the last characters of a key."""
        term = search_term.strip()
        if not term:
            return queryset, False
        key = Q(hint__iendswith=term) | Q(hint__iexact=term)
        found = Q(account_id__istartswith=term) | Q(owner__istartswith=term) | key
        return queryset.filter(found), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the account with everything around it."""
        account = self.get_object(request, unquote(object_id))
        told = {} if account is None else _around(request, account)
        page: HttpResponse = super().change_view(
            request, object_id, form_url, (extra_context or {}) | told
        )
        return page

    def journal_of(self, row: Account) -> str:
        """Name the journal that a page of this account verifies."""
        return row.account_id

    @admin.display(description="account", ordering="account_id")
    def named(self, account: Account) -> SafeString:
        """The id, its environment, and what kind of account it is."""
        environment = pages.environment(account.environment)
        return pages.two_lines(account.account_id, pages.beside(environment, account.account_type))

    @admin.display(description="environment")
    def environment_badge(self, account: Account) -> SafeString:
        """PAPER green, LIVE red, SANDBOX blue."""
        return pages.environment(account.environment)

    @admin.display(description="state", ordering="shown_state")
    def state_word(self, account: Account) -> SafeString:
        """The desk's last word, and `disabled` for what is not in the roster."""
        word = state_dot(account.shown_state)  # type: ignore[attr-defined] # of fleet.seen
        since = _since(account)
        return word if since is None else pages.two_lines(word, pages.ago(since, clock.now()))

    @admin.display(description="last check", ordering=_Known("state__checked_at"))
    def checked(self, account: Account) -> SafeString | str:
        """How long ago the desk asked the broker, and how long that took."""
        state = _state_of(account)
        if state is None or state.checked_at is None:
            return pages.NOTHING
        took = pages.milliseconds(state.check_ms)
        return pages.two_lines(pages.ago(state.checked_at, clock.now()), took)

    @admin.display(description="calls left", ordering=_Known("left"))
    def calls_left(self, account: Account) -> SafeString | str:
        """What is left of the broker's allowance of a minute, as its headers last told."""
        told = fleet.left_of(getattr(_state_of(account), "budget", None), clock.now())
        return pages.NOTHING if told is None else pages.bar(*told)

    @admin.display(description="breaker", ordering=_Known("shown_breaker"))
    def breaker_badge(self, account: Account) -> SafeString | str:
        """Whether calls for it are held back."""
        return breaker_badge(account.shown_breaker)  # type: ignore[attr-defined] # of fleet.seen

    @admin.display(description="stream", ordering="shown_stream")
    def stream_badge(self, account: Account) -> SafeString:
        """Whether its order updates are listened to."""
        return stream_badge(account.shown_stream)  # type: ignore[attr-defined] # of fleet.seen

    @admin.display(description="owner", ordering=_Known("owner"))
    def desk(self, account: Account) -> str:
        """The desk that owns the account now."""
        return fleet.desk_of(account.owner) or pages.NOTHING  # type: ignore[attr-defined] # of fleet.seen

    @admin.display(description="equity", ordering=_Known("equity"))
    def shown_equity(self, account: Account) -> str:
        """What the account is worth, as the broker told at the last check."""
        return pages.money(_broker_told(account).get("equity"))

    @admin.display(description="buying power", ordering=_Known("buying_power"))
    def shown_buying_power(self, account: Account) -> str:
        """What it may buy for."""
        return pages.money(_broker_told(account).get("buying_power"))

    @admin.display(description="key", ordering=_Known("key_came_at"))
    def key(self, account: Account) -> SafeString | str:
        """Two characters from the front and four from the end, and how old the key is."""
        return _key(account, clock.now())

    @admin.display(description="changed")
    def changed(self, account: Account) -> SafeString | str:
        """When the roster last changed the row."""
        return pages.instant(account.updated_at)

    @admin.display(description="as of the last check")
    def at_the_broker(self, account: Account) -> SafeString | str:
        """Balances and status as the broker last told them."""
        told = _broker_told(account)
        rows = [
            (name.replace("_", " "), str(told[name])) for name in _BROKER_FIGURES if name in told
        ]
        return pages.figures(rows)


def _around(request: HttpRequest, account: Account) -> dict[str, Any]:
    """What the page shows beside the roster's columns."""
    now = clock.now()
    told = (part(request, account.account_id) for part in _parts)
    cards = [_history(account), *(card for card in told if card), _processes(account, now)]
    return {"headline": _headline(account, now), "numbers": _numbers(account, now), "cards": cards}


def _headline(account: Account, now: datetime) -> dict[str, Any]:
    """The account in one line, and what is wrong with it."""
    state = _state_of(account)
    shown: str = account.shown_state  # type: ignore[attr-defined] # of fleet.seen
    return {
        "environment": pages.environment(account.environment),
        "name": account.account_id,
        "type": account.account_type,
        "state": state_dot(shown),
        "since": pages.ago(_since(account), now),
        "tone": pages.STATE_TONES.get(shown, "warn"),
        "why": _why(account, state),
    }


def _since(account: Account) -> datetime | None:
    """Since when it is what it is shown as; None: nobody has said."""
    if not account.enabled:
        return account.updated_at
    return account.suspended_at or getattr(_state_of(account), "state_since", None)


def _why(account: Account, state: AccountState | None) -> str | None:
    if not account.enabled:
        return "It is not in the roster: no order is accepted for it."
    if account.suspended_reason is not None:
        return account.suspended_reason
    return None if state is None else state.state_reason


def _numbers(account: Account, now: datetime) -> list[dict[str, Any]]:
    """What people look for first."""
    told, state = _broker_told(account), _state_of(account)
    left = fleet.left_of(None if state is None else state.budget, now)
    owner, breaker = account.owner, account.shown_breaker  # type: ignore[attr-defined] # of fleet.seen
    return [
        {"name": "equity", "value": pages.money(told.get("equity"))},
        {"name": "buying power", "value": pages.money(told.get("buying_power"))},
        {
            "name": "last check",
            "value": pages.ago(None if state is None else state.checked_at, now),
        },
        {
            "name": "calls left this minute",
            "value": pages.NOTHING if left is None else pages.bar(*left),
        },
        {"name": "breaker", "value": breaker_badge(breaker)},
        {"name": "stream", "value": stream_badge(account.shown_stream)},  # type: ignore[attr-defined] # of fleet.seen
        {
            "name": "last stream message",
            "value": pages.ago(None if state is None else state.stream_last_message_at, now),
        },
        {
            "name": "books compared",
            "value": pages.ago(None if state is None else state.reconciled_at, now),
        },
        {"name": "lease owner", "value": fleet.desk_of(owner) or pages.NOTHING},
        {"name": "key", "value": _key(account, now)},
    ]


def _key(account: Account, now: datetime) -> SafeString | str:
    hint, came_at = account.hint, account.key_came_at  # type: ignore[attr-defined] # of fleet.seen
    if hint is None:
        return pages.NOTHING
    days = (now - came_at).days
    version = f"v{account.key_version}, {pages.age((now - came_at).total_seconds())}"
    old = pages.dot(f"{version}: replace it", "warn") if days > custody.OLD_KEY_DAYS else version
    return pages.two_lines(pages.code(hint), old)


def _history(account: Account) -> pages.Card:
    """What became of the account: its journal's entries that are about no order."""
    found = JournalEntry.objects.filter(account_id=account.account_id, order_id=None)
    return pages.Card(
        title="History of its state",
        columns=("entry", "kind", "recorded", "actor", "changed"),
        rows=[_told(entry) for entry in found.order_by("-seq")[:LATEST]],
        none="Nothing but orders so far: it was never quarantined, released or suspended.",
        more=journalpages.entries_link(account.account_id),
    )


def _told(entry: JournalEntry) -> list[object]:
    body = orjson.loads(entry.body)
    changed = "; ".join(
        f"{change.field}: {change.before} → {change.after}"
        for change in pages.changes(body.get("before"), body.get("after"))
    )
    return [
        pages.link(f"#{entry.seq}", "accounts_journalentry_change", entry.pk),
        entry.kind,
        pages.instant(entry.recorded_at),
        journalpages.actor_of(body),
        pages.two_lines(changed or pages.NOTHING, body.get("note") or body.get("reason") or ""),
    ]


def _processes(account: Account, now: datetime) -> pages.Card:
    """Every process that is alive, and what it has to do with the account."""
    alive = ProcessRow.objects.filter(seen_at__gt=now - GONE_AFTER).order_by("role", "name")
    return pages.Card(
        title="Processes",
        columns=("name", "role", "last heard of", "version", "accounts warm", "of this account"),
        numbers=("accounts warm",),
        rows=[_process(row, account, now) for row in alive],
        none="No process has written its row in the last 15 seconds.",
    )


def _process(row: ProcessRow, account: Account, now: datetime) -> list[object]:
    return [
        pages.link(row.name, "accounts_processrow_change", row.name),
        row.role,
        pages.ago(row.seen_at, now),
        row.snapshot.get("version", pages.NOTHING),
        row.snapshot.get("warm", pages.NOTHING),
        _part_in(row, account),
    ]


def _part_in(row: ProcessRow, account: Account) -> str:
    if row.role != "desk":
        return "reads for it" if row.snapshot.get("warm") else pages.NOTHING
    if fleet.desk_of(account.owner) != row.name:  # type: ignore[attr-defined] # of fleet.seen
        return pages.NOTHING
    told = row.snapshot.get("accounts", {}).get(account.account_id, {})
    return f"owns it, {told.get('in_flight', 0)} calls in flight"


def state_dot(word: str) -> SafeString:
    """Show an account's state."""
    return pages.dot(word, pages.STATE_TONES.get(word, "warn"))


def stream_badge(word: str) -> SafeString:
    """Show a stream's state."""
    return pages.badge(word, pages.STREAM_TONES.get(word, "warn"))


def breaker_badge(word: str | None) -> SafeString | str:
    """Show a breaker; None where nobody calls."""
    if word is None:
        return pages.NOTHING
    return pages.badge(word, pages.BREAKER_TONES.get(word, "warn"))


def _state_of(account: Account) -> AccountState | None:
    return getattr(account, "state", None)


def _broker_told(account: Account) -> Mapping[str, Any]:
    told: Mapping[str, Any] | None = getattr(_state_of(account), "broker_account", None)
    return told or {}
