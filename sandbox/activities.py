"""What changed an account's cash and shares, as GET /v2/account/activities tells it."""

from collections.abc import Callable, Iterable, Mapping
from heapq import merge
from operator import attrgetter

from sandbox.amounts import ZERO, text
from sandbox.exchange import Account, Execution, Transfer
from sandbox.instants import MILLISECOND, as_datetime, rfc3339
from sandbox.query import choice, instant, number, words
from sandbox.refusals import invalid
from sandbox.sessions import new_york

Activity = Execution | Transfer

MAX_PAGE = 100
DIVIDENDS = frozenset(
    {"DIV", "DIVCGL", "DIVCGS", "DIVFEE", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX"}
)
# The published types; the groups stand for several.
TYPES = DIVIDENDS | {
    *("FILL", "TRANS", "MISC", "ACATC", "ACATS", "CFEE", "CGD", "CSD", "CSW", "FEE", "INT"),
    *("INTNRA", "INTTW", "JNL", "JNLC", "JNLS", "MA", "NC", "OPASN", "OPCA", "OPCSH", "OPEXC"),
    *("OPEXP", "OPTRD", "PTC", "PTR", "REO", "REORG", "SPIN", "SPLIT", "FOPT", "OCT"),
}
GROUPS = {"TRANS": frozenset({"CSD", "CSW"}), "MISC": TYPES - DIVIDENDS - {"CSD", "CSW", "FILL"}}
CATEGORIES = {"trade_activity": frozenset({"FILL"}), "non_trade_activity": TYPES - {"FILL"}}


def list_activities(account: Account, query: Mapping[str, str]) -> list[dict[str, object]]:
    """One page; `page_token` is the id of the last activity of the page before.

    Raises:
        RefusedError: 422, a value is not one Alpaca knows.
    """
    size = number(query, "page_size", MAX_PAGE, MAX_PAGE)
    newest_first = choice(query, "direction", ("desc", "asc")) == "desc"
    wanted = _read_filter(query)
    found = [each for each in _all(account) if wanted(each)]
    if newest_first:
        found.reverse()
    start = _start(found, query.get("page_token"))
    return [_render(each) for each in found[start : start + size]]


def type_of(activity: Activity) -> str:
    """Its activity type: a fill, cash that came, cash that went."""
    if isinstance(activity, Execution):
        return "FILL"
    return "CSD" if activity.amount > ZERO else "CSW"


def _all(account: Account) -> Iterable[Activity]:
    """Everything, oldest first."""
    streams: tuple[Iterable[Activity], ...] = (account.transfers, account.executions)
    return merge(*streams, key=attrgetter("at"))


def _read_filter(query: Mapping[str, str]) -> Callable[[Activity], bool]:
    types = _read_types(query)
    order_id = query.get("order_id")
    after, until, day = (instant(query, name) for name in ("after", "until", "date"))

    def wants(activity: Activity) -> bool:
        return (
            (types is None or type_of(activity) in types)
            and (not order_id or _is_of(activity, order_id))
            and (after is None or activity.at > after)
            and (until is None or activity.at < until)
            and (day is None or as_datetime(activity.at).date() == as_datetime(day).date())
        )

    return wants


def _read_types(query: Mapping[str, str]) -> frozenset[str] | None:
    named, category = words(query.get("activity_types")), query.get("category")
    if named and category:
        raise invalid("category cannot be used with activity_types")
    if category:
        return CATEGORIES[choice(query, "category", tuple(CATEGORIES))]
    for word in sorted(named - TYPES):
        raise invalid(f"invalid activity type: {word}")
    return frozenset().union(*(GROUPS.get(word, {word}) for word in named)) if named else None


def _is_of(activity: Activity, order_id: str) -> bool:
    return isinstance(activity, Execution) and activity.order.id == order_id


def _start(found: list[Activity], token: str | None) -> int:
    """Where the page begins: behind the activity the token names."""
    if not token:
        return 0
    for index, activity in enumerate(found):
        if activity.id == token.partition("::")[2]:
            return index + 1
    raise invalid("invalid page_token")


def _id(activity: Activity) -> str:
    """New York's wall clock to the millisecond ([MEAS] 70081904612), then the activity's own id."""
    milliseconds = activity.at // MILLISECOND % 1000
    return f"{new_york(activity.at):%Y%m%d%H%M%S}{milliseconds:03d}::{activity.id}"


def _render(activity: Activity) -> dict[str, object]:
    if isinstance(activity, Execution):
        return _render_fill(activity)
    return {
        "id": _id(activity),
        "activity_type": type_of(activity),
        "date": new_york(activity.at).date().isoformat(),
        "created_at": rfc3339(activity.at),
        "net_amount": text(activity.amount),
        "currency": "USD",
        "status": "executed",
    }


def _render_fill(fill: Execution) -> dict[str, object]:
    order = fill.order
    return {
        "id": _id(fill),
        "activity_type": "FILL",
        "transaction_time": rfc3339(fill.at),
        "type": "fill" if fill.final else "partial_fill",
        "price": text(fill.price),
        "qty": text(fill.qty),
        "side": order.side,
        "symbol": order.symbol,
        "leaves_qty": "0" if fill.final else text(order.sized_qty - fill.cum_qty),
        "order_id": order.id,
        "cum_qty": text(fill.cum_qty),
        "order_status": "filled" if fill.final else "partially_filled",
    }
