"""Every read of an account and of the fleet through real processes: granian, a desk, the broker."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from accounts import presence
from accounts.models import ProcessRow
from opitios.core import clock
from tests.api import processes
from tests.api.calls import GOOD
from tests.support.accounts import open_accounts, token
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import all_listen, only

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

READS = ("account/configurations", "portfolio/history", "activities", "account", "positions")


class Reader:
    """A program with a token for one account and every right to look."""

    def __init__(self, origin: str, broker: str, account: str, *permissions: str) -> None:
        self.account = account
        self.broker = broker
        self.api = f"{origin}/api/v1"
        self.session = requests.Session()
        mine = token([account], permissions=permissions)
        self.session.headers["Authorization"] = f"Bearer {mine}"

    def ask(self, path: str) -> requests.Response:
        return self.session.get(f"{self.api}/{path}", timeout=60)

    def read(self, path: str) -> Any:
        answer = self.ask(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def of_mine(self, rest: str) -> Any:
        return self.read(f"accounts/{self.account}/{rest}")


@pytest.fixture
def journey(
    _django_db_helper: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Reader, str, ExitStack]]:
    """A reader of an account with one filled order, somebody else's account, and the desk."""
    folder: Path = tmp_path_factory.mktemp("reading")
    with SandboxProcess(folder / "sandbox") as sandbox, ExitStack() as desk:
        mine, theirs = open_accounts(2, url=sandbox.url)
        with only(mine, theirs), processes.web(folder) as origin:
            desk.enter_context(processes.desk(folder))
            until(lambda: all_listen(mine), seconds=60)
            one = Reader(origin, sandbox.url, mine, "account_read", "trade", "monitor")
            trade(one)
            yield one, theirs, desk
            one.session.close()


def trade(me: Reader) -> None:
    """Buy 10 AAPL, and wait until they are there."""
    order = GOOD | {"type": "market", "limit_price": None}
    placed = me.session.post(
        f"{me.api}/accounts/{me.account}/orders/stocks",
        json=order,
        headers={"Prefer": "wait=10"},
        timeout=60,
    )
    placed.raise_for_status()
    until(lambda: me.of_mine("fills")["fills"], seconds=30)


def test_what_happened_is_read_everywhere_and_the_pool_tells_who_did_it(
    journey: tuple[Reader, str, ExitStack],
) -> None:
    me, theirs, desk = journey

    assert_it_is_read_everywhere(me)
    assert_others_are_not_there(me, theirs)
    assert_the_pool_tells_what_two_processes_do(me)
    desk.close()
    assert_the_desk_that_ended_leaves_the_pool(me)


def assert_it_is_read_everywhere(me: Reader) -> None:
    told = me.read("token")
    assert (told["accounts"], told["environments"]) == ([me.account], ["sandbox"])
    assert told["permissions"] == ["account_read", "monitor", "trade"]

    [account] = until(lambda: checked(me), seconds=60)
    assert (account["account_id"], account["state"], account["halt"]) == (me.account, "ready", None)
    assert float(account["equity"]) > 9_000_000

    fill = me.of_mine("activities?activity_types=FILL")["activities"][0]
    [ours] = me.of_mine("fills")["fills"]
    assert fill["id"].endswith(ours["execution_id"])
    assert (fill["symbol"], fill["qty"], fill["order_status"]) == ("AAPL", "10", "filled")
    order = me.of_mine(f"orders/{fill['order_id']}")
    assert order["broker_order_id"] == fill["order_id"]

    history = me.of_mine("portfolio/history?period=1D")
    assert history["base_value"] == 10_000_000.0
    assert abs(history["equity"][-1] - float(account["equity"])) < 1_000
    assert me.of_mine("account/configurations")["suspend_trade"] is False
    assert me.ask(f"accounts/{me.account}/portfolio/history?period=1Y").status_code == 422


def assert_others_are_not_there(me: Reader, theirs: str) -> None:
    foreign = [me.ask(f"accounts/{theirs}/{rest}") for rest in READS]
    unknown = [me.ask(f"accounts/nobody/{rest}") for rest in READS]
    assert {answer.status_code for answer in (*foreign, *unknown)} == {404}
    assert len({told_apart(answer) for answer in (*foreign, *unknown)}) == 1


def assert_the_pool_tells_what_two_processes_do(me: Reader) -> None:
    view = until(lambda: settled(me), seconds=60)

    shown = {process["name"]: process for process in view["processes"]}
    desk = shown["desk-journey"]
    assert (desk["role"], desk["leases"], desk["streams"]) == ("desk", 2, 2)
    assert any(each["role"] == "web" and each["warm"] >= 2 for each in shown.values())
    assert view["summary"]["accounts"] == 1
    counted = (each.get(word, 0) for each in shown.values() for word in ("connections", "streams"))
    assert view["summary"]["connections"]["open"] == sum(counted) > 2
    [account] = view["accounts"]
    assert account["account_id"] == me.account
    assert account["stream"]["state"] == "listening"
    assert account["stream"]["owner"] == "desk-journey"
    assert account["stream"]["last_message_at"] <= view["as_of"]
    assert account["connections"]["open"] >= 1
    assert account["check_ms"] > 0
    assert account["budget"]["trading"]["limit"] == 200
    assert (account["key"]["version"], account["key"]["age_days"]) == (1, 0)
    [upstream] = [each for each in view["upstreams"] if me.broker.endswith(each["host"])]
    assert upstream["breaker"] == "closed"
    assert upstream["p50_ms"] > 0


def assert_the_desk_that_ended_leaves_the_pool(me: Reader) -> None:
    # As if it had been silent for so long: nobody writes the row any more.
    silent_since = clock.now() - presence.GONE_AFTER - timedelta(seconds=1)
    ProcessRow.objects.filter(name="desk-journey").update(seen_at=silent_since)

    assert "desk-journey" not in names(me)
    [account] = me.read("pool")["accounts"]
    assert (account["stream"]["owner"], account["orders"]) == (None, None)
    assert account["stream"]["state"] == "closed"


def checked(me: Reader) -> list[dict[str, Any]]:
    """The token's accounts, once the desk has looked at them."""
    accounts: list[dict[str, Any]] = me.read("accounts")["accounts"]
    return [account for account in accounts if account["as_of"] and account["state"] == "ready"]


def settled(me: Reader) -> Any:
    """The pool, once both processes have written what they did."""
    view = me.read("pool")
    roles = {process["role"] for process in view["processes"] if process.get("warm")}
    [account] = view["accounts"]
    stream = account["stream"]
    # A desk that was held up for a moment owns nothing then.
    heard = stream["last_message_at"] and account["checked_at"] and stream["owner"]
    busy = [each for each in view["processes"]
            if each.get("streams") == each.get("leases") == 2]  # fmt: skip
    calm = account["orders"] == {"open": 0, "unknown": 0}
    return view if {"web", "desk"} <= roles and heard and busy and calm else None


def names(me: Reader) -> set[str]:
    """The processes that are shown."""
    return {process["name"] for process in me.read("pool")["processes"]}


def told_apart(answer: requests.Response) -> str:
    """A refusal without what must differ: the account's name and the request's id."""
    body = answer.json()
    assert {body.pop("account_id"), body.pop("request_id")}
    return repr(sorted(body.items()))
