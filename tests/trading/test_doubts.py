"""When a refused key is suspect, quarantined, or its host's fault (design.md §5)."""

from itertools import pairwise

import pytest

from opitios.core.config import Timers
from trading.doubts import Doubts, Verdict

HOST = "https://paper"
TIMERS = Timers()


@pytest.fixture
def doubts() -> Doubts:
    return Doubts(TIMERS)


def denied(doubts: Doubts, account_id: str, now: float, *, peers: int = 1000) -> Verdict:
    """The broker answers 401 for an account."""
    return doubts.denied(account_id, host=HOST, key_version=1, peers=peers, now=now)


def denied_all(doubts: Doubts, count: int, now: float = 0.0, *, peers: int = 40) -> list[Verdict]:
    """It does so for many."""
    return [denied(doubts, f"a{n}", now, peers=peers) for n in range(count)]


def test_one_refusal_is_suspect_and_three_within_a_minute_are_a_quarantine(doubts: Doubts) -> None:
    said = [denied(doubts, "a", now) for now in (0.0, 30.0, 59.0)]

    assert said == [Verdict.SUSPECT, Verdict.SUSPECT, Verdict.QUARANTINED]
    assert doubts.holds("a")
    assert not doubts.holds("b")


def test_refusals_further_apart_stay_a_suspicion(doubts: Doubts) -> None:
    said = [denied(doubts, "a", now) for now in (0.0, 30.0, 61.0, 95.0)]

    assert set(said) == {Verdict.SUSPECT}


def test_an_accepted_key_ends_the_doubt(doubts: Doubts) -> None:
    for now in (0.0, 1.0, 2.0):
        denied(doubts, "a", now)

    doubts.accepted("a", host=HOST)

    assert not doubts.holds("a")
    assert denied(doubts, "a", 3.0) is Verdict.SUSPECT


def test_a_suspect_is_checked_soon_and_a_quarantined_one_ever_more_rarely(doubts: Doubts) -> None:
    denied(doubts, "a", 0.0)
    assert doubts.due(2.9, {}) == []
    assert doubts.due(3.0, {}) == ["a"]
    assert doubts.due(5.9, {}) == []
    assert doubts.due(6.0, {}) == ["a"]
    for now in (3.0, 6.0):
        denied(doubts, "a", now)

    checked = [now for now in range(7, 2000) if doubts.due(float(now), {})]

    gaps = [later - now for now, later in pairwise(checked)]
    assert checked[0] == 36
    assert gaps[:5] == [30, 60, 120, 240, 300]
    assert set(gaps[5:]) == {300}


def test_a_replaced_key_is_tried_at_once(doubts: Doubts) -> None:
    for now in (0.0, 1.0, 2.0):
        denied(doubts, "a", now)

    assert doubts.due(3.0, {"a": 1}) == []
    assert doubts.due(3.0, {"a": 2}) == ["a"]
    assert doubts.due(3.1, {"a": 2}) == []


@pytest.mark.parametrize(("peers", "enough"), [(4, 5), (40, 5), (60, 6), (1000, 100)])
def test_a_tenth_of_the_accounts_means_the_host(doubts: Doubts, peers: int, enough: int) -> None:
    said = denied_all(doubts, enough, peers=peers)

    assert said == [Verdict.SUSPECT] * (enough - 1) + [Verdict.HOST]


def test_suspects_of_different_minutes_do_not_mean_the_host(doubts: Doubts) -> None:
    said = [denied(doubts, f"a{n}", n * 20.0, peers=40) for n in range(8)]

    assert set(said) == {Verdict.SUSPECT}


def test_whom_the_hosts_fault_put_in_quarantine_is_pardoned(doubts: Doubts) -> None:
    for now in (0.0, 0.1, 0.2):
        denied(doubts, "a0", now)
    denied_all(doubts, 5, now=1.0)

    assert doubts.pardon(HOST, 1.0) == ["a0"]
    assert doubts.holds("a0")
    assert denied(doubts, "a0", 2.0, peers=40) is Verdict.HOST


def test_an_old_quarantine_is_not_pardoned(doubts: Doubts) -> None:
    for now in (0.0, 0.1, 0.2):
        denied(doubts, "dead", now)
    denied_all(doubts, 5, now=100.0)

    assert doubts.pardon(HOST, 100.0) == []
    assert doubts.pardon("https://live", 0.3) == []


def test_once_the_host_takes_a_key_the_others_are_judged_alone(doubts: Doubts) -> None:
    assert denied_all(doubts, 5)[-1] is Verdict.HOST
    doubts.pardon(HOST, 0.0)

    doubts.accepted("healthy", host=HOST)

    said = [denied(doubts, "a0", now, peers=40) for now in (5.0, 8.0, 11.0)]
    assert said == [Verdict.SUSPECT, Verdict.SUSPECT, Verdict.QUARANTINED]


def test_a_desk_takes_over_what_the_last_one_found(doubts: Doubts) -> None:
    doubts.adopt("a", host=HOST, key_version=1, quarantined=True, now=0.0)
    doubts.adopt("b", host=HOST, key_version=1, quarantined=False, now=0.0)

    assert doubts.due(0.0, {}) == ["a", "b"]
    assert denied(doubts, "a", 0.1) is Verdict.QUARANTINED
    assert denied(doubts, "b", 0.1) is Verdict.SUSPECT

    doubts.forget(["a", "b"])
    assert not doubts.holds("a")
    assert doubts.due(99.0, {}) == []
