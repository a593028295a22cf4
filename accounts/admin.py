"""Staff pages of accounts: the roster, what desks see, and (not read-only) who may sign in."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import journalpages, pages
from accounts.models import (
    Account,
    AccountState,
    Credential,
    JournalEntry,
    JournalHead,
    Lease,
    ProcessRow,
    RosterVersion,
)
from accounts.pool import GONE_AFTER
from opitios.core import clock

admin.site.register(JournalEntry, journalpages.JournalEntryAdmin)
admin.site.register(JournalHead, journalpages.JournalAdmin)

# What the broker tells of an account, in the order people look for it.
_BROKER_FIGURES = (
    "status", "account_number", "currency", "equity", "cash", "buying_power", "portfolio_value",
    "options_trading_level", "trading_blocked", "account_blocked",
)  # fmt: skip


class CredentialInline(TabularInline):  # type: ignore[misc] # unfold ships no types
    """The key's versions: what is needed to recognise them, and no byte of what is sealed."""

    model = Credential
    verbose_name_plural = "key versions"
    fields = ("version", "hint", "master_key_id", "sealed_on")
    readonly_fields = fields
    ordering = ("-version",)
    extra = 0
    max_num = 0
    can_delete = False

    @admin.display(description="sealed")
    def sealed_on(self, key: Credential) -> SafeString | str:
        """When this version was stored."""
        return pages.instant(key.created_at)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let everybody see who may see the account."""
        return bool(request.user.has_perm("accounts.view_account"))


@admin.register(Account)
class AccountAdmin(journalpages.VerifiesJournal, pages.ReadOnlyAdmin):
    """The roster with what each account's desk last saw."""

    list_display = (
        "account_id", "account_type", "environment_badge", "state_word", "since", "checked",
        "check_took", "stream_word", "owner", "key_hint",
    )  # fmt: skip
    list_select_related = ("state", "lease")
    list_per_page = 100
    list_max_show_all = 2000
    list_filter = (
        ("account_type", ChoicesDropdownFilter),
        ("environment", ChoicesDropdownFilter),
        ("state__state", ChoicesDropdownFilter),
        ("state__stream_state", ChoicesDropdownFilter),
        "enabled",
    )
    search_fields = ("account_id", "lease__owner", "credentials__hint")
    search_help_text = "Account id, owning desk or key hint"
    inlines = (CredentialInline,)
    fieldsets = (
        (
            "Roster",
            {
                "fields": (
                    ("account_id", "account_type", "environment_badge"),
                    ("priority", "max_connections", "enabled"),
                    ("url", "roster_version", "changed"),
                )
            },
        ),
        (
            "State",
            {
                "fields": (
                    ("state_word", "since", "reason"),
                    ("checked", "check_took", "budget"),
                    ("stream_word", "last_message", "reconciled"),
                    ("owner", "key_hint", "journal_head", "orders"),
                )
            },
        ),
        ("At the broker", {"fields": ("at_the_broker",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Bring the newest key's hint along: one query for the whole list."""
        newest = Credential.objects.filter(account=OuterRef("pk")).order_by("-version")
        found: QuerySet[Account] = super().get_queryset(request)
        return found.annotate(hint=Subquery(newest.values("hint")[:1]))

    def journal_of(self, row: Account) -> str:
        """Name the journal that a page of this account verifies."""
        return row.account_id

    @admin.display(description="environment", ordering="environment")
    def environment_badge(self, account: Account) -> SafeString:
        """PAPER green, LIVE red, SANDBOX blue."""
        return pages.environment(account.environment)

    @admin.display(description="state", ordering="state__state")
    def state_word(self, account: Account) -> SafeString:
        """The desk's last word, and `disabled` for what is not in the roster."""
        state = _state_of(account)
        word = AccountState.State(state.state) if state else AccountState.State.WARMING
        shown = word if account.enabled else AccountState.State.DISABLED
        return pages.dot(shown, pages.STATE_TONES[shown])

    @admin.display(description="state since", ordering="state__state_since")
    def since(self, account: Account) -> SafeString | str:
        """Since when."""
        state = _state_of(account)
        return pages.instant(state.state_since if state else None)

    @admin.display(description="why")
    def reason(self, account: Account) -> str:
        """Why it is not ready."""
        state = _state_of(account)
        return (state.state_reason if state else None) or pages.NOTHING

    @admin.display(description="last check", ordering="state__checked_at")
    def checked(self, account: Account) -> SafeString | str:
        """When the desk last asked the broker."""
        return pages.instant(getattr(_state_of(account), "checked_at", None))

    @admin.display(description="took", ordering="state__check_ms")
    def check_took(self, account: Account) -> str:
        """How long the broker took to answer."""
        return pages.milliseconds(getattr(_state_of(account), "check_ms", None))

    @admin.display(description="stream", ordering="state__stream_state")
    def stream_word(self, account: Account) -> SafeString:
        """The stream's state; without an owner nobody listens, whatever was last written."""
        state = _state_of(account)
        word = AccountState.Stream.CLOSED
        if state is not None and _owner_of(account) is not None:
            word = AccountState.Stream(state.stream_state)
        return pages.dot(word, pages.STREAM_TONES[word])

    @admin.display(description="lease owner", ordering="lease__owner")
    def owner(self, account: Account) -> str:
        """The desk that owns the account now."""
        return _owner_of(account) or pages.NOTHING

    @admin.display(description="key")
    def key_hint(self, account: Account) -> SafeString | str:
        """Two characters from the front and four from the end."""
        return pages.code(account.hint)  # type: ignore[attr-defined] # annotated in get_queryset

    @admin.display(description="changed")
    def changed(self, account: Account) -> SafeString | str:
        """When the roster last changed the row."""
        return pages.instant(account.updated_at)

    @admin.display(description="reconciled")
    def reconciled(self, account: Account) -> SafeString | str:
        """When the broker's books were last compared with ours."""
        return pages.instant(getattr(_state_of(account), "reconciled_at", None))

    @admin.display(description="last stream message")
    def last_message(self, account: Account) -> SafeString | str:
        """When the stream last said anything."""
        return pages.instant(getattr(_state_of(account), "stream_last_message_at", None))

    @admin.display(description="broker's budget")
    def budget(self, account: Account) -> str:
        """What is left of the broker's allowance of a minute, as its headers last told."""
        told = getattr(_state_of(account), "budget", None)
        return f"{told['remaining']} of {told['limit']}" if told else pages.NOTHING

    @admin.display(description="as of the last check")
    def at_the_broker(self, account: Account) -> SafeString | str:
        """Balances and status as the broker last told them."""
        told = getattr(_state_of(account), "broker_account", None) or {}
        rows = [
            (name.replace("_", " "), str(told[name])) for name in _BROKER_FIGURES if name in told
        ]
        return pages.figures(rows)

    @admin.display(description="journal")
    def journal_head(self, account: Account) -> SafeString:
        """Where the account's entries are."""
        return pages.link(
            "Show its entries",
            "accounts_journalentry_changelist",
            query=f"?account={account.account_id}",
        )

    @admin.display(description="orders")
    def orders(self, account: Account) -> SafeString:
        """Where the account's orders are."""
        return pages.link(
            "Show its orders", "trading_order_changelist", query=f"?account={account.account_id}"
        )


def _state_of(account: Account) -> AccountState | None:
    return getattr(account, "state", None)


def _owner_of(account: Account) -> str | None:
    lease: Lease | None = getattr(account, "lease", None)
    if lease is None or lease.expires_at <= clock.now():
        return None
    return lease.owner.partition("/")[0]


@admin.register(ProcessRow)
class ProcessAdmin(pages.ReadOnlyAdmin):
    """Every process as it last described itself."""

    list_display = ("name", "alive", "role", "pid", "started", "seen")
    ordering = ("-seen_at",)
    fields = ("name", "alive", "role", "pid", "started", "seen", "described")

    @admin.display(description="alive")
    def alive(self, row: ProcessRow) -> SafeString:
        """Whether it was heard of lately."""
        return pages.dot("alive", "good") if is_alive(row) else pages.dot("gone", "idle")

    @admin.display(description="started", ordering="started_at")
    def started(self, row: ProcessRow) -> SafeString | str:
        """When it started."""
        return pages.instant(row.started_at)

    @admin.display(description="last heard of", ordering="seen_at")
    def seen(self, row: ProcessRow) -> SafeString | str:
        """When it last wrote its row."""
        return pages.instant(row.seen_at)

    @admin.display(description="snapshot")
    def described(self, row: ProcessRow) -> SafeString:
        """What it said of itself."""
        return pages.pretty(row.snapshot)


def is_alive(row: ProcessRow, now: datetime | None = None) -> bool:
    """Whether a process wrote its row lately (api.md §7)."""
    return row.seen_at > (now or clock.now()) - GONE_AFTER


@admin.register(RosterVersion)
class RosterVersionAdmin(pages.ReadOnlyAdmin):
    """Every import of the account file that changed something."""

    list_display = ("version", "imported", "actor", "source")
    fields = ("version", "imported", "actor", "source", "told")

    @admin.display(description="imported", ordering="imported_at")
    def imported(self, row: RosterVersion) -> SafeString | str:
        """When."""
        return pages.instant(row.imported_at)

    @admin.display(description="summary")
    def told(self, row: RosterVersion) -> SafeString:
        """What was added, changed and disabled."""
        return pages.pretty(row.summary)


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class StaffAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg] # unfold ships no types
    """Who may sign in here."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class StaffGroupAdmin(GroupAdmin, ModelAdmin):  # type: ignore[misc] # unfold ships no types
    """What a group of staff may see."""
