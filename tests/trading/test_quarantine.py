"""A dead key harms its own account alone, and a host that refuses all of them nobody (C27)."""

from collections.abc import Iterator

import pytest

from accounts.models import AccountState
from opitios.core.config import get_config
from opitios.core.errors import Reason
from tests.support.accounts import open_accounts
from tests.support.orders import entries, kinds, place, row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import running_desk
from tests.trading.knowing import knowing_nothing, refusal, wait_for_state

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forgotten(sandbox: SandboxProcess) -> Iterator[None]:
    with knowing_nothing():
        yield
    sandbox.clear_faults()


def revoke(sandbox: SandboxProcess, *accounts: str) -> None:
    """Let the broker refuse these accounts' keys until the faults are lifted."""
    for account_id in accounts:
        sandbox.fault("401", account=account_id, times=0)


def states(accounts: list[str]) -> set[str]:
    """The states the accounts are in."""
    found = AccountState.objects.filter(account_id__in=accounts)
    return set(found.values_list("state", flat=True))


def test_c27_a_key_revoked_in_mid_flight_quarantines_its_account_alone(
    db: None, sandbox: SandboxProcess
) -> None:
    dead, healthy = open_accounts(2, url=sandbox.url)
    with running_desk(dead, healthy) as desk:
        wait_for_state(dead, "ready")
        revoke(sandbox, dead)

        row = desk.wait_for(place(dead), "rejected")
        quarantined = wait_for_state(dead, "quarantined")

        assert row["refusal"]["http_status"] == 401
        assert quarantined.state_reason is not None
        assert refusal(dead) is Reason.ACCOUNT_QUARANTINED
        desk.wait_for(place(healthy), "filled")
        assert kinds(dead)[-1] == "account.quarantined"
        assert "account.quarantined" not in kinds(healthy)

        sandbox.clear_faults()
        wait_for_state(dead, "ready")
        desk.wait_for(place(dead), "filled")

    told = [entry for entry in entries(dead) if entry["kind"].startswith("account.")]
    assert [entry["kind"] for entry in told] == ["account.quarantined", "account.released"]
    assert all(entry["actor"]["name"].startswith("desk@") for entry in told)
    assert (told[0]["before"], told[0]["after"]) == (
        {"state": "suspect"}, {"state": "quarantined"},
    )  # fmt: skip


def test_orders_of_an_account_in_doubt_wait_and_go_when_it_is_released(
    db: None, sandbox: SandboxProcess
) -> None:
    [account_id] = open_accounts(1, url=sandbox.url)
    with running_desk(account_id) as desk:
        wait_for_state(account_id, "ready")
        sandbox.fault("401", account=account_id, route="POST /v2/orders")
        # It stays in doubt for as long as its checks learn nothing.
        sandbox.fault("500", account=account_id, route="GET /v2/account", times=0)
        desk.wait_for(place(account_id), "rejected")
        wait_for_state(account_id, "suspect")

        waiting = place(account_id)
        sandbox.clear_faults()

        row = desk.wait_for(waiting, "filled")

    assert row["attempts"] == 1
    assert kinds(account_id).count("account.quarantined") == 0


def test_a_host_that_refuses_many_keys_is_left_alone_and_nobody_is_quarantined(
    db: None, sandbox: SandboxProcess
) -> None:
    accounts = open_accounts(7, url=sandbox.url)
    # Nobody is checked thrice before five are refused, however crowded it is.
    timers = get_config().timers.model_copy(update={"suspect_check": 3.0, "denied_window": 60.0})
    config = get_config().model_copy(update={"timers": timers})
    with running_desk(*accounts, config=config) as desk:
        until(lambda: states(accounts) == {"ready"}, seconds=10)
        revoke(sandbox, *accounts)
        for account_id in accounts[:6]:
            place(account_id)
        line = desk.desk._owned()[0].guard

        until(lambda: line.state() == "open", seconds=10)
        until(lambda: len(states(accounts) & {"suspect"}) == 1)
        sandbox.clear_faults()
        until(lambda: states(accounts) == {"ready"}, seconds=15)
        desk.wait_for(place(accounts[0]), "filled", seconds=15)

    assert [kinds(account_id).count("account.quarantined") for account_id in accounts] == [0] * 7


def test_the_next_desk_keeps_the_quarantine_and_finds_the_key_replaced(
    db: None, sandbox: SandboxProcess
) -> None:
    [account_id] = open_accounts(1, url=sandbox.url)
    with running_desk(account_id) as desk:
        wait_for_state(account_id, "ready")
        revoke(sandbox, account_id)
        desk.wait_for(place(account_id), "rejected")
        wait_for_state(account_id, "quarantined")
    with knowing_nothing():
        waiting = place(account_id)

    with running_desk(account_id) as desk:
        assert desk.desk.keys.holds(account_id)
        assert row_of(waiting)["status"] == "queued"
        sandbox.clear_faults()
        desk.wait_for(waiting, "filled")
        # A desk whose lease ran out as it stood still says so with its next check.
        wait_for_state(account_id, "ready")

    assert kinds(account_id).count("account.quarantined") == 1
    assert kinds(account_id).count("account.released") == 1
