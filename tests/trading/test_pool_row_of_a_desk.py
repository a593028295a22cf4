"""`GET pool` shows what a desk sees of its accounts and of the broker's addresses (api.md §7)."""

from typing import Any

import pytest

from accounts import poolview
from opitios.core import clock
from opitios.core.config import get_config
from tests.support.accounts import open_accounts
from tests.support.orders import place
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import running_desk
from tests.trading.knowing import wait_for_pressure, wait_for_state
from trading.desk import MOST_WAITING

pytestmark = pytest.mark.django_db


def shown(account_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The account and the whole view, as a token of this account sees them."""
    view = poolview.merged(frozenset({account_id}), clock.now())
    return view["accounts"][0], view


def busy(pool: Any, account_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The same, once the desk has calls of the account under way and has written so."""
    pool.write_row()
    account, view = shown(account_id)
    return (account, view) if account["in_flight"] else None


def test_the_row_shows_breaker_budget_and_calls_under_way(
    db: None, sandbox: SandboxProcess
) -> None:
    [account_id] = open_accounts(1, url=sandbox.url)
    config = get_config().model_copy(update={"role": "desk", "process": "desk-row"})
    with running_desk(account_id, config=config) as desk:
        wait_for_state(account_id, "ready")
        desk.wait_for(place(account_id), "filled")
        pool: Any = desk.desk._pool
        sandbox.fault("hang", account=account_id, route="POST /v2/orders", times=0)
        # Four may be under way at once: the fifth waits.
        for symbol in ("AAPL", "MSFT", "TSLA", "NVDA", "SPY"):
            place(account_id, symbol=symbol)
        until(lambda: desk.desk.books.depth() == 1)
        found = until(lambda: busy(pool, account_id))
        assert found is not None
        account, view = found
        sandbox.clear_faults()

    assert (account["state"], account["breaker"]) == ("ready", "closed")
    assert account["in_flight"] >= 1
    budget = account["budget"]["trading"]
    assert budget["limit"] == 200
    assert 0 < budget["remaining"] < 200
    assert budget["reserve"] == 20
    [upstream] = [each for each in view["upstreams"] if sandbox.url.endswith(each["host"])]
    assert (upstream["environment"], upstream["breaker"]) == ("sandbox", "closed")
    assert upstream["p50_ms"] <= upstream["p99_ms"]
    assert upstream["last_success_at"] < clock.rfc3339(clock.now())
    shown_process = next(each for each in view["processes"] if each["name"] == "desk-row")
    assert not {"accounts", "upstreams"} & shown_process.keys()
    assert shown_process["senders"]["busy"] >= 1
    queue = shown_process["queue"]
    assert (queue["depth"], queue["max"]) == (1, MOST_WAITING)
    assert queue["oldest_ms"] >= 0


def test_an_account_nobody_owns_shows_no_breaker(db: None, sandbox: SandboxProcess) -> None:
    [account_id] = open_accounts(1, url=sandbox.url)

    account, _ = shown(account_id)

    assert (account["breaker"], account["in_flight"], account["state"]) == (None, 0, "warming")


def test_an_open_breaker_is_shown_at_once(db: None, sandbox: SandboxProcess) -> None:
    [account_id] = open_accounts(1, url=sandbox.url)
    with running_desk(account_id) as desk:
        sandbox.fault("504", account=account_id, times=0)
        for symbol in ("AAPL", "MSFT", "TSLA", "NVDA"):
            place(account_id, symbol=symbol)

        wait_for_pressure(account_id, breaker="open")

        # Between its tries it is half-open for a moment.
        until(lambda: shown(account_id)[0]["breaker"] == "open")
        sandbox.clear_faults()
        until(lambda: not desk.desk.books.flying())
