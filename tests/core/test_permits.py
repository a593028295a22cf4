"""Permits are counted once for all processes while Redis answers, and by each while it does not.

Several `Permits` on one Redis are what several processes are; whole processes are tried in
tests/api/test_limits_without_redis.py.
"""

import os
from collections.abc import Sequence
from uuid import uuid4

import pytest
import redis

from opitios.core import clock
from opitios.core.bus import Bus
from opitios.core.permits import Bucket, Limit, Permits, RedisStore, Store
from tests.trading.outages import patient_url

# Slow enough that a test earns nothing while it runs.
MINUTE = Limit("subject", "subject", 12, 3600)


class Gone(Store):
    """A store that can be away."""

    def __init__(self, real: Store) -> None:
        self.real = real
        self.away = False
        self.asked = 0

    def settle(
        self, told: Sequence[object], *, take: bool = False, believe: bool = False
    ) -> tuple[int, list[float]]:
        """Answer, or fail as redis-py does."""
        self.asked += 1
        if self.away:
            raise redis.ConnectionError("away")
        return self.real.settle(told, take=take, believe=believe)  # type: ignore[arg-type]


class Fleet:
    """Processes that share one Redis under a name of their own."""

    def __init__(self, count: int) -> None:
        self.namespace = f"t-{uuid4().hex}"
        # Redis is away where a test says so, not where it is slow.
        real = RedisStore(patient_url(os.environ["REDIS_URL"]), namespace=self.namespace)
        self.stores = [Gone(real) for _ in range(count)]
        self.later = 0.0
        self.permits = [Permits(store, now=self.now) for store in self.stores]
        for each in self.permits:
            each.share_among(count)

    def now(self) -> float:
        """The processes' clock."""
        return clock.monotonic() + self.later

    def take(
        self, number: int, *limits: Limit, divided: bool = False, may_wait: bool = True
    ) -> bool:
        """Ask one process for one permit of each limit."""
        permits = self.permits[number]
        charges = [(permits.bucket(limit, "bot-7"), 1) for limit in limits]
        return permits.take(charges, divided=divided, may_wait=may_wait) is None

    def taken(self, tries: int, *limits: Limit, divided: bool = False) -> int:
        """Ask the processes in turns; how often they said yes."""
        count = len(self.permits)
        return sum(self.take(number % count, *limits, divided=divided) for number in range(tries))

    def bucket(self, number: int) -> Bucket:
        """The bucket of the limit, as one process knows it."""
        return self.permits[number].bucket(MINUTE, "bot-7")

    def flush(self) -> None:
        """Let Redis forget this fleet."""
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            for key in client.scan_iter(f"opitios:{self.namespace}:*"):
                client.delete(key)

    def lose_redis(self) -> None:
        """Let Redis be away for everybody, and everybody know."""
        for store, permits in zip(self.stores, self.permits, strict=True):
            store.away = True
            permits.settle()
            charges = [(permits.bucket(Limit("probe", "global", 1000, 1), "x"), 1)]
            permits.take(charges, divided=False, may_wait=True)
            permits.settle()

    def mend_redis(self) -> None:
        """Let Redis answer again, and five seconds go by."""
        self.later += 6
        for store, permits in zip(self.stores, self.permits, strict=True):
            store.away = False
            permits.settle()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_r23_a_limit_is_one_limit_however_many_processes_there_are(count: int) -> None:
    fleet = Fleet(count)

    taken = fleet.taken(60, MINUTE)

    # What others have not told yet is a quarter at most: docs/limits.md.
    assert 12 <= taken <= 12 * 1.25
    assert fleet.taken(60, MINUTE) == 0


def test_a_request_has_permits_of_all_its_limits_or_of_none() -> None:
    fleet = Fleet(2)
    few = Limit("few", "endpoint", 3, 3600)

    assert fleet.taken(20, few, MINUTE) == 3
    assert fleet.taken(40, MINUTE) in {9, 10, 11}


def test_who_may_not_wait_asks_nobody_and_pays_later_for_what_others_took() -> None:
    fleet = Fleet(2)

    first = sum(fleet.take(number % 2, MINUTE, may_wait=False) for number in range(60))
    asked = [store.asked for store in fleet.stores]
    for permits in fleet.permits:
        permits.settle()

    assert asked == [0, 0]
    assert first == 24
    assert fleet.permits[0].settle() == 0
    fleet.permits[0].know([fleet.bucket(0)])
    # Twelve too many were given: they are earned back before anybody gets another.
    assert fleet.bucket(0).ahead(clock.monotonic()) > MINUTE.span * 1.9


