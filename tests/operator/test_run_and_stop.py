"""`make run` shows an order's way, and however a run ends nothing of it stays."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from opitios.core.embedded import processes
from opitios.demo import COMMAND, ORDERS
from opitios.management.gateway import Gateway
from tests.operator.clone import Clone
from tests.operator.conftest import PATIENCE

pytestmark = [pytest.mark.journeys, pytest.mark.timeout(600)]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    clone = Clone(tmp_path, ACCOUNTS="2")
    yield clone
    clone.remove()
    assert not clone.run.path.exists()


def gateway(clone: Clone) -> Gateway:
    return Gateway(clone.handout["API_URL"], clone.handout["TOKEN_TRADER"])


def test_a_first_run_takes_one_order_to_its_fill_and_ends_with_ctrl_c(clone: Clone) -> None:
    said: list[str] = []
    with clone.start("quickstart run") as running:
        try:
            for line in running.stdout or ():
                said.append(line)
                if line == "END\n":
                    break
            answer = gateway(clone).get(f"{ORDERS}?status=all")
        finally:
            running.send_signal(signal.SIGINT)
            running.communicate(timeout=PATIENCE * 4)

    assert "account_001: buy 1 AAPL market → filled" in "".join(said)
    assert [order["status"] for order in answer.body["orders"]] == ["filled"]
    assert running.returncode == 0
    assert clone.left() == []
    assert not clone.run.handout.exists()


def test_a_killed_supervisor_leaves_nothing_and_the_next_one_finds_the_books(clone: Clone) -> None:
    assert clone.do("quickstart up")[0] == 0
    placed = gateway(clone).post(f"{ORDERS}/stocks", COMMAND, idempotency_key="kept")
    supervisor = clone.run.supervisor()
    assert supervisor

    processes.send(supervisor, signal.SIGKILL)

    assert clone.is_empty(PATIENCE), clone.left()
    code, said = clone.do("quickstart up")
    assert code == 0, said
    assert gateway(clone).get(f"{ORDERS}/{placed.body['id']}").body["id"] == placed.body["id"]


def test_down_ends_everything_and_has_nothing_to_do_the_second_time(clone: Clone) -> None:
    assert clone.do("quickstart up")[0] == 0
    assert clone.left() != []

    first = clone.do("quickstart down")
    left = clone.left()
    second = clone.do("quickstart down")

    assert first[0] == 0, first
    assert left == []
    assert second == (0, "Nothing runs here.\n")
    assert (clone.run.path / "secrets.json").exists()
