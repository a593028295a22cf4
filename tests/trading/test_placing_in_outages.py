"""Postgres or Redis goes away while an order comes in: no order is lost, doubled or lied about."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg.rows import TupleRow

from opitios.core import bus, clock, database, jsontext
from opitios.core.errors import Problem, Reason
from tests.api.calls import new_key
from tests.support.crowd import Stopwatch, patient
from tests.support.orders import kinds, place, row_of
from tests.support.proxy import Proxy
from tests.support.until import until
from tests.trading.crowds import come_again, waited_for_a_lock
from tests.trading.outages import proxied_bus, proxied_postgres
from trading import orders, queries
from trading.orders import Accepted

pytestmark = pytest.mark.django_db


@pytest.fixture
def postgres() -> Iterator[Proxy]:
    with proxied_postgres() as proxy:
        yield proxy


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxied_bus() as (made, proxy):
        monkeypatch.setattr(orders, "get_bus", lambda: made)
        yield proxy


def warm(account_id: str) -> None:
    """Place an order before the outage: a pool that is new may wait too long for its first."""
    come_again(lambda: place(account_id, "warm"))


def orders_of(account_id: str) -> int:
    """How many orders the account has."""
    return len(queries.orders_where("account_id = %s", (account_id,)))


@pytest.mark.parametrize("key", ["k", None])
def test_c03_an_answer_lost_after_the_commit_is_one_order_and_a_true_answer(
    account: str, postgres: Proxy, key: str | None
) -> None:
    warm(account)
    postgres.swallow_the_answer_to(b"order.queued")

    accepted = place(account, key, client_order_id="c" if key is None else None)

    assert postgres.swallowed == 1
    # Stored by this very request: no replay of another one.
    assert not accepted.replayed
    assert row_of(accepted)["seq"] == accepted.body["seq"] == 2
    assert kinds(account) == ["order.queued", "order.queued"]
    again = place(account, key, client_order_id="c" if key is None else None)
    assert jsontext.dumps(again.body) == jsontext.dumps(accepted.body)


def test_c03_without_any_key_the_lost_answer_is_found_by_our_own_id(
    account: str, postgres: Proxy
) -> None:
    warm(account)
    postgres.swallow_the_answer_to(b"order.queued")

    accepted = place(account)

    assert postgres.swallowed == 1
    assert row_of(accepted)["client_order_id"] == f"op1-{accepted.order_id.hex}"
    assert orders_of(account) == 2


@pytest.mark.races
def test_a_backend_killed_under_the_statement_is_survived(
    account: str,
    owner_connection: psycopg.Connection[TupleRow],
    application_connection: psycopg.Connection[TupleRow],
) -> None:
    with ThreadPoolExecutor(1) as thread:
        with owner_connection.transaction():
            owner_connection.execute(
                "SELECT 1 FROM accounts_journalhead WHERE account_id = %s FOR UPDATE", [account]
            )
            placing = thread.submit(placed_on_a_thread, account)
            until(lambda: killed(application_connection))
        accepted = placing.result(patient(5))

    assert not accepted.replayed
    assert kinds(account) == ["order.queued"]


def placed_on_a_thread(account_id: str) -> Accepted:
    """Place an order and give this thread's connection back; a lock may be held for long."""
    while True:
        try:
            return place(account_id, "k")
        except Problem as problem:
            if not waited_for_a_lock(problem.__cause__):
                raise
        finally:
            database.release()


def killed(connection: psycopg.Connection[TupleRow]) -> bool:
    """Kill the backend that waits for the journal's head, if one does."""
    found = connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database() AND query LIKE '%order_accept%'"
    )
    return found.fetchone() is not None


def test_postgres_gone_is_told_within_a_second_and_nothing_is_stored(
    account: str, postgres: Proxy
) -> None:
    warm(account)
    postgres.vanish()

    with Stopwatch() as took, pytest.raises(Problem) as caught:
        place(account, "k")

    assert took.is_within(1), took
    assert caught.value.status == 503
    assert caught.value.reason.value.retry == "same_key"
    postgres.come_back()
    until(lambda: answers_again(account), seconds=1.5)
    assert orders_of(account) == 1


def test_postgres_is_found_again_at_once_however_long_it_was_away(
    account: str, postgres: Proxy
) -> None:
    warm(account)
    postgres.vanish()
    away = clock.monotonic() + 1.2
    while clock.monotonic() < away:
        assert not answers_again(account)

    postgres.come_back()

    # An exponential back-off of the connections would double the outage.
    until(lambda: answers_again(account), seconds=1.5)


def answers_again(account_id: str) -> bool:
    """Whether a read of orders is answered."""
    try:
        return orders_of(account_id) > 0
    except OperationalError:
        database.release()
        return False


def test_where_nobody_can_know_the_caller_is_told_so(account: str, postgres: Proxy) -> None:
    warm(account)
    postgres.swallow_the_answer_to(b"order.queued", and_vanish=True)

    with Stopwatch() as took, pytest.raises(Problem) as caught:
        place(account, "k")

    assert took.is_within(1), took
    assert caught.value.reason is Reason.OUTCOME_UNKNOWN
    postgres.come_back()
    until(lambda: answers_again(account))
    assert place(account, "k").replayed
    assert orders_of(account) == 2


def test_a_read_only_server_is_a_503_and_stores_nothing(account: str) -> None:
    database.rows("SET default_transaction_read_only = on")
    try:
        with pytest.raises(Problem) as caught:
            place(account, "k")
    finally:
        # The connection was given back as it is: this takes it away from the other tests.
        connection.close_pool()  # type: ignore[attr-defined] # of the Postgres backend

    assert caught.value.reason is Reason.UNAVAILABLE
    assert orders_of(account) == 0


@pytest.mark.parametrize("how", ["vanish", "hold"])
def test_redis_gone_or_silent_costs_no_order_and_at_most_half_a_second(
    account: str, redis: Proxy, how: str
) -> None:
    place(account, "before")
    getattr(redis, how)()

    with Stopwatch() as took:
        accepted = place(account, "k")

    assert took.is_within(0.5), took
    assert row_of(accepted)["status"] == "queued"
    # A hint may go into a connection that is silent: one of the next notices.
    made = getattr(orders, "get_bus")()  # noqa: B009 - patched, and not for export
    until(lambda: row_of(place(account, new_key())) and not made.is_up)
    # While it is known to be away nobody waits for it at all; Postgres alone may take its time.
    until(lambda: places_within(account, 0.05))
    assert set(kinds(account)) == {"order.queued"}


def places_within(account_id: str, seconds: float) -> bool:
    """Whether a new order took so long at most."""
    with Stopwatch() as took:
        place(account_id, new_key())
    return took.is_within(seconds)


def test_the_bus_tries_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "OPEN_SECONDS", 0.0)
    with proxied_bus() as (made, proxy):
        proxy.vanish()
        assert not made.publish((bus.Topic.WAKE, {"account_id": "a", "order_id": "o"}))
        proxy.come_back()

        # Redis may be slower than 200 ms to a new connection where all else is slow.
        until(lambda: made.publish((bus.Topic.WAKE, {"account_id": "a", "order_id": "o"})))
