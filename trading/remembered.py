"""Rows this process wrote last, so that the next report of an order need not read its row first.

A remembered row may be old: what is decided on it is written only if the row is still like that
(its seq), and what would change nothing is decided again on the row as it is.
"""

import threading
from typing import Any

from cachetools import LRUCache

Row = dict[str, Any]

# Orders under way at once in one desk; one that is forgotten is read.
ROWS = 4096

_rows: "LRUCache[tuple[str, str], Row]" = LRUCache(ROWS)
_lock = threading.Lock()


def remember(row: Row) -> None:
    """Keep a row as it was just written; one that is final is not expected to change again."""
    key = (row["account_id"], row["client_order_id"])
    with _lock:
        if row["final"]:
            _rows.pop(key, None)
        else:
            _rows[key] = row


def recall(account_id: str, client_order_id: str) -> Row | None:
    """The row as this process last wrote it."""
    with _lock:
        return _rows.get((account_id, client_order_id))
