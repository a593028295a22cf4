"""SIGTERM under load: what runs is finished, the rest handed over, retries see no error (C30)."""

import os
import random
from pathlib import Path

import pytest

from accounts.models import Lease
from opitios.core import clock
from tests.campaigns.traffic import Maker, Told, Traffic
from tests.matrix.nodes import Web, desk_node, listens, running
from tests.support.accounts import open_accounts, token
from tests.support.crowd import Stopwatch
from tests.support.orders import kinds, place, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only, running_desk
from tests.trading.test_desk_sends import detail_of, held
from trading import queries
from trading.desk import DRAIN_SECONDS

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

# Of one load; a number in the environment for a longer one (make matrix).
ORDERS = int(os.environ.get("OPITIOS_MATRIX_ORDERS", "40"))


def statuses(account_id: str) -> list[str]:
    """The states of the account's orders."""
    return [row["status"] for row in queries.orders_where("account_id = %s", (account_id,))]


def test_c30_a_web_server_asked_to_end_under_load_costs_no_client_its_answer(
    db: None, tmp_path: Path
) -> None:
    account_ids = open_accounts(2)
    web = Web(tmp_path)
    maker = Maker(account_ids, random.Random(30), "c30")  # noqa: S311 - repeatable on purpose
    orders, told = maker.make(ORDERS), Told()
    for order in orders:
        # There is no desk: a wish to cancel would end what was only stored. And no deadline of a
        # client's own: a crowded machine starts a server slowly.
        order.cancels = False
        order.body.pop("not_after", None)
    traffic = Traffic(f"127.0.0.1:{web.port}", token(account_ids), orders, told)
    with running(web):
        web.wait_until_ready()
        traffic.start()
        until(lambda: traffic.answered >= ORDERS // 4, seconds=30)

        web.ask_to_end()

        with Stopwatch() as took:
            assert web.ended() == 0
        assert took.is_within(DRAIN_SECONDS), took
        following = Web(tmp_path, web.port)
        with running(following):
            until(lambda: traffic.is_done, seconds=60 + ORDERS)

    assert [order for order in orders if order.refused or len(set(order.answers)) != 1] == []
    # Nobody was told of an error: they met a closed door, and came again with their key.
    assert set(told.statuses) == {"202"}
    assert sum(len(statuses(account_id)) for account_id in account_ids) == len(orders)
    assert sum(len(kinds(account_id)) for account_id in account_ids) == len(orders)


def test_c30_a_desk_asked_to_end_under_load_finishes_what_it_sends_and_hands_over_the_rest(
    sandbox: SandboxProcess, trading_account: str, tmp_path: Path
) -> None:
    sandbox.fault("delay", account=trading_account, route="POST /v2/orders", ms=1000, times=0)
    desk = desk_node(tmp_path)
    with only(trading_account), running(desk):
        listens(trading_account)
        names = ("AAPL", "MSFT", "SPY", "F") * 4
        placed = [place(trading_account, symbol=name, not_after=soon(250)) for name in names]
        until(lambda: "submitting" in statuses(trading_account))

        desk.ask_to_end()

        with Stopwatch() as took:
            assert desk.ended() == 0
        assert took.is_within(DRAIN_SECONDS), took
        # Nothing is left in doubt, and the account is free at once.
        assert not {"submitting", "unknown"} & set(statuses(trading_account))
        assert Lease.objects.get(account_id=trading_account).expires_at <= clock.now()
        assert "queued" in statuses(trading_account)

        sandbox.clear_faults()
        with running_desk(trading_account) as following:
            rows = [following.wait_for(each, "filled", "new") for each in placed]

    assert {row["attempts"] for row in rows} == {1}
    assert {a["outcome"] for row in rows for a in detail_of(row)["attempts"]} == {"accepted"}
    at_broker = [order["client_order_id"] for order in held(sandbox, trading_account)]
    assert sorted(at_broker) == sorted(row["client_order_id"] for row in rows)
