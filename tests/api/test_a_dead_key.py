"""A key that is revoked, as a client sees it: refused at once, and trading when it works again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from accounts.models import AccountState
from tests.api import processes
from tests.api.calls import new_key
from tests.api.test_the_journey import Caller
from tests.support.accounts import open_account, token
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import all_listen, only

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]


@pytest.fixture
def trader(
    _django_db_helper: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Caller, SandboxProcess, str]]:
    """A trader's program, web and desk, and the broker they trade with."""
    folder: Path = tmp_path_factory.mktemp("dead-key")
    with SandboxProcess(folder / "sandbox") as sandbox:
        account_id = open_account(url=sandbox.url)
        with only(account_id), processes.web(folder) as origin, processes.desk(folder):
            until(lambda: all_listen(account_id), seconds=60)
            one = Caller(origin, account_id)
            yield one, sandbox, account_id
            one.session.close()


def test_c27_a_dead_key_is_told_in_every_answer_that_needs_it(
    trader: tuple[Caller, SandboxProcess, str],
) -> None:
    me, sandbox, account_id = trader
    resting = me.place(new_key(), limit_price="1", headers={"Prefer": "wait=10"}).json()
    kept = new_key()
    first = me.place(kept, limit_price="1")
    # What is shown of the account later is what its desk saw while it could.
    until(lambda: AccountState.objects.filter(pk=account_id, checked_at__isnull=False).exists())
    sandbox.fault("401", account=account_id, times=0)

    [refused] = until(lambda: answers_of(me, 503), seconds=20)

    body = refused.json()
    assert (refused.status_code, body["reason"]) == (503, "account-quarantined")
    assert (body["origin"], body["order_id"], body["retry"]) == ("gateway", None, "same_key")
    assert int(refused.headers["Retry-After"]) >= 1
    replayed = me.place(kept, limit_price="1")
    assert (replayed.status_code, replayed.content) == (202, first.content)
    root = me.orders.rpartition("/")[0]
    answers = {
        name: me.session.request(method, url, timeout=60)
        for name, method, url in (
            ("cancel", "DELETE", f"{me.orders}/{resting['id']}"),
            ("positions", "GET", f"{root}/positions"),
            ("account", "GET", f"{root}/account"),
        )
    }
    assert {n: a.status_code for n, a in answers.items()} == {
        "cancel": 503, "positions": 503, "account": 200,
    }  # fmt: skip
    assert answers["account"].json()["as_of"]
    # A breaker is told by who owns the account: a desk that was held up owns it again at once.
    shown = until(lambda: owned(me.origin, account_id))
    assert (shown["state"], shown["breaker"]) == ("quarantined", "closed")

    sandbox.clear_faults()
    assert until(lambda: answers_of(me, 202), seconds=30)


def answers_of(me: Caller, status: int) -> list[requests.Response]:
    """The answer to an order, once it has this status."""
    answer = me.place(new_key(), limit_price="1")
    return [answer] if answer.status_code == status else []


def owned(origin: str, account_id: str) -> Any:
    """What `GET pool` shows of the account, once a desk owns it."""
    bearer = {"Authorization": f"Bearer {token([account_id], permissions=('monitor',))}"}
    answer = requests.get(f"{origin}/api/v1/pool", headers=bearer, timeout=60)
    [shown] = answer.json()["accounts"]
    return shown if shown["stream"]["owner"] else None
