"""What an account's owner sees of it is stored for every other process (design.md §5)."""

from typing import Any

import pytest

from accounts.models import AccountState
from tests.broker.loopback import LoopbackBroker, answering, http
from tests.support.accounts import NOWHERE, open_account
from tests.support.orders import kinds
from tests.support.sandbox_process import SandboxProcess
from tests.trading.sending import Step, pooled
from trading import watch

pytestmark = pytest.mark.django_db


def state(account_id: str) -> AccountState:
    """The account's state row as it is now."""
    return AccountState.objects.get(account_id=account_id)


def test_a_good_check_is_ready_with_balances_and_budget(
    sandbox: SandboxProcess, step: Step
) -> None:
    account_id = step.account.account_id

    assert watch.check_account(step.account) == "ready"

    seen = state(account_id)
    told: Any = seen.broker_account
    budget: Any = seen.budget
    assert (seen.state, seen.state_reason) == ("ready", None)
    assert told["buying_power"] == sandbox.trade(account_id, "GET", "/v2/account").json()[
        "buying_power"
    ]  # fmt: skip
    assert budget["limit"] == 200
    assert seen.checked_at is not None
    assert seen.check_ms is not None


def test_a_refused_key_is_suspect_and_the_next_good_check_ends_it(
    sandbox: SandboxProcess, step: Step
) -> None:
    watch.check_account(step.account)
    since = state(step.account.account_id).state_since
    sandbox.fault("401", account=step.account.account_id)

    assert watch.check_account(step.account) == "suspect"
    suspect = state(step.account.account_id)
    assert watch.check_account(step.account) == "ready"

    assert (suspect.state, suspect.broker_account is None) == ("suspect", False)
    assert suspect.state_since > since
    assert state(step.account.account_id).state_reason is None


@pytest.mark.parametrize("fault", ["500", "html_502", "reset", "429"])
def test_a_broker_in_trouble_says_nothing_about_the_key(
    sandbox: SandboxProcess, step: Step, fault: str
) -> None:
    watch.check_account(step.account)
    before = state(step.account.account_id)
    sandbox.fault(fault, account=step.account.account_id)

    watch.check_account(step.account)

    after = state(step.account.account_id)
    assert (after.state, after.checked_at) == ("ready", before.checked_at)


def test_numbers_with_a_fraction_are_kept(db: None) -> None:
    body = b'{"status":"ACTIVE","equity":"10.5","ratio":0.25,"deep":[{"x":1.5}]}'
    broker = LoopbackBroker([answering(http(200, body))])
    account, transport = pooled(open_account(url=broker.origin))

    assert watch.check_account(account) == "ready"

    assert state(account.account_id).broker_account == {
        "status": "ACTIVE", "equity": "10.5", "ratio": "0.25", "deep": [{"x": "1.5"}],
    }  # fmt: skip
    transport.close()
    broker.close()


def test_an_account_whose_broker_is_away_stays_as_it_was(db: None) -> None:
    account, transport = pooled(open_account(url=NOWHERE))

    watch.check_account(account)

    assert state(account.account_id).state == "warming"
    transport.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"\xff\xfe", b'{"stream":"trade_updates","data":{}}',
        b'{"stream":"trade_updates","data":{"event":"fill"}}',
        b'{"stream":"trade_updates","data":{"event":"fill","order":7}}', b'{"stream":"listening"}',
    ],
)  # fmt: skip
def test_an_odd_stream_message_writes_nothing_and_raises_nothing(step: Step, raw: bytes) -> None:
    watch.handle_message(step.account, raw)

    assert kinds(step.account.account_id) == []
