"""A desk that stood still tells how its attempt ended after the next one was made (C08, G6)."""

import pytest

from opitios.broker.errors import BrokerError, NotSent, OutcomeUnknown, Refused, Throttled
from tests.support.orders import CAUSE, entries, placed_row, row_of
from tests.trading.sending import OWNER, Rests, Step
from trading import executions, sweeps
from trading.sender import Sender

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "said",
    [
        Refused(message="insufficient buying power", http_status=403, code=40310000),
        NotSent(message="no connection", reason="no-connection"),
        Throttled(message="too many requests", http_status=429),
        OutcomeUnknown(message="no answer", reason="timeout"),
    ],
    ids=lambda said: said.outcome,
)
def test_c08_the_end_of_an_older_attempt_says_nothing_about_the_one_under_way(
    step: Step, said: BrokerError
) -> None:
    row = placed_row(step.account.account_id)
    first = executions.claim(row, owner=OWNER, process="desk-1")
    assert first is not None
    sweeps.doubt_orphans([first.row])
    queued = executions.change(row_of(row), "order.queued", {"status": "queued"}, CAUSE)
    assert queued is not None
    assert executions.claim(queued, owner=OWNER, process="desk-2") is not None
    told = entries(row["account_id"])

    Sender(owner="desk-0/a", process="desk-1", rests=Rests())._ended(first, said)

    assert (row_of(row)["status"], row_of(row)["attempts"]) == ("submitting", 2)
    assert entries(row["account_id"]) == told
