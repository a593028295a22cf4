"""Everything a campaign knows when it is over: what was asked, stored, journalled and received."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.campaigns.ledger import Ledger
from tests.campaigns.outages import Outage
from tests.campaigns.traffic import Sent

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Books:
    """Our side, as the database holds it; entries, fills and attempts by order id."""

    orders: list[Row]
    entries: dict[str, list[Row]]
    fills: dict[str, list[Row]]
    attempts: dict[str, list[Row]]


@dataclass(frozen=True, slots=True)
class Story:
    """What clients asked and were told, our books, the broker's, and when sending was cut off."""

    sent: list[Sent]
    books: Books
    ledger: Ledger
    outages: list[Outage]


def read_books(database_url: str) -> Books:
    """Read our side in one snapshot."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        read = connection.execute
        return Books(
            orders=read("SELECT * FROM trading_order").fetchall(),
            entries=by_order(
                read(
                    "SELECT order_id, seq, kind, body::json AS said FROM accounts_journalentry"
                    " WHERE order_id IS NOT NULL ORDER BY account_id, seq"
                )
            ),
            fills=by_order(read("SELECT * FROM trading_fill ORDER BY id")),
            attempts=by_order(read("SELECT * FROM trading_attempt ORDER BY sent_at")),
        )


def by_order(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Group rows by the order they are about."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[str(row["order_id"])].append(row)
    return dict(groups)
