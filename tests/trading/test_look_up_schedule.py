"""One schedule of look-ups for all processes: never doubled, ever rarer, bounded (G4)."""

import threading
from typing import Any

import pytest

from accounts.models import AccountState
from opitios.core import clock, database
from opitios.core.config import Timers
from tests.support.orders import placed_row, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.trading.crowds import come_again
from tests.trading.searches import (
    doubted,
    look_up,
    lost,
    make_due,
    make_old,
    resolver,
    search_of,
    unknown,
)
from tests.trading.sending import Step
from trading import queries
from trading.resolver import LOOK_UP_PAUSES, LOOK_UPS_A_MINUTE

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


def look_ups(row: Row) -> list[dict[str, Any]]:
    """The look-ups of an order that were answered."""
    return [a for a in queries.order_detail(row)["attempts"] if a["kind"] == "look-up"]


def is_due(row: Row, **changed: Any) -> bool:
    """Whether a process would look the order up now."""
    due = resolver(**changed).due([row["account_id"]])
    return row["id"] in {each.order_id for each in due}


def pause_of(row: Row) -> float:
    """Seconds from now to the next look-up."""
    next_at = search_of(row)["next_at"]
    return float((next_at - clock.now()).total_seconds())


@pytest.mark.races
def test_of_many_who_want_it_one_does_a_look_up(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step)
    make_due(row)
    together, done = threading.Barrier(8), []

    def race() -> None:
        together.wait(60)
        done.append(come_again(lambda: resolver().resolve(row["id"], step.account)))

    racers = [threading.Thread(target=race) for _ in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert len(done) == 8
    assert search_of(row)["looked_up"] == 1
    assert len(look_ups(row)) == 1


def test_the_first_look_up_comes_after_half_a_second(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step)
    search = search_of(row)

    make_due(row, overdue=-60)
    was_due = is_due(row)
    make_due(row)

    assert (was_due, is_due(row)) == (False, True)
    assert (search["next_at"] - search["began_at"]).total_seconds() == pytest.approx(0.5, abs=0.01)
    assert not resolver(overdue_seconds=30).resolve(row["id"], step.account)
    assert search_of(row)["looked_up"] == 0


def test_the_pauses_grow_to_half_a_minute(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step)
    sandbox.fault("500", account=row["account_id"], times=0)

    for planned in (*LOOK_UP_PAUSES, 30.0):
        make_due(row)
        began = clock.now()
        resolver(timers=Timers()).resolve(row["id"], step.account)
        # It was planned at some instant in between.
        since = (search_of(row)["next_at"] - began).total_seconds()
        assert 0.75 * planned <= since
        assert pause_of(row) <= 1.25 * planned


def test_a_desk_leaves_to_the_worker_what_is_not_overdue(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step)

    make_due(row, overdue=1.0)
    in_time = is_due(row), is_due(row, overdue_seconds=2.0)
    make_due(row, overdue=3.0)
    late = is_due(row), is_due(row, overdue_seconds=2.0)

    assert in_time == (True, False)
    assert late == (True, True)


def test_an_account_is_asked_twenty_times_a_minute_at_most(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step)
    other = unknown(sandbox, step)

    look_up(step, row, LOOK_UPS_A_MINUTE + 5, quiet_for=1.0)
    make_due(other)
    spent = resolver().resolve(other["id"], step.account)

    assert search_of(row)["looked_up"] == len(look_ups(row)) == LOOK_UPS_A_MINUTE
    assert (spent, search_of(other)["looked_up"]) == (False, 0)
    # It waits until the oldest of the twenty is a minute old.
    assert 30 < pause_of(other) <= 60


def test_a_minute_later_there_is_room_again(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step)
    look_up(step, row, LOOK_UPS_A_MINUTE, quiet_for=1.0)
    database.rows(
        "UPDATE trading_recentlookups SET at = ARRAY(SELECT t - interval '1 minute'"
        " FROM unnest(at) t) WHERE account_id = %s",
        (row["account_id"],),
    )

    look_up(step, row, 1, quiet_for=1.0)

    assert search_of(row)["looked_up"] == LOOK_UPS_A_MINUTE + 1


def test_one_account_s_many_searches_do_not_crowd_out_the_others(
    sandbox: SandboxProcess, step: Step
) -> None:
    many = [doubted(step) for _ in range(12)]
    for row in many:
        make_due(row)

    due = [each.order_id for each in resolver().due([step.account.account_id])]

    assert len(due) == 10
    make_due(many[-1], overdue=99)
    look_up(step, many[0], 1, quiet_for=1.0)
    make_due(many[0], overdue=100)
    # What was never looked up comes first, however long the other waits.
    due = [each.order_id for each in resolver().due([step.account.account_id])]
    assert due[0] == many[-1]["id"]
    assert many[0]["id"] not in due


@pytest.mark.parametrize("state", ["suspect", "quarantined"])
def test_an_account_whose_key_is_in_doubt_is_not_asked(
    sandbox: SandboxProcess, step: Step, state: str
) -> None:
    row = unknown(sandbox, step)
    make_due(row)
    AccountState.objects.filter(account_id=row["account_id"]).update(state=state)

    held = is_due(row)
    AccountState.objects.filter(account_id=row["account_id"]).update(state="ready")

    assert (held, is_due(row)) == (False, True)


def test_a_search_begins_anew_with_each_send_and_outlives_its_process(
    sandbox: SandboxProcess, step: Step
) -> None:
    row = unknown(sandbox, step)
    look_up(step, row, 2, quiet_for=60)
    began_first = search_of(row)["began_at"]

    # Another process, which knows nothing but the database, does the third.
    make_due(row)
    assert resolver(process="worker-2").resolve(row["id"], step.account)
    again = lost(sandbox, step, row_of(row))

    assert again["attempts"] == 2
    search = search_of(row)
    assert search["began_at"] > began_first
    assert (search["looked_up"], search["not_found"], search["resent"]) == (0, 0, 1)


def test_a_search_ends_with_the_broker_s_word(sandbox: SandboxProcess, step: Step) -> None:
    row = placed_row(step.account.account_id)
    lost(sandbox, step, row, arrived=True)
    make_old(row, 5)

    look_up(step, row, 1)

    assert search_of(row)["next_at"] is None
    assert not is_due(row)
