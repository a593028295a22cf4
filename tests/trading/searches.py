"""Searches for orders whose answer was lost, and their schedule moved to where a test wants it.

Time is moved by changing what the database remembers; nobody waits for it.
"""

from typing import Any

from opitios.core import database
from opitios.core.config import Timers
from tests.support.orders import kinds, placed_row, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.trading.sending import OWNER, Step
from trading import executions, sweeps
from trading.resolver import Resolver

Row = dict[str, Any]
QUIET = Timers(absent_after=5.0)


def resolver(**changed: Any) -> Resolver:
    """A worker's resolver, or another process's."""
    about: dict[str, Any] = {"role": "worker", "process": "worker-1"} | changed
    return Resolver(about.pop("timers", QUIET), **about)


def unknown(sandbox: SandboxProcess, step: Step, *, arrived: bool = False, **changed: Any) -> Row:
    """An order whose answer was lost, after it arrived at the broker or before."""
    row = placed_row(step.account.account_id, **changed)
    return lost(sandbox, step, row, arrived=arrived)


def lost(sandbox: SandboxProcess, step: Step, row: Row, *, arrived: bool = False) -> Row:
    """Send an order whose answer gets lost. A worker that runs may have looked it up already."""
    before = _times_unknown(row)
    when = "after" if arrived else "before"
    sandbox.fault("reset", account=row["account_id"], route="POST /v2/orders", when=when)
    after = step.send(row)
    assert _times_unknown(row) == before + 1
    return after


def _times_unknown(row: Row) -> int:
    return kinds(row["account_id"]).count("order.unknown")


def doubted(step: Step, **changed: Any) -> Row:
    """An order whose desk died while sending it, before a byte left."""
    row = placed_row(step.account.account_id, **changed)
    claimed = executions.claim(row, owner=OWNER, process="desk-1")
    assert claimed is not None
    sweeps.doubt_orphans([claimed.row])
    return row_of(row)


def forsake(row: Row) -> None:
    """Let the desk of an order's account be gone."""
    database.rows(
        "UPDATE accounts_lease SET expires_at = clock_timestamp() WHERE account_id = %s",
        (row["account_id"],),
    )


def at_broker(sandbox: SandboxProcess, row: Row) -> list[dict[str, Any]]:
    """The orders the broker holds for the order's account."""
    found: list[dict[str, Any]] = sandbox.trade(
        row["account_id"], "GET", "/v2/orders", params={"status": "all"}
    ).json()
    return found


def search_of(row: Row) -> Row:
    """The search for an order, as it stands."""
    found = database.row("SELECT * FROM trading_search WHERE order_id = %s", (row["id"],))
    assert found is not None
    return found


def make_due(row: Row, *, overdue: float = 0.0) -> None:
    """Let an order's next look-up be due since so many seconds."""
    _move(row, "next_at", overdue)


def make_old(row: Row, seconds: float) -> None:
    """Let a search have begun so long ago."""
    _move(row, "began_at", seconds)


def let_it_be_late(row: Row) -> None:
    """Let an order's deadline have passed."""
    database.rows(
        "UPDATE trading_order SET not_after = clock_timestamp() WHERE id = %s", (row["id"],)
    )


def _move(row: Row, column: str, seconds: float) -> None:
    database.rows(
        f"UPDATE trading_search SET {column} = clock_timestamp() - %s * interval '1 second'"  # noqa: S608 - a name of ours
        " WHERE order_id = %s",
        (seconds, row["id"]),
    )


def look_up(step: Step, row: Row, times: int, *, quiet_for: float = 60.0, **changed: Any) -> Row:
    """Look an order up so many times, the search having begun so long ago; its row afterwards."""
    make_old(row, quiet_for)
    worker = resolver(**changed)
    for _ in range(times):
        make_due(row)
        worker.resolve(row["id"], step.account)
    return row_of(row)
