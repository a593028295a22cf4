"""States of streams are stored together, for the accounts a desk owns, and none is lost."""

from unittest.mock import Mock

import pytest
from django.db import DatabaseError

from accounts.models import AccountState
from opitios.core import database
from tests.support.accounts import lease, open_accounts
from trading.watch import StreamNotes

pytestmark = pytest.mark.django_db


def states(account_ids: list[str]) -> list[str]:
    """What is stored of their streams."""
    found = {row.account_id: row.stream_state for row in AccountState.objects.all()}
    return [found[account_id] for account_id in account_ids]


def test_the_newest_state_of_each_account_is_stored_in_one_statement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts = open_accounts(3)
    notes = StreamNotes("desk-a")
    for account_id in accounts:
        lease(account_id, "desk-a")
        notes.tell(account_id, "connecting")
        notes.tell(account_id, "listening")
    asked = Mock(wraps=database.rows)
    monkeypatch.setattr(database, "rows", asked)

    notes.write(set(accounts))
    notes.write(set(accounts))

    assert states(accounts) == ["listening"] * 3
    assert asked.call_count == 1


def test_what_another_desk_owns_is_left_to_it() -> None:
    [lost] = open_accounts(1)
    lease(lost, "desk-b")
    notes = StreamNotes("desk-a")
    notes.tell(lost, "lost")

    notes.write(set())
    notes.write({lost})

    assert states([lost]) == ["closed"]


def test_a_state_waits_for_postgres_and_for_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    [account_id] = open_accounts(1)
    notes = StreamNotes("desk-a")
    notes.tell(account_id, "listening")

    with monkeypatch.context() as outage:
        outage.setattr(database, "rows", _away)
        with pytest.raises(DatabaseError):
            notes.write({account_id})
    notes.write({account_id})
    assert states([account_id]) == ["closed"]
    lease(account_id, "desk-a")
    notes.write({account_id})

    assert states([account_id]) == ["listening"]


def _away(*_sql: object) -> None:
    raise DatabaseError
