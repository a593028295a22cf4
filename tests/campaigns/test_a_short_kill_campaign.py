"""The kill campaign's short case: real processes, real kills, nothing lost or doubled (G1, G2)."""

import pytest

from tests.campaigns.kill import campaign
from tests.campaigns.outcome import Plan

pytestmark = pytest.mark.journeys


@pytest.mark.timeout(1800)
def test_orders_survive_kills_at_failpoints_and_at_random() -> None:
    plan = Plan(
        orders=16,
        kills=2,
        accounts=3,
        seed=7,
        failpoints=("claim-after", "answer-before-save"),
        # A desk that was killed is back too late for ten seconds where the machine is crowded.
        waits=(120, 240),
        strikes=2,
    )

    outcome = campaign(plan, lambda _name, _what: None)

    assert outcome.disagreements == []
    assert outcome.findings.orders == plan.orders
    assert sum(outcome.kills.values()) >= plan.kills
    assert all(outcome.reached.values())
