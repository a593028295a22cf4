"""Staff pages of orders, attempts and fills: from request to fill, and changed by nobody."""

import uuid
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.paginator import InfinitePaginator

from accounts import pages
from accounts.filters import (
    AccountFilter,
    DayFilter,
    WordFilter,
    accounts_named,
    known_accounts,
)
from accounts.models import Account, Halt, JournalEntry, Limits
from opitios.core import clock
from trading import accountcards, lifecycle, queries, riskpages, story
from trading.lifecycle import plain
from trading.models import Attempt, Fill, Order
from trading.story import Step
from trading.tones import outcome_dot, status_dot

admin.site.register(Halt, riskpages.HaltAdmin)
admin.site.register(Limits, riskpages.LimitsAdmin)

# A search shows so many orders of one name.
FOUND = 50


def ms_to_final(order: Order) -> float | None:
    """Milliseconds from the request to the last change of a final order, None for an open one."""
    return clock.milliseconds(order.created_at, order.updated_at) if order.final else None


class SettledFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Open or final orders: the two halves that the API's `status=` knows."""

    title = "open or closed"
    parameter_name = "settled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """List the halves."""
        return [("open", "open"), ("closed", "closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """Keep one half."""
        value = self.value()
        return queryset.filter(final=value == "closed") if value in {"open", "closed"} else queryset


class StatusFilter(WordFilter):
    """Orders in one state."""

    title = "status"
    parameter_name = "status"
    words = sorted(lifecycle.KNOWN_WORDS)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        """Keep the orders in it; those that are not settled are few, and have an index."""
        found: QuerySet[Order] = super().queryset(request, queryset)
        is_open = self.value() and self.value() not in lifecycle.FINAL
        return found.filter(final=False) if is_open else found


class EnvironmentFilter(WordFilter):
    """Orders of one environment."""

    title = "environment"
    parameter_name = "environment"
    words = Account.Environment.values


class CameFilter(DayFilter):
    """Orders that came here in a range of days: ids begin with their time, and have an index.

    An order placed elsewhere came when the broker told of it.
    """

    def __init__(self, *about: Any, **more: Any) -> None:
        super().__init__(*about, **more)
        self.title = "day it came here"

    def since(self, queryset: QuerySet[Order], at: datetime) -> QuerySet[Order]:
        """Keep what did not come earlier."""
        return queryset.filter(id__gte=first_id_of(at))

    def before(self, queryset: QuerySet[Order], at: datetime) -> QuerySet[Order]:
        """Keep what came earlier."""
        return queryset.filter(id__lt=first_id_of(at))


def first_id_of(at: datetime) -> uuid.UUID:
    """Make the least id that an instant's orders can have (UUIDv7: milliseconds come first)."""
    return uuid.UUID(int=max(0, int(at.timestamp() * 1000)) << 80)


class Ledger(pages.ReadOnlyAdmin):
    """A table that grows for ever: newest first by its own key, and never counted."""

    ordering = ("-id",)
    sortable_by = ()
    paginator = InfinitePaginator
    show_full_result_count = False


