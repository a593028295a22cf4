"""What this process, as one that accepts orders, knows of the accounts' desks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from accounts import standings
from accounts.models import AccountState
from accounts.pool import get_pool
from opitios.core.errors import Problem, Reason
from tests.support.orders import place
from tests.support.until import until


@contextmanager
def knowing_nothing() -> Iterator[None]:
    """Begin and end without knowledge of any account."""
    pool: Any = get_pool()
    pool._standings, pool._told_since = {}, standings.BEGINNING
    yield
    pool._standings, pool._told_since = {}, standings.BEGINNING


def wait_for_pressure(account_id: str, **wanted: Any) -> None:
    """Wait until the account's desk has told this, and know it."""

    def look() -> bool:
        get_pool().refresh_standings()
        standing = get_pool().standing(account_id)
        return standing is not None and all(
            getattr(standing.pressure, name) == value for name, value in wanted.items()
        )

    until(look, seconds=10)


def wait_for_state(account_id: str, state: str) -> AccountState:
    """Wait until the account's key is in this state, and know it."""

    def look() -> AccountState | None:
        return AccountState.objects.filter(account_id=account_id, state=state).first()

    found = until(look, seconds=10)
    assert found is not None
    get_pool().refresh_standings()
    return found


def refusal(account_id: str, **changed: Any) -> Reason:
    """Place an order that is refused, and say why it was."""
    with pytest.raises(Problem) as caught:
        place(account_id, **changed)
    return caught.value.reason
