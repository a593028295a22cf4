"""After a campaign: the broker's ledger, our books and the journal must tell one story (I1–I5)."""

import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.request import Request, urlopen

import psycopg
from psycopg.rows import dict_row

from tests.campaigns.traffic import Sent
from trading import lifecycle

PAGE = 500


@dataclass(slots=True)
class Findings:
    """What was compared, and every disagreement in words."""

    orders: int = 0
    at_broker: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    ambiguous: int = 0
    disagreements: list[str] = field(default_factory=list)

    def says(self, what: str) -> None:
        """Note a disagreement."""
        self.disagreements.append(what)


@dataclass(frozen=True, slots=True)
class Books:
    """Our rows and the broker's orders, each by client_order_id."""

    ours: dict[str, dict[str, Any]]
    theirs: dict[str, list[dict[str, Any]]]
    entries: dict[str, list[dict[str, Any]]]
    fills: dict[str, list[dict[str, Any]]]


def read_books(database_url: str, sandbox_url: str, accounts: list[str]) -> Books:
    """Read everything both sides hold."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        orders = connection.execute("SELECT * FROM trading_order").fetchall()
        entries = connection.execute(
            "SELECT order_id::text AS order_id, seq, kind, recorded_at, body"
            " FROM accounts_journalentry WHERE order_id IS NOT NULL ORDER BY seq"
        ).fetchall()
        fills = connection.execute(
            "SELECT order_id::text AS order_id, execution_id, qty, source FROM trading_fill"
            " WHERE superseded_by IS NULL"
        ).fetchall()
    theirs: dict[str, list[dict[str, Any]]] = {}
    for account_id in accounts:
        for order in _broker_orders(sandbox_url, account_id):
            theirs.setdefault(order["client_order_id"], []).append(order)
    return Books(
        {order["client_order_id"]: order for order in orders},
        theirs,
        _grouped(entries),
        _grouped(fills),
    )


def _grouped(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["order_id"], []).append(row)
    return groups


def _broker_orders(sandbox_url: str, account_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = "2020-01-01T00:00:00Z"
    while True:
        query = f"status=all&direction=asc&limit={PAGE}&after={after}"
        request = Request(  # noqa: S310 - the sandbox on loopback
            f"{sandbox_url}/v2/orders?{query}",
            headers={
                "APCA-API-KEY-ID": f"SANDBOX_{account_id}",
                "APCA-API-SECRET-KEY": f"sandbox-secret-{account_id}",
            },
        )
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            page = json.loads(answer.read())
        found += page
        if len(page) < PAGE:
            return found
        after = page[-1]["submitted_at"]


def compare(sent: list[Sent], books: Books) -> Findings:
    """Compare what clients were told, what we hold, and what the broker holds."""
    findings = Findings(orders=len(books.ours), at_broker=len(books.theirs))
    for order in sent:
        _told(order, books, findings)
    for row in books.ours.values():
        findings.by_status[row["status"]] += 1
        findings.by_reason[row["reason"] or "-"] += 1
        findings.attempts += row["attempts"]
        findings.ambiguous += row["ambiguous"]
        _against_broker(row, books, findings)
        _against_journal(row, books, findings)
    for coid in books.theirs.keys() - books.ours.keys():
        findings.says(f"{coid} is at the broker and not in our books (I2)")
    return findings


def _told(order: Sent, books: Books, findings: Findings) -> None:
    row = books.ours.get(order.client_order_id)
    if order.order_id is not None and (row is None or str(row["id"]) != order.order_id):
        findings.says(f"{order.client_order_id} was answered 202 and is lost (G1)")
    if order.order_id is None and order.refused is None:
        findings.says(f"{order.client_order_id} never had an answer")
    if len(set(order.answers)) > 1:
        findings.says(f"{order.client_order_id} was replayed in other bytes (I11)")


def _against_broker(row: dict[str, Any], books: Books, findings: Findings) -> None:
    coid, status = row["client_order_id"], row["status"]
    theirs = books.theirs.get(coid, [])
    if len(theirs) > 1:
        findings.says(f"{coid} is at the broker {len(theirs)} times (G2)")
    if status in lifecycle.OURS or row["reason"] == "canceled-before-send":
        _against_absence(row, theirs, findings)
        return
    # A submit the broker refused never became an order there.
    if not theirs and status != "rejected":
        findings.says(f"{coid} is {status} here and unknown at the broker")
    for order in theirs:
        if order["status"] != status:
            findings.says(f"{coid} is {status} here and {order['status']} at the broker")
        if Decimal(order["filled_qty"]) != row["filled_qty"]:
            findings.says(f"{coid} has another filled_qty at the broker (I3)")
    filled = sum((fill["qty"] for fill in books.fills.get(str(row["id"]), [])), Decimal(0))
    if filled != row["filled_qty"]:
        findings.says(f"{coid}: fills of {filled}, filled_qty {row['filled_qty']} (G7)")


def _against_absence(row: dict[str, Any], theirs: list[dict[str, Any]], findings: Findings) -> None:
    coid, status = row["client_order_id"], row["status"]
    if status not in lifecycle.FINAL:
        findings.says(f"{coid} is still {status} after healing (I1)")
    elif theirs:
        findings.says(f"{coid} is {status} ({row['reason']}) here and lives at the broker")


def _against_journal(row: dict[str, Any], books: Books, findings: Findings) -> None:
    entries = books.entries.get(str(row["id"]), [])
    if not entries or entries[-1]["seq"] != row["seq"]:
        findings.says(f"{row['client_order_id']}: the row and its last entry differ (law 1)")
        return
    told = [json.loads(entry["body"])["after"] for entry in entries]
    status = next(after["status"] for after in reversed(told) if "status" in after)
    if status != row["status"]:
        findings.says(f"{row['client_order_id']}: the journal says {status} (law 1)")
    finals = [after["status"] for after in told if after.get("status") in lifecycle.FINAL]
    if finals and told[-1].get("status", finals[-1]) != finals[-1]:
        findings.says(f"{row['client_order_id']} left a final state (I4)")
