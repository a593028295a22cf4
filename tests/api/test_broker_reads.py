"""`account` and `positions` are the broker's, with `as_of`; where it is away, the API says so."""

import pytest

from accounts.models import AccountState
from opitios.core import clock
from tests.api import brokerreads
from tests.api.calls import Api, problem, read
from tests.support.accounts import NOWHERE
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def there(db: None, sandbox: SandboxProcess) -> Api:
    """An account at the sandbox that holds 10 AAPL."""
    sandbox.clear_faults()
    api = Api.open(url=sandbox.url)
    body = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
    sandbox.trade(api.account, "POST", "/v2/orders", json=body)
    until(lambda: sandbox.trade(api.account, "GET", "/v2/positions").json())
    return api


def path(api: Api, rest: str) -> str:
    """A path under the account."""
    return f"/api/v1/accounts/{api.account}/{rest}"


def test_the_account_is_alpaca_s_with_ours_beside_it(there: Api) -> None:
    body = read(there.get(path(there, "account")))

    assert body["status"] == "ACTIVE"
    assert isinstance(body["buying_power"], str)
    assert (body["account_id"], body["environment"]) == (there.account, "sandbox")
    assert body["as_of_seq"] == 0
    assert body["as_of"] <= clock.rfc3339(clock.now())


def test_positions_are_a_named_list_and_one_is_found_by_its_symbol(there: Api) -> None:
    body = read(there.get(path(there, "positions")))
    one = read(there.get(path(there, "positions/AAPL")))

    assert set(body) == {"positions", "next_page_token", "as_of", "as_of_seq"}
    [position] = body["positions"]
    assert (position["symbol"], position["qty"]) == ("AAPL", "10")
    assert one["qty"] == "10"
    assert one.keys() == position.keys() | {"as_of", "as_of_seq"}


def test_a_position_nobody_holds_is_404_and_an_odd_symbol_400(there: Api) -> None:
    problem(there.get(path(there, "positions/MSFT")), 404, "not-found")
    for symbol in ("aapl", "ÄÄ", "%00", "..", "A" * 30, "A;DROP"):
        answer = read(there.get(path(there, f"positions/{symbol}")))
        assert answer["status"] in {400, 404}


def test_reads_of_one_second_are_one_call(sandbox: SandboxProcess, there: Api) -> None:
    brokerreads.assert_one_call_a_second(sandbox, there, "positions", "positions/AAPL")


@pytest.mark.parametrize("fault", ["500", "html_502", "429", "reset"])
def test_a_broker_in_trouble_is_a_503_that_says_when_to_ask_again(
    sandbox: SandboxProcess, there: Api, fault: str
) -> None:
    sandbox.fault(fault, account=there.account, times=0)

    response = there.get(path(there, "positions"))

    body = problem(response, 503, "broker-unavailable")
    assert int(response["Retry-After"]) >= 1
    assert body["retry_after_ms"] == 1000
    assert body["account_id"] == there.account
    assert "html" not in body["detail"].lower()


def test_a_dead_key_is_told_as_such(sandbox: SandboxProcess, there: Api) -> None:
    sandbox.fault("401", account=there.account, times=0)

    body = problem(there.get(path(there, "positions")), 503, "account-quarantined")

    assert there.account in body["account_id"]


def test_the_desk_s_last_picture_of_an_account_stands_in_with_its_age(db: None) -> None:
    api = Api.open(url=NOWHERE)
    problem(api.get(path(api, "account")), 503, "broker-unavailable")
    at = clock.now()
    AccountState.objects.filter(account_id=api.account).update(
        broker_account={"equity": "5", "status": "ACTIVE"}, checked_at=at
    )

    body = read(api.get(path(api, "account")))

    assert (body["equity"], body["as_of"]) == ("5", clock.rfc3339(at))
