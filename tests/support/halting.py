"""Halts of a test's own: every one of them is lifted at its end, for the database is shared.

Import late from a conftest: Django is set up after conftests are read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounts.journal import Actor
from trading import halts
from trading.halts import Target

ME = Actor("staff", "jane")


@contextmanager
def halted(
    account_id: str | None = None,
    symbol: str | None = None,
    *,
    mode: str = "halt",
    actor: Actor = ME,
    **more: Any,
) -> Iterator[dict[str, Any]]:
    """Halt an account, a symbol, or everything, for as long as the block lasts."""
    target = Target(account_id, symbol)
    row = halts.set_halt(target, mode=mode, actor=actor, reason="strange orders", **more).row
    try:
        yield row
    finally:
        halts.lift(row["id"], actor=actor, reason="explained")
