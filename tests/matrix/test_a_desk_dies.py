"""A desk is killed at each step of a send: the next one finishes it, once (C04 to C07, G1, G2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from opitios.core.config import Config, get_config
from tests.matrix.nodes import Node, desk_node, listens, running
from tests.support.orders import folded, kinds, place, plain_json, row_of, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only, running_desk
from tests.trading.test_desk_sends import held, posts
from trading import shapes

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

Row = dict[str, Any]


@contextmanager
def mortal_desk(account_id: str, folder: Path, **settings: str) -> Iterator[Node]:
    """A desk in a process of its own that owns the account, and no other."""
    with only(account_id):
        node = desk_node(folder, **settings)
        with running(node):
            listens(account_id)
            yield node


def quick() -> Config:
    """A next desk that believes an absence after a second."""
    timers = get_config().timers.model_copy(update={"absent_after": 1.0})
    return get_config().model_copy(update={"timers": timers})


def deafen(sandbox: SandboxProcess, account_id: str) -> None:
    """Cut the account's stream, for good: nothing but the answer tells what became of an order."""
    sandbox.fault("503", account="*", route="GET /stream", times=0)
    sandbox.fault("stream_drop", account=account_id)


def finished_by_the_next(sandbox: SandboxProcess, account_id: str, row: Row) -> Row:
    """Let another desk go on, and wait for the fill."""
    sandbox.clear_faults()
    with running_desk(account_id, config=quick()) as desk:
        return desk.wait_for(row, "filled", seconds=20)


def assert_once(sandbox: SandboxProcess, row: Row) -> None:
    """The broker has the order once, the chain of entries tells the row."""
    [order] = held(sandbox, row["account_id"])
    assert order["client_order_id"] == row["client_order_id"]
    assert folded(row) == plain_json(shapes.order_json(row_of(row)))


@pytest.mark.parametrize(
    ("failpoint", "left", "sent_by_the_first", "attempts"),
    [
        # Nothing was claimed: the next desk's attempt is the first.
        ("claim-before", "queued", 0, 1),
        # Claimed, and no byte left: proven absent, it is sent again under its id.
        ("claim-after", "submitting", 0, 2),
        # The broker has answered, and nobody wrote it down: it is adopted, not sent.
        ("answer-before-save", "submitting", 1, 1),
    ],
    ids=["c04", "c05", "c07"],
)
def test_c04_c05_c07_an_order_whose_desk_was_killed_is_finished_by_the_next(
    sandbox: SandboxProcess,
    trading_account: str,
    tmp_path: Path,
    failpoint: str,
    left: str,
    sent_by_the_first: int,
    attempts: int,
) -> None:
    armed = {"OPITIOS_FAILPOINTS": f"{failpoint}=1"}
    with mortal_desk(trading_account, tmp_path, **armed) as desk:
        deafen(sandbox, trading_account)
        row = row_of(place(trading_account, not_after=soon(250)))
        assert desk.ended() == -SIGKILL

    assert row_of(row)["status"] == left
    assert len(posts(sandbox, row)) == sent_by_the_first
    now = finished_by_the_next(sandbox, trading_account, row)

    assert now["attempts"] == attempts
    assert_once(sandbox, row)
    assert len(posts(sandbox, row)) == 1
    assert kinds(trading_account).count("order.submitting") == attempts


def test_c06_an_order_whose_desk_was_killed_while_the_broker_kept_silent_is_adopted(
    sandbox: SandboxProcess, trading_account: str, tmp_path: Path
) -> None:
    with mortal_desk(trading_account, tmp_path) as desk:
        deafen(sandbox, trading_account)
        route = "POST /v2/orders"
        sandbox.fault("hang", account=trading_account, route=route, when="after")
        row = row_of(place(trading_account, not_after=soon(250)))
        until(lambda: held(sandbox, trading_account))
        desk.kill()

    assert row_of(row)["status"] == "submitting"
    now = finished_by_the_next(sandbox, trading_account, row)

    assert now["attempts"] == 1
    assert_once(sandbox, row)
    assert len(posts(sandbox, row)) == 1
