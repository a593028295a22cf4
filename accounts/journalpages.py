"""The journal explorer: entries, their proof, and the verdict over a whole journal."""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action
from unfold.paginator import InfinitePaginator

from accounts import journal, pages
from accounts.filters import AccountFilter, DayFilter, WordFilter, accounts_named
from accounts.models import JournalEntry, JournalHead

# api.md §8. A select over the table would read all of it to find its kinds.
KINDS = (
    "order.queued", "order.denied", "order.submitting", "order.unknown", "order.lapsed",
    "order.cancel_requested", "order.pending_new", "order.accepted", "order.new",
    "order.partial_fill", "order.fill", "order.pending_cancel", "order.canceled", "order.expired",
    "order.replaced", "order.rejected", "order.done_for_day", "account.suspended",
    "account.resumed", "account.quarantined", "account.released", "account.key_replaced",
    "access.refused", "staff.stream_token",
)  # fmt: skip


# So many entries are verified by one request; the page leads on from there.
SLICE = 20_000
# Where a session keeps how far its verifying got, by journal.
_KEPT = "verified"


class KindFilter(WordFilter):
    """Entries of one kind."""

    title = "kind"
    parameter_name = "kind"
    words = KINDS


class VerifiesJournal:
    """Gives an object's page the button that proves its journal."""

    actions_detail: tuple[str, ...] = ("verify_journal",)

    def journal_of(self, row: Any) -> str:
        """Name the journal of the object."""
        raise NotImplementedError

    @action(  # type: ignore[untyped-decorator] # unfold ships no types
        description="Verify this journal", url_path="verify", icon="verified", permissions=["view"]
    )
    def verify_journal(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Walk a slice of the journal and say whether it holds, or which entry does not.

        `?on=1` goes on where this login's last slice ended; without it, it begins anew.
        """
        row = self.get_object(request, object_id)  # type: ignore[attr-defined] # a ModelAdmin
        head = row and JournalHead.objects.filter(pk=self.journal_of(row)).first()
        if head is None:
            raise Http404
        since = _mark_of(request, head.pk) if "on" in request.GET else None
        verdict = journal.verify(head.pk, since=since, limit=SLICE)
        _remember(request, verdict)
        opts = self.opts  # type: ignore[attr-defined] # a ModelAdmin
        pages_of = f"admin:{opts.app_label}_{opts.model_name}"
        again = reverse(f"{pages_of}_verify_journal", args=[object_id])
        _say(request, verdict, head.seq, f"{again}?on=1")
        return HttpResponseRedirect(reverse(f"{pages_of}_change", args=[object_id]))


def _mark_of(request: HttpRequest, account_id: str) -> journal.Mark | None:
    """Read how far this login got. It is kept here: what a browser sends would prove nothing."""
    kept = request.session.get(_KEPT, {}).get(account_id)
    return None if kept is None else journal.Mark(kept["seq"], bytes.fromhex(kept["hash"]))


def _remember(request: HttpRequest, verdict: journal.Verdict) -> None:
    kept = {**request.session.get(_KEPT, {})}
    kept.pop(verdict.account_id, None)
    if verdict.rest is not None:
        kept[verdict.account_id] = {"seq": verdict.rest.seq, "hash": verdict.rest.hash.hex()}
    request.session[_KEPT] = kept


def _say(request: HttpRequest, verdict: journal.Verdict, head: int, further: str) -> None:
    if verdict.rest is None:
        say = messages.success if verdict.ok else messages.error
        say(request, told(verdict))
        return
    sentence = '{} It has {} entries. <a class="op-link" href="{}">Go on from there</a>'
    messages.warning(request, format_html(sentence, told(verdict), head, further))


def told(verdict: journal.Verdict) -> str:
    """Say a verdict in one sentence."""
    if verdict.rest is not None:
        return f"The journal of {verdict.account_id} holds up to entry {verdict.entries}."
    if verdict.ok:
        return f"The journal of {verdict.account_id} holds: {verdict.entries} entries verified."
    return (
        f"The journal of {verdict.account_id} does NOT hold: entry {verdict.first_bad_seq}, "
        f"{verdict.why}."
    )


class JournalAdmin(VerifiesJournal, pages.ReadOnlyAdmin):
    """One row a journal: its last number and hash."""

    list_display = ("account_id", "seq", "shown_hash", "entries")
    ordering = ("account_id",)
    search_fields = ("account_id",)
    fields = (("account_id", "seq"), "shown_hash", "entries")

    def journal_of(self, row: JournalHead) -> str:
        """Name the journal."""
        return row.account_id

    @admin.display(description="hash")
    def shown_hash(self, row: JournalHead) -> SafeString | str:
        """The hash of the last entry."""
        return pages.code(bytes(row.hash).hex())

    @admin.display(description="entries")
    def entries(self, row: JournalHead) -> SafeString:
        """Where the entries are."""
        return entries_link(row.account_id)


def entries_link(account_id: str) -> SafeString:
    """Link to a journal's entries."""
    query = f"?account={account_id}"
    return pages.link("Show its entries", "accounts_journalentry_changelist", query=query)


class JournalEntryAdmin(VerifiesJournal, pages.ReadOnlyAdmin):
    """The entries of all journals, newest first."""

    list_display = ("name", "account_id", "kind", "recorded", "actor", "became", "order")
    list_display_links = ("name",)
    # Newest first by the table's own number: no other order has an index over all accounts.
    ordering = ("-id",)
    sortable_by = ()
    paginator = InfinitePaginator
    show_full_result_count = False
    list_filter = (AccountFilter, KindFilter, ("recorded_at", DayFilter))
    search_fields = ("account_id",)
    search_help_text = "Beginning of an account id, our order id, or a kind such as order.fill"
    fieldsets = (
        (
            "Entry",
            {
                "fields": (
                    ("account_id", "seq", "kind"),
                    ("recorded", "occurred", "actor"),
                    ("order", "request_id", "canon"),
                )
            },
        ),
        ("Proof", {"fields": ("shown_prev_hash", "shown_hash")}),
        ("Body", {"fields": ("content",)}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[JournalEntry], search_term: str
    ) -> tuple[QuerySet[JournalEntry], bool]:
        """Find by our order id, by a kind, or by how an account's id begins."""
        term = search_term.strip()
        if not term:
            return queryset, False
        with suppress(ValueError):
            return queryset.filter(order_id=uuid.UUID(term)), False
        if "." in term:
            return queryset.filter(kind=term), False
        return queryset.filter(account_id__in=accounts_named(term)), False

    def journal_of(self, row: JournalEntry) -> str:
        """Name the journal that an entry's page verifies."""
        return row.account_id

    @admin.display(description="entry")
    def name(self, entry: JournalEntry) -> str:
        """The entry's number in its journal."""
        return f"#{entry.seq}"

    @admin.display(description="recorded")
    def recorded(self, entry: JournalEntry) -> SafeString | str:
        """When the database numbered and hashed it."""
        return pages.instant(entry.recorded_at)

    @admin.display(description="occurred")
    def occurred(self, entry: JournalEntry) -> str:
        """When it happened, in the words of whoever told."""
        return str(_body(entry).get("occurred_at") or pages.NOTHING)

    @admin.display(description="actor")
    def actor(self, entry: JournalEntry) -> str:
        """Who did it, and for whom."""
        return actor_of(_body(entry))

    @admin.display(description="after")
    def became(self, entry: JournalEntry) -> str:
        """The state it left behind, where it left one."""
        after = _body(entry).get("after") or {}
        return str(after.get("status") or pages.NOTHING)

    @admin.display(description="order")
    def order(self, entry: JournalEntry) -> SafeString | str:
        """The order it is about."""
        if entry.order_id is None:
            return pages.NOTHING
        return pages.link(str(entry.order_id), "trading_order_change", entry.order_id)

    @admin.display(description="request")
    def request_id(self, entry: JournalEntry) -> SafeString | str:
        """The request that caused it."""
        return pages.code((_body(entry).get("request") or {}).get("request_id"))

    @admin.display(description="prev hash")
    def shown_prev_hash(self, entry: JournalEntry) -> SafeString | str:
        """The hash of the entry before it."""
        return pages.code(bytes(entry.prev_hash).hex())

    @admin.display(description="hash")
    def shown_hash(self, entry: JournalEntry) -> SafeString | str:
        """Its own."""
        return pages.code(bytes(entry.hash).hex())

    @admin.display(description="as it was hashed, indented")
    def content(self, entry: JournalEntry) -> SafeString:
        """The whole body."""
        return pages.pretty(_body(entry))


def actor_of(body: Mapping[str, Any]) -> str:
    """Name who did what an entry tells, and for whom."""
    actor = body.get("actor") or {}
    behalf = actor.get("on_behalf_of") or {}
    name = str(actor.get("name") or pages.NOTHING)
    return f"{name} for {behalf['sub']}" if behalf.get("sub") not in {None, name} else name


def _body(entry: JournalEntry) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(entry.body)
    return told
