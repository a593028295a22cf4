"""An order that stays unknown calls for a person, and is looked up all the same (G4)."""

import pytest

from opitios.core.config import Timers
from opitios.core.errors import Reason
from tests.support.orders import entries, folded, kinds, plain_json, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.searches import at_broker, look_up, make_old, resolver, search_of, unknown
from tests.trading.sending import Step
from trading import queries, shapes
from trading.resolver import ABSENT_AFTER_LOOK_UPS

pytestmark = pytest.mark.django_db

TEN_MINUTES = 600.0


def call(step: Step) -> int:
    """Look for orders of the account that need attention, as production waits."""
    return resolver(timers=Timers()).call_for_attention([step.account.account_id])


def test_past_ten_minutes_an_unknown_order_says_so(
    sandbox: SandboxProcess, step: Step, caplog: pytest.LogCaptureFixture
) -> None:
    row = unknown(sandbox, step)
    make_old(row, TEN_MINUTES - 30)
    too_early = call(step), row_of(row)["reason"]

    make_old(row, TEN_MINUTES + 1)
    found = call(step), call(step)

    now = row_of(row)
    assert too_early == (0, None)
    assert found == (1, 0)
    assert (now["status"], now["final"], now["reason"]) == ("unknown", False, "needs-attention")
    assert kinds(row["account_id"])[-2:] == ["order.unknown", "order.unknown"]
    assert entries(row["account_id"])[-1]["reason"] == "needs-attention"
    assert folded(now) == plain_json(shapes.order_json(now))
    assert search_of(row)["next_at"] is not None
    assert "needs-attention" in caplog.text
    problem = queries.order_detail(now)["problem"]
    assert (problem["reason"], problem["retry"]) == ("needs-attention", "never")


def test_what_is_found_after_all_needs_none(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step, arrived=True)
    until(lambda: at_broker(sandbox, row)[0]["status"] == "filled")
    make_old(row, TEN_MINUTES + 1)
    call(step)

    now = look_up(step, row, 1)

    assert (now["status"], now["reason"]) == ("filled", None)


def test_what_is_sent_again_needs_none(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step)
    make_old(row, TEN_MINUTES + 1)
    call(step)

    now = look_up(step, row, ABSENT_AFTER_LOOK_UPS)

    assert (now["status"], now["reason"]) == ("queued", None)


def test_only_what_is_unknown_needs_attention(sandbox: SandboxProcess, step: Step) -> None:
    row = unknown(sandbox, step, arrived=True)
    look_up(step, row, 1)
    make_old(row, TEN_MINUTES + 1)

    assert call(step) == 0

    assert row_of(row)["reason"] != Reason.NEEDS_ATTENTION.slug
