"""What checks saw is stored together, for the accounts a desk owns, and none is lost (R5)."""

from typing import Any
from unittest.mock import Mock

import pytest
from django.db import DatabaseError

from accounts.models import AccountState
from opitios.broker.port import Rate
from opitios.core import clock, database
from tests.support.accounts import lease, open_accounts
from tests.support.orders import kinds
from trading.watch import Checked, CheckNotes, checked_lately

pytestmark = pytest.mark.django_db

DESK = "desk-a"


def checked(account_id: str, **said: Any) -> Checked:
    """What a check saw a moment ago."""
    now = clock.rfc3339(clock.now())
    return Checked(account_id, now, 12.5, {"status": "ACTIVE", **said}, Rate(200, 199, 1.0))


def rows(account_ids: list[str]) -> list[AccountState]:
    """Their state rows as they are now."""
    found = {row.account_id: row for row in AccountState.objects.all()}
    return [found[account_id] for account_id in account_ids]


@pytest.fixture
def owned() -> list[str]:
    """Three accounts that the desk holds."""
    accounts = open_accounts(3)
    for account_id in accounts:
        lease(account_id, DESK)
    return accounts


def test_many_checks_are_stored_in_one_statement_and_who_warmed_up_is_ready(
    owned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = CheckNotes(DESK)
    AccountState.objects.filter(account_id=owned[0]).update(state="suspect", state_reason="a 401")
    for account_id in owned:
        notes.add(checked(account_id, equity="1"))
        notes.add(checked(account_id, equity="2"))
    asked = Mock(wraps=database.rows)
    monkeypatch.setattr(database, "rows", asked)

    notes.write()
    notes.write()

    assert asked.call_count == 1
    for row in rows(owned):
        assert (row.state, row.state_reason, row.check_ms) == ("ready", None, 12.5)
        assert row.broker_account == {"status": "ACTIVE", "equity": "2"}
        assert row.budget == {"limit": 200, "remaining": 199, "resets_at": 1.0}
    assert checked_lately(owned, 60.0) == set(owned)
    assert checked_lately(owned, -60.0) == set()


def test_a_ready_account_stays_so_since_when_it_was(owned: list[str]) -> None:
    notes = CheckNotes(DESK)
    notes.add(checked(owned[0]))
    notes.write()
    [before] = rows(owned[:1])

    notes.add(checked(owned[0]))
    notes.write()

    [after] = rows(owned[:1])
    assert (after.state_since, after.told_at) == (before.state_since, before.told_at)
    assert after.checked_at != before.checked_at


def test_out_of_quarantine_leads_a_step_with_an_entry(owned: list[str]) -> None:
    notes = CheckNotes(DESK)
    AccountState.objects.filter(account_id=owned[0]).update(state="quarantined")
    for account_id in owned[:2]:
        notes.add(checked(account_id))

    notes.write()

    assert [row.state for row in rows(owned)] == ["ready", "ready", "warming"]
    assert kinds(owned[0]) == ["account.released"]
    assert kinds(owned[1]) == []


def test_what_another_desk_owns_is_left_to_it(owned: list[str]) -> None:
    notes = CheckNotes(DESK)
    lease(owned[0], "desk-b")
    notes.add(checked(owned[0]))

    notes.write()

    [row] = rows(owned[:1])
    assert (row.state, row.checked_at) == ("warming", None)


def test_an_answer_that_postgres_cannot_keep_harms_no_other(owned: list[str]) -> None:
    notes = CheckNotes(DESK)
    notes.add(checked(owned[0]))
    notes.add(checked(owned[1], status="a\x00b"))
    notes.add(checked(owned[2]))

    notes.write()

    assert [row.state for row in rows(owned)] == ["ready", "warming", "ready"]


def test_answers_wait_while_postgres_is_away_and_the_newest_counts(
    owned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = CheckNotes(DESK)
    notes.add(checked(owned[0], equity="1"))
    notes.add(checked(owned[1], equity="1"))
    with monkeypatch.context() as outage:
        outage.setattr(database, "rows", _away)
        with pytest.raises(DatabaseError):
            notes.write()
    notes.add(checked(owned[0], equity="2"))

    notes.write()

    told: Any = [row.broker_account for row in rows(owned[:2])]
    assert [each["equity"] for each in told] == ["2", "1"]


def _away(*_sql: object) -> None:
    raise DatabaseError
