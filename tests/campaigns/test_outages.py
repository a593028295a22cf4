"""What counts as an outage: a time in which nothing of an account could be sent."""

import os
from datetime import timedelta

import pytest

from accounts.models import AccountState, Lease
from opitios.core import clock
from tests.campaigns.outages import LEASE_SECONDS, Holders, Outage, OutageWatch
from tests.support.accounts import open_accounts

ONE = {"a": "desk-1", "b": "desk-1"}
BOTH = {"a": "desk-1", "b": "desk-2"}
NOBODY: Holders = {}


def seen(*looks: Holders) -> list[Outage]:
    """What a watch of two accounts makes of looks that are a second apart, from 100 on."""
    watch = OutageWatch("", 0, ["a", "b"])
    for number, holders in enumerate(looks):
        watch.note(100.0 + number, holders)
    return watch.outages


def test_while_the_accounts_are_held_there_is_none() -> None:
    assert seen(ONE, ONE, ONE) == []


def test_an_account_that_one_living_desk_gives_another_is_always_held() -> None:
    assert seen(ONE, BOTH, BOTH) == []


def test_it_lasts_from_the_first_look_in_vain_to_the_next_success() -> None:
    assert seen(ONE, NOBODY, NOBODY, ONE) == [Outage("a", 101.0, 103.0), Outage("b", 101.0, 103.0)]


def test_what_is_held_has_none_while_its_neighbour_has() -> None:
    assert seen(ONE, {"a": "desk-1"}, BOTH) == [Outage("b", 101.0, 102.0)]


def test_a_desk_that_is_gone_was_gone_before_its_leases_were() -> None:
    assert seen(BOTH, ONE) == [Outage("b", 101.0 - LEASE_SECONDS, 101.0)]


@pytest.mark.django_db
def test_an_account_whose_desk_has_shut_the_way_to_the_broker_is_held_by_nobody() -> None:
    for account_id, breaker in zip(open_accounts(3), ("closed", "half-open", "open"), strict=True):
        runs_out = clock.now() + timedelta(hours=1)
        Lease.objects.create(account_id=account_id, owner=f"{breaker}-1", expires_at=runs_out)
        told = {"breaker": breaker}
        AccountState.objects.update_or_create(account_id=account_id, defaults=told)
    watch = OutageWatch(os.environ["DATABASE_URL"], 0, [])

    try:
        owners = set(watch._leases().values())
    finally:
        watch._hang_up()
        Lease.objects.filter(owner__in=("closed-1", "half-open-1", "open-1")).delete()

    assert owners & {"closed-1", "half-open-1", "open-1"} == {"closed-1", "half-open-1"}


def test_one_meets_a_time_if_they_share_a_moment() -> None:
    outage = Outage("a", 10.0, 20.0)

    assert outage.meets(5.0, 10.0)
    assert outage.meets(12.0, 13.0)
    assert outage.meets(20.0, 30.0)
    assert not outage.meets(0.0, 9.9)
    assert not outage.meets(20.1, 30.0)
