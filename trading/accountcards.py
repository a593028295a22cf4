"""Trading's part of an account's staff page: open orders, latest fills, and the drift report."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts import pages, reads
from accounts.accountpages import show_on_account_page
from accounts.models import Account
from accounts.pool import get_pool
from opitios.broker.errors import BrokerError
from opitios.core import database
from opitios.core.errors import Problem, Reason
from trading import reconciler
from trading.lifecycle import plain
from trading.models import Fill, Order
from trading.tones import status_dot

# So many of each are on the page; their lists have the rest.
LATEST = 10


@show_on_account_page
def open_orders(request: HttpRequest, account_id: str) -> pages.Card | None:
    """Show the orders that are not final, the newest first."""
    if not request.user.has_perm("trading.view_order"):
        return None
    found = Order.objects.filter(account_id=account_id, final=False).order_by("-created_at", "-id")
    return pages.Card(
        title="Open orders",
        columns=("created", "order", "status", "filled", "client_order_id"),
        numbers=("filled",),
        rows=[_order(order) for order in found[:LATEST]],
        none="None is open.",
        more=pages.beside(
            pages.link(
                "All its orders", "trading_order_changelist", query=f"?account={account_id}"
            ),
            pages.link("Compare with the broker", "trading_drift", account_id),
        ),
    )


def _order(order: Order) -> list[object]:
    asked = f"{order.side} {order.size or pages.NOTHING} {order.symbol} {order.type} {order.prices}"
    return [
        pages.link(pages.instant(order.created_at), "trading_order_change", order.id),
        asked.rstrip(),
        status_dot(order.status),
        plain(order.filled_qty),
        pages.code(order.client_order_id),
    ]


@show_on_account_page
def latest_fills(request: HttpRequest, account_id: str) -> pages.Card | None:
    """Show the newest executions."""
    if not request.user.has_perm("trading.view_fill"):
        return None
    found: QuerySet[Fill] = Fill.objects.filter(account_id=account_id).order_by("-id")
    return pages.Card(
        title="Latest fills",
        columns=("recorded", "side", "symbol", "qty", "price", "source", "execution"),
        numbers=("qty", "price"),
        rows=[_fill(fill) for fill in found[:LATEST]],
        none="Nothing was filled yet.",
        more=pages.link("All its fills", "trading_fill_changelist", query=f"?account={account_id}"),
    )


def _fill(fill: Fill) -> list[object]:
    return [
        pages.link(pages.instant(fill.recorded_at), "trading_order_change", fill.order_id),
        fill.side,
        fill.symbol,
        plain(fill.qty),
        plain(fill.price),
        fill.source,
        pages.code(fill.execution_id),
    ]


class ComparesBooks:
    """Gives the orders' admin the page `drift/ACCOUNT/`: the broker's books beside ours, now."""

    def get_urls(self) -> list[URLPattern]:
        """Put it before the paths that take anything for an order's id."""
        site: admin.AdminSite = self.admin_site  # type: ignore[attr-defined] # a ModelAdmin
        ours = path("drift/<str:account_id>/", site.admin_view(self.drift), name="trading_drift")
        return [ours, *super().get_urls()]  # type: ignore[misc] # a ModelAdmin

    def drift(self, request: HttpRequest, account_id: str) -> HttpResponse:
        """Ask the broker for the open orders and say where they differ from ours."""
        if not request.user.has_perms(("trading.view_order", "accounts.view_account")):
            raise PermissionDenied
        if "\0" in account_id or not Account.objects.filter(pk=account_id).exists():
            raise Http404
        site: admin.AdminSite = self.admin_site  # type: ignore[attr-defined] # a ModelAdmin
        told = {"title": f"Books of {account_id}", "account": account_id}
        context = site.each_context(request) | told | _compared(account_id)
        return TemplateResponse(request, "admin/trading/order/drift.html", context)


def _compared(account_id: str) -> dict[str, Any]:
    """What the page shows: `cards` where the broker answered, else `trouble` with a sentence."""
    try:
        found = _drift(account_id)
    except Problem as problem:
        return {"trouble": problem.detail}
    return {"drift": found, "cards": _cards(found)}


def _drift(account_id: str) -> reconciler.Drift:
    """Ask the broker. Raises Problem."""
    account = get_pool().get(account_id)
    if account is None:
        raise Problem(Reason.NOT_FOUND, "The account is disabled: nobody asks the broker for it.")
    # Nothing is held while the broker is asked (law 5).
    database.release()
    try:
        return reconciler.drift(account)
    except BrokerError as error:
        raise reads.unreadable(account, error) from error


def _cards(found: reconciler.Drift) -> list[pages.Card]:
    return [
        pages.Card(
            title="Different here and there",
            columns=("order", "field", "ours", "the broker's"),
            rows=[_difference(one) for one in found.differing],
            none="No open order differs.",
        ),
        _ids("At the broker only", found.external, "The broker has no open order that we lack."),
        _ids("Ours only", found.missing_at_broker, "The broker has every open order of ours."),
        _ids("With fills missing", found.fills_short, "Every order's fills add up."),
    ]


def _difference(one: Mapping[str, Any]) -> list[object]:
    order = pages.link(one["order_id"], "trading_order_change", one["order_id"])
    return [order, one["field"], one["ours"], one["broker"]]


def _ids(title: str, ids: list[str], none: str) -> pages.Card:
    rows = [[pages.link(each, "trading_order_changelist", query=f"?q={each}")] for each in ids]
    return pages.Card(title=title, columns=("order",), rows=rows, none=none)
