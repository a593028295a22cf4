"""The rival of "order accepted": the same SQL call, made by plain psycopg in as many threads.

What it stores is what the gateway stored: the newest order is read back, and its entry and columns
are the template of every call, so the rival cannot fall behind the gateway's own statement.
Run by the bench as `python -m benchmarks.rivals.accept_psycopg`, told by its environment.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg
import uuid_utils
from psycopg.rows import DictRow, dict_row

# trading/orders.py's own, word for word.
ACCEPT = "SELECT * FROM order_accept(%s, %s, %s, %s, %s, 'order.queued', %s, %s)"

TEMPLATE = """
SELECT e.body, to_jsonb(o) AS stored FROM trading_order o
JOIN accounts_journalentry e ON e.order_id = o.id AND e.kind = 'order.queued'
WHERE o.idempotency_key IS NOT NULL ORDER BY o.created_at DESC LIMIT 1
"""

# Columns the function itself fills in.
_OF_THE_FUNCTION = {"seq", "updated_at"}


@dataclass(frozen=True, slots=True)
class Template:
    """An order the gateway stored, as the texts of the call that stored it."""

    body: str
    private: str
    subject: str
    key: str
    client_order_id: str
    order_id: str

    def call(self, account: str, key: str) -> tuple[Any, ...]:
        """The parameters of the same call for another order."""
        order_id = str(uuid_utils.uuid7())
        client_order_id = f"op1-{order_id.replace('-', '')}"
        body = (
            self.body.replace(self.order_id, order_id)
            .replace(self.client_order_id, client_order_id)
            .replace(self.key, key)
        )
        private = self.private.replace(self.key, key)
        return account, self.subject, key, client_order_id, order_id, body, private


def read_template(url: str) -> Template:
    """Read the newest order that came with a key."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        found = connection.execute(TEMPLATE).fetchone()
    if found is None:
        raise LookupError("the gateway has stored no order yet")
    stored = found["stored"]
    public = json.loads(found["body"])["after"].keys() | _OF_THE_FUNCTION
    private = {name: stored[name] for name in stored.keys() - public if stored[name] is not None}
    return Template(
        body=found["body"],
        private=json.dumps(private, separators=(",", ":"), sort_keys=True),
        subject=stored["subject"],
        key=stored["idempotency_key"],
        client_order_id=stored["client_order_id"],
        order_id=stored["id"],
    )


def accept(
    connection: psycopg.Connection[DictRow], template: Template, account: str, until: float
) -> int:
    """Store orders of one account until the time is up; returns how many."""
    name = f"{os.getpid()}-{time.time_ns()}-{account}"
    for number in count():
        if time.perf_counter() >= until:
            return number
        call = template.call(account, f"{name}-{number}")
        connection.execute(ACCEPT, call, prepare=True).fetchone()
    raise AssertionError("count() never ends")


def main() -> None:
    """Store as the environment says, and print one object."""
    url, seconds = os.environ["DATABASE_URL"], float(os.environ["BENCH_SECONDS"])
    accounts = os.environ["BENCH_ACCOUNTS"].split(",")[: int(os.environ["BENCH_CONNECTIONS"])]
    template = read_template(url)
    lines = [psycopg.connect(url, autocommit=True, row_factory=dict_row) for _ in accounts]
    began, cpu = time.perf_counter(), time.process_time()
    until = began + seconds
    with ThreadPoolExecutor(len(lines)) as threads:
        stored = threads.map(
            lambda line, account: accept(line, template, account, until), lines, accounts
        )
    took = time.perf_counter() - began
    said = {"per_second": sum(stored) / took, "cpu_share": (time.process_time() - cpu) / took}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