@admin.register(Order)
class OrderAdmin(accountcards.ComparesBooks, Ledger):
    """The order blotter, and one order's whole story."""

    list_display = (
        "created", "account_id", "environment_badge", "symbol", "side", "kind", "asked", "filled",
        "status_word", "reason_word", "to_final",
    )  # fmt: skip
    list_display_links = ("created",)
    list_filter = (
        AccountFilter,
        SettledFilter,
        StatusFilter,
        EnvironmentFilter,
        ("source", ChoicesDropdownFilter),
        ("created_at", CameFilter),
    )
    search_fields = ("id",)
    search_help_text = "Our id, the broker's, client_order_id, beginning of an account id, symbol"
    fieldsets = (
        (
            "Order",
            {
                "fields": (
                    ("account_id", "environment_badge", "status_word"),
                    ("symbol", "asset_class", "order_class"),
                    ("side", "type", "time_in_force"),
                    ("asked", "limit_price_shown", "stop_price_shown"),
                    ("filled", "filled_avg", "extended_hours"),
                    ("position_intent", "trail", "reason_word"),
                )
            },
        ),
        (
            "Names",
            {
                "fields": (
                    ("our_id", "broker_id"),
                    ("client_id", "key"),
                    ("replaces", "replaced_by", "batch_id"),
                    ("seq", "source", "subject"),
                )
            },
        ),
        (
            "Times",
            {
                "fields": (
                    ("created", "deadline", "updated"),
                    ("submitted_at", "filled_at", "canceled_at"),
                    ("expired_at", "failed_at", "cancel_asked"),
                )
            },
        ),
        ("Tags and principal", {"fields": (("shown_tags", "shown_principal"), "shown_legs")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        """Find by any of an order's names, else by account, else by symbol."""
        term = search_term.strip()
        if not term:
            return queryset, False
        ids = list(Order.objects.filter(named(term)).values_list("pk", flat=True)[:FOUND])
        if ids:
            return queryset.filter(pk__in=ids), False
        accounts = accounts_named(term)
        if accounts:
            return queryset.filter(account_id__in=accounts), False
        return queryset.filter(symbol=term.upper()), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the order with its story."""
        order = self.get_object(request, unquote(object_id))
        told = {} if order is None else _story(order)
        page: HttpResponse = super().change_view(
            request, object_id, form_url, (extra_context or {}) | told
        )
        return page

    @admin.display(description="created", ordering="created_at")
    def created(self, order: Order) -> SafeString | str:
        """When the request came in."""
        return pages.instant(order.created_at)

    @admin.display(description="environment")
    def environment_badge(self, order: Order) -> SafeString:
        """PAPER green, LIVE red, SANDBOX blue."""
        return pages.environment(order.environment)

    @admin.display(description="status")
    def status_word(self, order: Order) -> SafeString:
        """Its state."""
        return status_dot(order.status)

    @admin.display(description="reason")
    def reason_word(self, order: Order) -> str:
        """Why it ended, where it did not end well."""
        return _reason(order)

    @admin.display(description="type")
    def kind(self, order: Order) -> str:
        """The type with its prices."""
        return f"{order.type} {order.prices}".rstrip()

    @admin.display(description="qty")
    def asked(self, order: Order) -> str:
        """How much was asked for."""
        return order.size or pages.NOTHING

    @admin.display(description="filled")
    def filled(self, order: Order) -> str:
        """How much was filled."""
        return plain(order.filled_qty)

    @admin.display(description="average price")
    def filled_avg(self, order: Order) -> str:
        """At what price."""
        return _decimal(order.filled_avg_price)

    @admin.display(description="to final")
    def to_final(self, order: Order) -> str:
        """How long it took."""
        return pages.milliseconds(ms_to_final(order))

    @admin.display(description="limit price")
    def limit_price_shown(self, order: Order) -> str:
        """The limit."""
        return _decimal(order.limit_price)

    @admin.display(description="stop price")
    def stop_price_shown(self, order: Order) -> str:
        """The stop."""
        return _decimal(order.stop_price)

    @admin.display(description="trail")
    def trail(self, order: Order) -> str:
        """The trail, in USD or percent."""
        if order.trail_percent is not None:
            return f"{plain(order.trail_percent)} %"
        return _decimal(order.trail_price)

    @admin.display(description="id")
    def our_id(self, order: Order) -> SafeString | str:
        """Ours."""
        return pages.code(str(order.id))

    @admin.display(description="broker_order_id")
    def broker_id(self, order: Order) -> SafeString | str:
        """The broker's."""
        return pages.code(order.broker_order_id)

    @admin.display(description="client_order_id")
    def client_id(self, order: Order) -> SafeString | str:
        """The program's."""
        return pages.code(order.client_order_id)

    @admin.display(description="idempotency key")
    def key(self, order: Order) -> SafeString | str:
        """The key of the request."""
        return pages.code(order.idempotency_key)

    @admin.display(description="not sent after")
    def deadline(self, order: Order) -> SafeString | str:
        """Until when it may be sent."""
        return pages.instant(order.not_after)

    @admin.display(description="last change")
    def updated(self, order: Order) -> SafeString | str:
        """When it last changed."""
        return pages.instant(order.updated_at)

    @admin.display(description="cancel asked")
    def cancel_asked(self, order: Order) -> SafeString | str:
        """When somebody asked to cancel it."""
        return pages.instant(order.cancel_requested_at)

    @admin.display(description="tags")
    def shown_tags(self, order: Order) -> SafeString:
        """What the program wrote on it."""
        return pages.pretty(order.tags)

    @admin.display(description="principal")
    def shown_principal(self, order: Order) -> SafeString:
        """Who asked."""
        return pages.pretty(order.principal)

    @admin.display(description="legs")
    def shown_legs(self, order: Order) -> SafeString | str:
        """Its legs."""
        return pages.NOTHING if order.legs is None else pages.pretty(order.legs)


def _decimal(value: Any) -> str:
    return pages.NOTHING if value is None else plain(value)


def _reason(order: Order) -> str:
    refusal = order.refusal or {}
    return order.reason or refusal.get("message") or pages.NOTHING


def _story(order: Order) -> dict[str, Any]:
    """What the page shows beside the order's columns."""
    row = queries.order_row(order.pk)
    if row is None:
        return {}
    detail = queries.order_detail(row)
    return {
        "headline": _headline(order),
        "steps": [_step(step) for step in story.steps(detail["timeline"], final=order.final)],
        "total": pages.milliseconds(ms_to_final(order)),
        "problem": detail["problem"],
        "attempts": [
            {**attempt, "outcome": outcome_dot(attempt["outcome"])}
            for attempt in detail["attempts"]
        ],
        "executions": detail["executions"],
        "entries": [_entry(entry) for entry in queries.order_entries(order.pk)],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "stage": step.stage,
        "state": step.state,
        "name": step.name,
        "share": step.share if step.took_ms else None,
        "took": pages.milliseconds(step.took_ms),
        "at": pages.milliseconds(step.at_ms),
    }


def _headline(order: Order) -> dict[str, Any]:
    """The order in one line."""
    return {
        "asked": f"{order.side} {order.size or pages.NOTHING} {order.symbol}",
        "how": " ".join(part for part in (order.type, order.prices, order.time_in_force) if part),
        "filled": plain(order.filled_qty),
        "price": _decimal(order.filled_avg_price) if order.filled_qty else None,
        "status": status_dot(order.status),
        "environment": pages.environment(order.environment),
        "account": pages.link(order.account_id, "accounts_account_change", order.account_id),
        "reason": None if _reason(order) == pages.NOTHING else _reason(order),
    }


def _entry(entry: JournalEntry) -> dict[str, Any]:
    """One journal entry of the order, with what it changed."""
    body = orjson.loads(entry.body)
    actor = body["actor"]["name"] if body.get("actor") else pages.NOTHING
    return {
        "seq": pages.link(f"#{entry.seq}", "accounts_journalentry_change", entry.pk),
        "kind": entry.kind,
        "recorded": pages.instant(entry.recorded_at),
        "actor": actor,
        "changes": pages.changes(body.get("before"), body.get("after")),
        "note": body.get("note"),
    }


@admin.register(Fill)
class FillAdmin(Ledger):
    """Every execution."""

    list_display = (
        "recorded", "account_id", "symbol", "side", "shown_qty", "shown_price", "source",
        "of_order", "shown_id",
    )  # fmt: skip
    list_display_links = ("recorded",)
    list_filter = (AccountFilter, ("recorded_at", DayFilter))
    search_fields = ("execution_id",)
    search_help_text = "Execution id or our order id"
    fields = (
        ("account_id", "symbol", "side"),
        ("shown_qty", "shown_price", "shown_position"),
        ("at", "recorded", "source"),
        ("shown_id", "of_order"),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Fill], search_term: str
    ) -> tuple[QuerySet[Fill], bool]:
        """Find by whole values only."""
        term = search_term.strip()
        if not term:
            return queryset, False
        execution = Q(account_id__in=known_accounts(), execution_id=term)
        return _of_order(queryset, term, execution), False

    @admin.display(description="recorded")
    def recorded(self, fill: Fill) -> SafeString | str:
        """When we stored it."""
        return pages.instant(fill.recorded_at)

    @admin.display(description="qty")
    def shown_qty(self, fill: Fill) -> str:
        """How much."""
        return plain(fill.qty)

    @admin.display(description="price")
    def shown_price(self, fill: Fill) -> str:
        """At what price."""
        return plain(fill.price)

    @admin.display(description="position after it")
    def shown_position(self, fill: Fill) -> str:
        """What was held after it, as the broker told."""
        return _decimal(fill.position_qty)

    @admin.display(description="order")
    def of_order(self, fill: Fill) -> SafeString:
        """The order it belongs to."""
        return pages.link(str(fill.order_id), "trading_order_change", fill.order_id)

    @admin.display(description="execution_id")
    def shown_id(self, fill: Fill) -> SafeString | str:
        """The broker's id of it."""
        return pages.code(fill.execution_id)


@admin.register(Attempt)
class AttemptAdmin(Ledger):
    """Every call to the broker about an order."""

    list_display = (
        "sent", "kind", "n", "process", "took", "outcome_word", "http_status", "of_order",
        "shown_id",
    )  # fmt: skip
    list_display_links = ("sent",)
    list_filter = (("sent_at", DayFilter),)
    search_fields = ("broker_request_id",)
    search_help_text = "Our order id or the broker's request id"
    fields = (
        ("kind", "n", "process"),
        ("sent", "took", "outcome_word"),
        ("http_status", "shown_id", "of_order"),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Attempt], search_term: str
    ) -> tuple[QuerySet[Attempt], bool]:
        """Find by whole values only."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return _of_order(queryset, term, Q(broker_request_id=term)), False

    @admin.display(description="sent")
    def sent(self, attempt: Attempt) -> SafeString | str:
        """When its claim was committed: from then on bytes could leave."""
        return pages.instant(attempt.sent_at)

    @admin.display(description="took")
    def took(self, attempt: Attempt) -> str:
        """How long the broker took."""
        return pages.milliseconds(attempt.ms)

    @admin.display(description="outcome")
    def outcome_word(self, attempt: Attempt) -> SafeString:
        """How it ended."""
        return outcome_dot(attempt.outcome)

    @admin.display(description="order")
    def of_order(self, attempt: Attempt) -> SafeString:
        """The order it was about."""
        return pages.link(str(attempt.order_id), "trading_order_change", attempt.order_id)

    @admin.display(description="broker's request id")
    def shown_id(self, attempt: Attempt) -> SafeString | str:
        """What to tell the broker's support."""
        return pages.code(attempt.broker_request_id)


def named(term: str) -> Q:
    """Make the condition for an order's own names: our id, the broker's, the program's."""
    accounts = known_accounts()
    found = Q(account_id__in=accounts, client_order_id=term)
    found |= Q(account_id__in=accounts, broker_order_id=term)
    with suppress(ValueError):
        found |= Q(id=uuid.UUID(term))
    return found


def _of_order(queryset: QuerySet[Any], term: str, otherwise: Q) -> QuerySet[Any]:
    """Find by our order id; where it names no order, in the other way. Both have an index."""
    with suppress(ValueError):
        order_id = uuid.UUID(term)
        if Order.objects.filter(pk=order_id).exists():
            return queryset.filter(order_id=order_id)
    return queryset.filter(otherwise)
