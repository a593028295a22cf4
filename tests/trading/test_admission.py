"""Whether an order could be sent before its deadline, from what the account's desk told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.standings import Pressure, Standing
from opitios.core.errors import Problem, Reason
from trading.admission import Admission, expected_wait

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """An instant so long after noon."""
    return NOON + timedelta(seconds=seconds)


def told(*, state: str = "ready", told_at: datetime = NOON, **pressure: Any) -> Standing:
    """What a desk told of the account `a`."""
    return Standing(state=state, pressure=Pressure("a", **pressure), told_at=told_at)


def refusal(
    standing: Standing | None, lives: float = 60.0, *, accepted: int = 0, per_minute: float = 140
) -> Problem | None:
    """The refusal of an order at noon, where so many were stored here a moment ago."""
    admission = Admission(standing_of=lambda _: standing, per_minute=per_minute)
    for _ in range(accepted):
        admission.count("a", after(-0.5))
    return admission.refusal("a", after(lives), NOON)


def test_an_account_nobody_told_of_is_let_in() -> None:
    assert refusal(None) is None
    assert refusal(told()) is None


@pytest.mark.parametrize("state", ["warming", "suspect", "ready"])
def test_a_key_in_mere_doubt_keeps_nobody_out(state: str) -> None:
    assert refusal(told(state=state)) is None


def test_an_account_in_quarantine_says_so() -> None:
    found = refusal(told(state="quarantined"))

    assert found is not None
    assert (found.reason, found.status) == (Reason.ACCOUNT_QUARANTINED, 503)
    assert (found.account_id, found.retry_after_seconds) == ("a", 30)


def test_while_the_breaker_is_open_nothing_new_waits_behind_it() -> None:
    found = refusal(told(breaker="open", rests_until=after(3)), lives=3600)

    assert found is not None
    assert (found.reason, found.status) == (Reason.BROKER_UNAVAILABLE, 503)
    assert found.retry_after_seconds == 3
    assert refusal(told(breaker="half-open")) is None


@pytest.mark.parametrize(
    ("waiting", "left", "lives", "taken"),
    [
        (119, None, 1.0, True),
        (120, None, 0.4, False),
        (259, None, 60.0, True),
        (261, None, 60.0, False),
        (0, 0, 0.4, False),
        (0, 0, 0.5, True),
        (30, 10, 8.5, False),
        (30, 10, 9.1, True),
    ],
)
def test_a_queue_that_outlasts_the_deadline_takes_no_more(
    waiting: int, left: int | None, lives: float, taken: bool
) -> None:
    found = refusal(told(waiting=waiting, submits_left=left), lives)

    assert (found is None) is taken
    if found is not None:
        assert (found.reason, found.status) == (Reason.WOULD_LAPSE, 429)


def test_a_refusal_says_when_to_come_back() -> None:
    found = refusal(told(waiting=99, submits_left=0), lives=10, per_minute=60)

    assert found is not None
    assert found.retry_after_seconds == pytest.approx(90)


def test_a_resting_account_takes_what_lives_longer_than_its_rest() -> None:
    resting = told(rests_until=after(30))

    assert refusal(resting, lives=10) is not None
    assert refusal(resting, lives=60) is None
    assert refusal(told(rests_until=after(-1)), lives=1) is None


def test_what_this_process_stored_since_then_waits_as_well() -> None:
    before = told(told_at=after(-10))

    assert refusal(before, lives=10, accepted=130) is None
    assert refusal(before, lives=10, accepted=200) is not None
    # Told since: the desk has counted them.
    assert refusal(told(told_at=after(-0.2)), lives=10, accepted=200) is None


def test_what_was_stored_long_ago_is_no_longer_counted() -> None:
    admission = Admission(standing_of=lambda _: told(told_at=after(-60)), per_minute=140)
    for _ in range(500):
        admission.count("a", after(-3))

    assert admission.refusal("a", after(1), NOON) is None
    admission.count("a", NOON)
    assert len(admission._accepted["a"]) == 1


def test_a_wait_is_the_rest_and_a_share_of_a_minute_for_each_order_too_many() -> None:
    pressure = Pressure("a", rests_until=after(5), submits_left=2)

    assert expected_wait(pressure, 0, 60, NOON) == 5
    assert expected_wait(pressure, 3, 60, NOON) == 7


@pytest.mark.parametrize(
    ("overdue", "low_priority", "refused"),
    [(None, False, False), (0.24, False, False), (0.25, False, True), (3.0, False, True),
     (0.12, True, False), (0.125, True, True)],
)  # fmt: skip
def test_g20_where_an_order_waits_too_long_for_a_sender_no_new_one_is_taken(
    overdue: float | None, low_priority: bool, refused: bool
) -> None:
    standing = told(waiting=3, overdue=overdue)
    admission = Admission(
        standing_of=lambda _: standing, per_minute=140, is_low_priority=lambda _: low_priority
    )

    found = admission.refusal("a", after(60), NOON)

    assert (found is not None) is refused
    if found is not None:
        assert (found.reason, found.status) == (Reason.OVERLOADED, 503)
        assert (found.account_id, found.retry_after_seconds) == ("a", 1)
