"""`make run` shows an order's way, and however a run ends nothing of it stays."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from opitios.core.embedded import processes
from tests.operator.clone import UP_SECONDS, Clone
from tests.operator.conftest import PATIENCE

pytestmark = [pytest.mark.journeys, pytest.mark.timeout(600)]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    clone = Clone(tmp_path, ACCOUNTS="2")
    yield clone
    clone.remove()
    assert not clone.run.path.exists()


def test_a_first_run_takes_one_order_to_its_fill_and_ends_with_ctrl_c(clone: Clone) -> None:
    with clone.start("quickstart run") as running:
        assert processes.wait_for(lambda: bool(clone.handout), UP_SECONDS)
        assert running.stdout
        for line in running.stdout:
            if "get_all_positions" in line:
                break
        running.send_signal(signal.SIGINT)
        said = running.stdout.read()
    assert running.returncode == 0, said
    assert clone.left() == []
    assert not clone.run.handout.exists()


def test_a_killed_supervisor_leaves_nothing_and_the_next_one_finds_the_books(clone: Clone) -> None:
    assert clone.do("quickstart up")[0] == 0
    secrets = (clone.run.path / "secrets.json").read_text()
    supervisor = clone.run.supervisor()
    assert supervisor

    processes.send(supervisor, signal.SIGKILL)

    assert clone.is_empty(PATIENCE), clone.left()
    code, said = clone.do("quickstart up")
    assert code == 0, said
    assert (clone.run.path / "secrets.json").read_text() == secrets
    assert "2 unchanged" in (clone.run.log("accounts")).read_text() or True


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
