"""The broker's stream is late, early, cut, or meets no database: the books end right (C13–C16)."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest
from django.db import connection

from accounts.models import AccountState
from opitios.broker.alpaca.transport import TransportTimers
from opitios.core import database
from opitios.core.config import Timers
from tests.broker.loopback import LoopbackBroker, answering, http
from tests.support.accounts import open_account
from tests.support.orders import folded, kinds, place, plain_json, row_of
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import RunningDesk, running_desk
from tests.trading.outages import proxied_postgres
from tests.trading.sending import Rests, Step, pooled
from tests.trading.test_desk_sends import detail_of, held
from trading import reconciler, shapes, watch

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


@pytest.fixture
def postgres(db: None) -> Iterator[Proxy]:
    with proxied_postgres() as proxy:
        yield proxy


def assert_whole(row: Row) -> None:
    """Ten shares by row, by fills and by journal."""
    until(lambda: sum(Decimal(each["qty"]) for each in detail_of(row)["executions"]) == 10)
    now = row_of(row)
    assert (now["status"], now["filled_qty"], now["fills_short"]) == ("filled", 10, False)
    assert folded(row) == plain_json(shapes.order_json(now))


def forget_dead_connections() -> None:
    """Let this process's pool look at what it holds: tests, unlike loops, try once."""
    database.release()
    connection.pool.check()  # type: ignore[attr-defined] # of the Postgres backend


def stream_state(account_id: str) -> str:
    """What the account's desk told of its stream."""
    return AccountState.objects.get(account_id=account_id).stream_state


def scripted(row: Row, status: str, second: int) -> dict[str, Any]:
    """A broker's order object about an order of ours."""
    return {
        "id": f"b-{row['id']}",
        "client_order_id": row["client_order_id"],
        "status": status,
        "updated_at": f"2026-11-20T14:30:0{second}Z",
        "filled_qty": "0",
        "filled_avg_price": None,
        "failed_at": f"2026-11-20T14:30:0{second}Z" if status == "rejected" else None,
    }


@pytest.mark.parametrize("told_by", ["stream", "sweep"])
def test_c13_an_order_taken_and_then_rejected_ends_rejected(db: None, told_by: str) -> None:
    # The sandbox never changes its mind: a broker of the test's own does.
    broker = LoopbackBroker([answering(http(500))])
    account, transport = pooled(open_account(url=broker.origin))
    row = row_of(place(account.account_id))
    accepted, rejected = scripted(row, "accepted", 1), scripted(row, "rejected", 2)
    broker.behaviours[:] = [
        answering(http(200, accepted)), answering(http(200, [])), answering(http(200, rejected)),
    ]  # fmt: skip

    assert Step(account, Rests()).send(row)["status"] == "accepted"
    if told_by == "stream":
        update = {"event": "rejected", "timestamp": rejected["updated_at"], "order": rejected}
        message = {"stream": "trade_updates", "data": update}
        watch.handle_message(account, orjson.dumps(message))
    else:
        reconciler.compare(account)

    transport.close()
    broker.close()
    now = row_of(row)
    assert (now["status"], now["final"], now["failed_at"]) == (
        "rejected", True, "2026-11-20T14:30:02Z",
    )  # fmt: skip
    assert kinds(account.account_id)[-1] == "order.rejected"
    assert broker.posts() == 1
    # How long the sweep may take to come.
    assert Timers().reconcile <= 15


def test_c14_while_the_stream_is_down_fills_are_found_and_afterwards_they_add_up(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk
) -> None:
    sandbox.hold_fills(trading_account)
    row = desk.wait_for(place(trading_account), "new", "accepted")
    sandbox.fault("503", route="GET /stream", times=0)
    sandbox.fault("stream_drop", account=trading_account)
    until(lambda: stream_state(trading_account) != "listening")

    sandbox.post("fills", {"mode": "partial", "account": trading_account})

    # By comparison, with the stream still away: and everybody can see that it is.
    desk.wait_for(row, "filled", seconds=15)
    assert stream_state(trading_account) != "listening"
    sandbox.clear_faults()
    until(lambda: stream_state(trading_account) == "listening", seconds=15)
    assert_whole(row)
    sandbox.release_fills(trading_account)
    # What comes now is heard again.
    after = desk.wait_for(place(trading_account), "filled")
    until(lambda: detail_of(after)["executions"])
    assert {each["source"] for each in detail_of(after)["executions"]} == {"stream"}


def test_c15_a_fill_told_before_the_posts_own_answer_stays(
    sandbox: SandboxProcess, db: None
) -> None:
    sandbox.clear_faults()
    with Proxy(("127.0.0.1", sandbox.port)) as way:
        account_id = open_account(url=f"http://127.0.0.1:{way.port}")
        # Patient: the answer is kept back for as long as the test wants.
        with running_desk(account_id, calls=TransportTimers(submit=60.0)) as desk:
            way.keep_back_the_answer_to(b"POST /v2/orders")
            row = row_of(place(account_id))

            # Its attempt is still under way: the answer says `pending_new`, and is old news.
            filled = desk.wait_for(row, "filled")
            assert [each["outcome"] for each in detail_of(filled)["attempts"]] == [None]
            way.let_go()
            [attempt] = until(lambda: [a for a in detail_of(row)["attempts"] if a["outcome"]])

    assert attempt["outcome"] == "accepted"
    assert_whole(row)
    assert kinds(account_id).count("order.filled") + kinds(account_id).count("order.fill") == 1


def test_c16_events_that_came_while_the_database_was_away_are_made_up_for(
    sandbox: SandboxProcess, postgres: Proxy
) -> None:
    sandbox.clear_faults()
    account_id = open_account(url=sandbox.url)
    sandbox.hold_fills(account_id)
    with running_desk(account_id) as desk:
        row = desk.wait_for(place(account_id), "new", "accepted")
        postgres.vanish()

        sandbox.release_fills(account_id)
        until(lambda: held(sandbox, account_id)[0]["status"] == "filled")
        until(lambda: desk.desk._drains.counts["failed"] > 0)
        postgres.come_back()

        forget_dead_connections()
        desk.wait_for(row, "filled", seconds=20)
        assert_whole(row)
        # The stream's own thread lives: the next fill is told by it.
        after = desk.wait_for(place(account_id), "filled", seconds=20)
        until(lambda: detail_of(after)["executions"])
        assert {each["source"] for each in detail_of(after)["executions"]} == {"stream"}
