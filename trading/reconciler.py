"""The broker's books compared with ours, and ours healed (design.md §4, reconciliation).

The stream replays nothing and loses what it likes: these steps are the judge. Each says how much it
changed; a second run changes nothing (I14).
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from accounts import journal
from accounts.pool import PooledAccount
from opitios.broker.errors import NotFound
from opitios.broker.port import Answer
from opitios.core import clock, database
from opitios.core.errors import Reason
from trading import executions, lifecycle, queries, reports
from trading.executions import Cause, Row, facts_of

logger = structlog.get_logger("app")

# Alpaca's largest page of orders; a page shorter than this is the last.
PAGE = 500
# A stream's own fill is waited for this long before one is put in its place.
GRACE_SECONDS = 2.0
# How far before the last comparison the list begins: clocks differ, and requests take time.
OVERLAP = timedelta(minutes=1)
# An account never compared before is read back so far.
FIRST_LOOK = timedelta(hours=24)


def list_orders(account: PooledAccount, **filters: Any) -> Iterator[Answer]:
    """Read the broker's orders, oldest first, page after page: one answer an order.

    Raises BrokerError.
    """
    after = filters.pop("after", None)
    while True:
        since = {} if after is None else {"after": after}
        page = account.trading.orders(limit=PAGE, direction="asc", **filters, **since)
        for order in page.body:
            yield dataclasses.replace(page, body=order)
        if len(page.body) < PAGE or page.body[-1].get("submitted_at") in {None, after}:
            return
        after = page.body[-1]["submitted_at"]


def catch_up(account: PooledAccount, since: datetime | None) -> int:
    """Take over every order submitted since the last comparison: what a gap may have hidden.

    Runs after each (re)connect of the account's stream. Raises BrokerError.
    """
    begin = clock.now() - FIRST_LOOK if since is None else since - OVERLAP
    found = list_orders(account, status="all", after=clock.rfc3339(begin))
    return sum(_take(account, answer, "catching up") for answer in found) + compare(account)


def compare(account: PooledAccount) -> int:
    """Compare the open orders: listed ones are taken over, ours that are not listed are read.

    Runs every 15 s while orders are open. Raises BrokerError.
    """
    listed: set[str] = set()
    changed = 0
    for answer in list_orders(account, status="open"):
        listed.add(str(answer.body["id"]))
        changed += _take(account, answer, "reconciliation")
    for row in open_rows(account.account_id):
        if row["broker_order_id"] not in listed:
            changed += _read(account, row)
    return changed


def open_rows(account_id: str) -> list[Row]:
    """Our orders that live at the broker as far as we know."""
    condition = "account_id = %s AND NOT final AND broker_order_id IS NOT NULL"
    return queries.orders_where(condition, (account_id,))


def _take(account: PooledAccount, answer: Answer, note: str) -> bool:
    coid = str(answer.body["client_order_id"])
    before = queries.find_by_client_order_id(account.account_id, coid)
    after = reports.take_answer(account, answer, note)
    return before is None or before["seq"] != after["seq"]


def _read(account: PooledAccount, row: Row) -> bool:
    try:
        answer = account.trading.order(row["broker_order_id"])
    except NotFound as error:
        return _missing(row, error)
    return _take(account, answer, "reconciliation")


def _missing(row: Row, error: NotFound) -> bool:
    """An order the broker acknowledged and no longer knows keeps its state, with an alarm."""
    slug = Reason.MISSING_AT_BROKER.slug

    def decide(now: Row) -> tuple[str, dict[str, Any]] | None:
        if now["final"] or now["reason"] == slug:
            return None
        return "order.missing_at_broker", {"reason": slug}

    logger.error("an order is missing at the broker", order_id=str(row["id"]))
    cause = Cause(journal.system("desk", row["principal"]), broker=facts_of(error))
    return bool(executions.change_by(row["id"], decide, cause)["seq"] != row["seq"])


def complete_fills(account_ids: list[str], *, grace_seconds: float = GRACE_SECONDS) -> int:
    """Put a synthesised fill where the stream's own did not come; the real one replaces it later.

    None is added while the fills add up to the broker's filled_qty (design.md §4, G7).
    """
    short = queries.orders_where(
        "fills_short AND account_id = ANY(%s)"
        " AND updated_at < clock_timestamp() - %s * interval '1 second'",
        (account_ids, grace_seconds),
    )
    return sum(_complete(row) for row in short)


def _complete(row: Row) -> bool:
    fills = database.rows(
        "SELECT qty, price FROM trading_fill WHERE order_id = %s AND superseded_by IS NULL",
        (row["id"],),
    )
    told = [(fill["qty"], fill["price"]) for fill in fills]
    missing = lifecycle.stand_in(
        str(row["id"]),
        filled_qty=row["filled_qty"],
        filled_avg_price=row["filled_avg_price"],
        fills=told,
        at=row["filled_at"] or clock.rfc3339(row["updated_at"]),
    )
    if missing is None:
        # Equal: the stream's own came since the order was read.
        if sum(qty for qty, _ in told) > row["filled_qty"]:
            logger.error("fills exceed the broker's filled_qty", order_id=str(row["id"]))
        return False
    cause = Cause(
        journal.system("desk", row["principal"]),
        occurred_at=missing.at,
        note="stands for executions the stream did not tell",
    )
    kind = lifecycle.kind_of("fill" if row["status"] == "filled" else "partial_fill")
    return executions.change(row, kind, {}, cause, execution=missing) is not None


@dataclass(slots=True)
class Drift:
    """Where the broker's books and ours differ, without changing either."""

    compared: int = 0
    differing: list[dict[str, Any]] = field(default_factory=list)
    external: list[str] = field(default_factory=list)
    missing_at_broker: list[str] = field(default_factory=list)
    fills_short: list[str] = field(default_factory=list)

    @property
    def in_agreement(self) -> bool:
        """Whether nothing differs."""
        return not (self.differing or self.external or self.missing_at_broker or self.fills_short)

    def as_json(self) -> dict[str, Any]:
        """The body of `GET accounts/{account_id}/reconciliation`."""
        return {"in_agreement": self.in_agreement, **dataclasses.asdict(self)}


_COMPARED = ("status", "filled_qty", "qty", "limit_price", "symbol", "side")


def drift(account: PooledAccount) -> Drift:
    """Report where the open orders differ (`GET accounts/{id}/reconciliation`).

    Raises BrokerError.
    """
    found = Drift()
    listed = {
        str(answer.body["client_order_id"]): answer.body
        for answer in list_orders(account, status="open")
    }
    ours = {row["client_order_id"]: row for row in open_rows(account.account_id)}
    found.compared = len(listed.keys() | ours.keys())
    found.missing_at_broker = [str(ours[coid]["id"]) for coid in ours.keys() - listed.keys()]
    found.external = [str(listed[coid]["id"]) for coid in listed.keys() - ours.keys()]
    for coid in ours.keys() & listed.keys():
        found.differing += _differences(ours[coid], listed[coid])
    short = queries.orders_where("account_id = %s AND fills_short", (account.account_id,))
    found.fills_short = [str(row["id"]) for row in short]
    return found


def _differences(row: Row, order: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "order_id": str(row["id"]),
            "field": name,
            "ours": lifecycle.text_of(row[name]),
            "broker": order.get(name),
        }
        for name in _COMPARED
        if not lifecycle.same(row[name], order.get(name))
    ]
