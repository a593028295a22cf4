"""The admin's front page: what runs, what is wrong, and in which environments we trade."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import redis
from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.urls import reverse, reverse_lazy
from django.utils.safestring import SafeString
from unfold.dataclasses import SearchResult

from accounts import fleet, pages
from accounts.accountpages import state_dot
from accounts.models import Account, AccountState, Halt, ProcessRow
from accounts.presence import FORGOTTEN_AFTER
from accounts.refusals import tell_of_answer
from opitios.core import bus, clock
from opitios.core.config import get_config
from opitios.core.errors import Problem, Reason
from trading.admin import first_id_of, ms_to_final, named
from trading.lifecycle import plain
from trading.models import Order
from trading.tones import status_dot, tone_of

LATEST = 10
# The command palette shows so many accounts, and as many orders.
FOUND = 10

# What a member of staff must be allowed to view for the front page to show anything.
SEEN_WITH = ("accounts.view_account", "trading.view_order")

# The most dangerous comes first and colours the badge: (environment, theme's colour).
_BADGES = (
    (Account.Environment.LIVE, "danger"),
    (Account.Environment.PAPER, "success"),
    (Account.Environment.SANDBOX, "info"),
)


def locked_out(
    request: HttpRequest, answered: HttpResponse | None, credentials: Mapping[str, Any] | None
) -> HttpResponse:
    """Answer whoever guessed too often (axes): the same whether or not there is such a login."""
    minutes = round(settings.AXES_COOLOFF_TIME.total_seconds() / 60)
    tell_of_answer(request, Problem(Reason.TOO_MANY_REQUESTS))
    page = HttpResponse(
        f"Too many attempts to sign in: try again in {minutes} minutes.",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        content_type="text/plain; charset=utf-8",
    )
    page["Retry-After"] = str(minutes * 60)
    return page


def environment_badge(request: HttpRequest) -> list[str] | None:
    """Name the environments of the enabled accounts, on every page: LIVE red, PAPER green."""
    enabled = Account.objects.filter(enabled=True).order_by()
    return badge(set(enabled.values_list("environment", flat=True).distinct()))


def badge(environments: set[str]) -> list[str] | None:
    """Make the badge's text and the theme's colour; None while there are no accounts. Pure."""
    shown = [(name, colour) for name, colour in _BADGES if name in environments]
    if not shown:
        return None
    return ["● " + " + ".join(name.upper() for name, _ in shown), shown[0][1]]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """List the pages of the side bar, the one that is open marked."""
    groups: list[dict[str, Any]] = [
        {"items": [_item("Dashboard", "monitoring", "index")]},
        {
            "title": "Trading",
            "separator": True,
            "items": [
                _item("Orders", "receipt_long", "trading_order_changelist"),
                _item("Fills", "price_check", "trading_fill_changelist"),
                _item("Attempts", "send", "trading_attempt_changelist"),
                _item("Stream", "sensors", "stream:page", "trading.view_order"),
            ],
        },
        {
            "title": "Risk",
            "separator": True,
            "items": [
                _item("Halts", "front_hand", "accounts_halt_changelist"),
                _item("Limits", "speed", "accounts_limits_changelist"),
            ],
        },
        {
            "title": "Evidence",
            "separator": True,
            "items": [
                _item("Journal entries", "history", "accounts_journalentry_changelist"),
                _item("Journals", "verified", "accounts_journalhead_changelist"),
            ],
        },
        {
            "title": "Fleet",
            "separator": True,
            "items": [
                _item("Accounts", "account_balance", "accounts_account_changelist"),
                _item("Fleet", "grid_view", "accounts_fleet", "accounts.view_account"),
                _item("Processes", "memory", "accounts_processrow_changelist"),
                _item("Roster versions", "upload_file", "accounts_rosterversion_changelist"),
            ],
        },
        {
            "title": "Staff",
            "separator": True,
            "items": [
                _item("People", "person", "auth_user_changelist"),
                _item("Groups", "group", "auth_group_changelist"),
            ],
        },
    ]
    _mark(groups, request.path)
    return groups


def _mark(groups: list[dict[str, Any]], path: str) -> None:
    """Mark the item that leads here: some lie below others, and all below the dashboard."""
    items = [item for group in groups for item in group["items"]]
    index = str(reverse_lazy("admin:index"))
    above = [str(item["link"]) for item in items if path.startswith(str(item["link"]))]
    here = max(above, key=len, default="")
    for item in items:
        item["active"] = str(item["link"]) == here and (here != index or path == index)


def _item(title: str, icon: str, page: str, right: str | None = None) -> dict[str, Any]:
    """One page of the side bar; `right` is what one must have to see it, if not the model's."""

    def may_see(request: HttpRequest) -> bool:
        app, _, rest = page.partition("_")
        model = rest.removesuffix("_changelist")
        return page == "index" or request.user.has_perm(right or f"{app}.view_{model}")

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(page if ":" in page else f"admin:{page}"),
        "permission": may_see,
    }


def search(request: HttpRequest, _: str) -> list[SearchResult]:
    """Find accounts and orders for the command palette (Ctrl-K), few and by index.

    The theme hands the words over in lower case; ids are read as they were typed.
    """
    term = request.GET.get("s", "").strip()
    found: list[SearchResult] = []
    if request.user.has_perm("accounts.view_account"):
        accounts = Account.objects.filter(account_id__startswith=term)[:FOUND]
        found += [_result(row, "Account", "accounts_account_change") for row in accounts]
    if request.user.has_perm("trading.view_order"):
        orders = Order.objects.filter(named(term)).order_by("-id")[:FOUND]
        found += [_result(row, "Order", "trading_order_change") for row in orders]
    return found


