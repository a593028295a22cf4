"""A read of an account in quarantine says so, and the broker is not asked (api.md §2)."""

from collections.abc import Iterator

import pytest

from accounts import reads
from accounts.pool import PooledAccount, get_pool
from opitios.broker.errors import NotSent
from opitios.core.errors import Problem, Reason
from tests.broker.loopback import LoopbackBroker, answering, http
from tests.support.accounts import open_account
from tests.trading.knowing import knowing_nothing
from tests.trading.sending import pooled
from trading import watch

pytestmark = pytest.mark.django_db

ACCOUNT = http(200, {"status": "ACTIVE", "equity": "10.5"})


@pytest.fixture
def broker() -> Iterator[LoopbackBroker]:
    """A broker that answers the first call well."""
    made = LoopbackBroker([answering(ACCOUNT)])
    with knowing_nothing():
        yield made
    made.close()


@pytest.fixture
def account(db: None, broker: LoopbackBroker) -> Iterator[PooledAccount]:
    """An account that was checked once and whose key is dead since."""
    found, transport = pooled(open_account(url=broker.origin))
    watch.check_account(found)
    watch.set_state(found.account_id, "quarantined", "dead", None)
    get_pool().refresh_standings()
    yield found
    transport.close()


def test_the_account_is_shown_as_it_was_last_seen(
    account: PooledAccount, broker: LoopbackBroker
) -> None:
    body, as_of = reads.account(account)

    assert body == {"status": "ACTIVE", "equity": "10.5"}
    assert as_of.endswith("Z")
    assert len(broker.requests) == 1


def test_positions_are_refused(account: PooledAccount, broker: LoopbackBroker) -> None:
    with pytest.raises(Problem) as caught:
        reads.positions(account)

    assert (caught.value.reason, caught.value.status) == (Reason.ACCOUNT_QUARANTINED, 503)
    assert caught.value.account_id == account.account_id
    assert len(broker.requests) == 1


@pytest.mark.parametrize(
    ("error", "reason", "status"),
    [
        (
            NotSent(message="x", reason="no-budget", retry_after_seconds=7.0),
            Reason.TOO_MANY_REQUESTS,
            429,
        ),
        (
            NotSent(message="x", reason="breaker-open", retry_after_seconds=7.0),
            Reason.BROKER_UNAVAILABLE,
            503,
        ),
    ],
)
def test_a_call_held_back_says_when_to_come_back(
    account: PooledAccount, error: NotSent, reason: Reason, status: int
) -> None:
    problem = reads.unreadable(account, error)

    assert (problem.reason, problem.status, problem.retry_after_seconds) == (reason, status, 7.0)