def test_under_load_nearly_nobody_asks_redis() -> None:
    fleet = Fleet(2)
    much = Limit("account", "account", 10_000, 1)
    fleet.taken(2, much)

    fleet.taken(500, much)

    assert sum(store.asked for store in fleet.stores) < 20


def test_what_was_spent_is_known_to_the_others_after_a_settlement() -> None:
    fleet = Fleet(2)
    for _ in range(5):
        fleet.take(0, MINUTE, may_wait=False)

    fleet.permits[0].settle()
    fleet.permits[1].know([fleet.bucket(1)])

    assert fleet.bucket(1).left(clock.monotonic()) == 7


@pytest.mark.parametrize(("divided", "most"), [(False, 36), (True, 12)])
def test_c18_g17_without_redis_orders_have_the_limit_in_each_process_and_reads_a_share(
    divided: bool, most: int
) -> None:
    fleet = Fleet(3)
    fleet.lose_redis()

    assert fleet.taken(200, MINUTE, divided=divided) == most


def test_c20_after_a_failure_nobody_asks_for_five_seconds() -> None:
    fleet = Fleet(2)
    fleet.lose_redis()
    asked = fleet.stores[0].asked

    for _ in range(20):
        fleet.take(0, MINUTE)
        fleet.permits[0].settle()

    assert fleet.stores[0].asked == asked
    assert not fleet.permits[0].is_shared


def test_r24_when_redis_is_back_it_learns_what_was_spent_without_it() -> None:
    fleet = Fleet(2)
    fleet.lose_redis()
    without = fleet.taken(60, MINUTE)

    fleet.mend_redis()

    assert all(permits.is_shared for permits in fleet.permits)
    assert without == 24
    assert fleet.taken(60, MINUTE) == 0


def test_c19_an_emptied_redis_is_told_again_what_was_spent() -> None:
    fleet = Fleet(2)
    fleet.taken(60, MINUTE)

    fleet.flush()

    assert fleet.taken(60, MINUTE) == 0


def test_g17_a_request_that_waited_for_redis_in_vain_does_not_wait_for_it_again() -> None:
    bus = Bus("redis://127.0.0.1:9/0")
    store = Gone(Fleet(1).stores[0])
    store.away = True
    permits = Permits(store, on_lost=bus.rest)
    permits.share_among(2)
    assert bus.is_up

    permits.take([(permits.bucket(MINUTE, "bot-7"), 1)], divided=False, may_wait=True)

    assert not bus.is_up


def test_a_failure_under_a_request_is_decided_from_memory() -> None:
    fleet = Fleet(2)
    fleet.stores[0].away = True

    assert fleet.take(0, MINUTE)
    assert not fleet.permits[0].is_shared


def test_a_limit_that_is_raised_keeps_what_was_used_of_it() -> None:
    fleet = Fleet(1)
    fleet.taken(6, MINUTE)

    more = Limit("subject", "subject", 24, 3600)

    assert fleet.permits[0].bucket(more, "bot-7").left(clock.monotonic()) == 18


def test_a_batch_larger_than_the_limit_waits_for_all_of_it_and_is_paid_back() -> None:
    permits = Fleet(1).permits[0]
    bucket = permits.bucket(MINUTE, "bot-7")

    assert permits.take([(bucket, 30)], divided=False, may_wait=True) is None

    refused = permits.take([(bucket, 1)], divided=False, may_wait=True)
    assert refused is not None
    assert refused.seconds == pytest.approx(19 * MINUTE.interval, rel=0.01)


def test_a_quota_of_nothing_lets_nothing_pass() -> None:
    assert Fleet(2).taken(5, Limit("token", "token", 0, 60)) == 0


def test_full_buckets_are_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("opitios.core.permits.KEPT_BUCKETS", 100)
    permits = Fleet(1).permits[0]
    quick = Limit("quick", "account", 1_000_000, 0.001)
    for number in range(200):
        permits.take([(permits.bucket(quick, str(number)), 1)], divided=False, may_wait=False)
    spent = permits.bucket(MINUTE, "bot-7")
    permits.take([(spent, 1)], divided=False, may_wait=False)

    permits.settle()

    assert len(permits._buckets) < 100
    assert permits.bucket(MINUTE, "bot-7") is spent