def _result(row: Account | Order, kind: str, page: str) -> SearchResult:
    return SearchResult(
        title=str(row),
        description=f"{kind} {row.pk}",
        link=reverse(f"admin:{page}", args=[row.pk]),
        icon="data_object",
    )


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the front page's figures to the admin's context, for staff who may see them."""
    context |= {"title": "Dashboard"}
    if not request.user.has_perms(SEEN_WITH):
        return context
    return context | {"may_see": True} | _figures(clock.now())


def _figures(now: datetime) -> dict[str, Any]:
    states, streams = fleet.counts(now)
    rows = list(
        ProcessRow.objects.filter(seen_at__gt=now - FORGOTTEN_AFTER).order_by("role", "name")
    )
    today = _orders_today(now)
    listening = streams[AccountState.Stream.LISTENING]
    return {
        "alarms": alarms(rows, now, redis_answers=redis_answers()),
        "numbers": _numbers(states, today, listening),
        "orders_today": sum(today.values()),
        "orders_by_status": _bars(today, {word: tone_of(word) for word in today}, status_dot),
        "accounts_by_state": _account_bars(states),
        "streams_listening": listening,
        "processes": [_process(row) for row in rows if fleet.is_alive(row, now)],
        "latest_orders": [_order(order) for order in Order.objects.order_by("-id")[:LATEST]],
    }


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that staff should know before anything else."""

    title: str
    detail: str
    tone: str


def alarms(rows: list[ProcessRow], now: datetime, *, redis_answers: bool) -> list[Alarm]:
    """Say what is degraded: Redis away, a process gone, nobody to send orders. Pure."""
    told = []
    if not any(row.role == "desk" and fleet.is_alive(row, now) for row in rows):
        told.append(
            Alarm("No desk runs", "Orders are accepted and wait; nobody sends them.", "bad")
        )
    told += [
        Alarm(
            f"{row.name} is gone",
            f"This {row.role} process was last heard of at {row.seen_at:%H:%M:%S} UTC.",
            "warn",
        )
        for row in missing(rows, now)
    ]
    if not redis_answers:
        told.append(
            Alarm(
                "Degraded: Redis does not answer",
                "Orders still flow; pushes are slower and live quotes are asked one by one.",
                "warn",
            )
        )
    return told


def missing(rows: list[ProcessRow], now: datetime) -> list[ProcessRow]:
    """List the processes that went silent and that no later one of the same name replaced. Pure.

    A web worker's name ends in its pid: the next worker is another row.
    """
    alive = [row for row in rows if fleet.is_alive(row, now)]
    return [
        row
        for row in rows
        if not fleet.is_alive(row, now)
        and not any(_base(one) == _base(row) and one.started_at > row.seen_at for one in alive)
    ]


def _base(row: ProcessRow) -> str:
    return row.name.partition(":")[0]


def redis_answers() -> bool:
    """Whether Redis answers within 200 ms."""
    try:
        with bus.client(get_config().redis_url.get_secret_value()) as asked:
            return bool(asked.ping())
    except redis.RedisError:
        return False


def _orders_today(now: datetime) -> Counter[str]:
    """Count today's orders by status; a day is the New York date (design.md §4)."""
    midnight = now.astimezone(pages.NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)
    # A range of the primary key, not a scan.
    found = Order.objects.filter(id__gte=first_id_of(midnight)).order_by().values_list("status")
    return Counter(dict(found.annotate(count=Count("id"))))


def _numbers(states: Counter[str], today: Counter[str], listening: int) -> list[dict[str, Any]]:
    done, unknown = today["filled"], today["unknown"]
    ready, enabled = states["ready"], states.total() - states["disabled"]
    return [
        {"name": "orders today", "value": f"{sum(today.values()):,}"},
        {"name": "filled today", "value": f"{done:,}"},
        {"name": "unknown outcome", "value": f"{unknown:,}"},
        {"name": "accounts ready", "value": f"{ready:,} of {enabled:,}"},
        {"name": "streams listening", "value": f"{listening:,}"},
        {"name": "halts standing", "value": f"{Halt.objects.filter(lifted_at=None).count():,}"},
    ]


def _account_bars(states: Counter[str]) -> list[dict[str, Any]]:
    counted = Counter({state: states[state] for state in (*fleet.STATES, *states)})
    tones = {state: pages.STATE_TONES.get(state, "warn") for state in counted}
    return _bars(counted, tones, state_dot)


def _bars(counted: Counter[str], tones: Mapping[str, str], shown: Any) -> list[dict[str, Any]]:
    """Draw counts as bars: the longest is the whole width."""
    longest = max(counted.values(), default=0) or 1
    return [
        {
            "word": shown(word),
            "tone": tones[word],
            "count": f"{count:,}",
            "share": f"{100 * count / longest:.1f}" if count else "0",
        }
        for word, count in counted.most_common()
    ]


def _process(row: ProcessRow) -> dict[str, Any]:
    queue = row.snapshot.get("queue") or {}
    return {
        "name": pages.link(row.name, "accounts_processrow_change", row.name),
        "role": row.role,
        "pid": row.pid,
        "started": pages.instant(row.started_at),
        "warm": row.snapshot.get("warm", pages.NOTHING),
        "leases": row.snapshot.get("leases", pages.NOTHING),
        "waiting": queue.get("depth", pages.NOTHING),
    }


def _order(order: Order) -> dict[str, SafeString | str]:
    return {
        "created": pages.link(pages.instant(order.created_at), "trading_order_change", order.id),
        "account": order.account_id,
        "environment": pages.environment(order.environment),
        "asked": f"{order.side} {order.size or pages.NOTHING} {order.symbol} {order.type}",
        "status": status_dot(order.status),
        "filled": plain(order.filled_qty),
        "took": pages.milliseconds(ms_to_final(order)),
    }
