"""However a run ends, nothing of it stays."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opitios.core.embedded import processes
from tests.operator.conftest import PATIENCE, Run, any_alive

WAIT = "import signal; signal.pause()"
# Writes its name when it is asked to stop, as a desk that drains does.
POLITE = (
    "import signal, sys, pathlib\n"
    "def leave(*_):\n"
    "    with open(sys.argv[1], 'a') as order: order.write(sys.argv[2] + ' ')\n"
    "    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, leave)\n"
    "pathlib.Path(sys.argv[3]).touch()\n"
    "while True: signal.pause()\n"
)
STUBBORN = (
    "import signal, sys, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pathlib.Path(sys.argv[1]).touch()\n"
    "while True: signal.pause()\n"
)
# A grandchild in a session of its own: no signal to a group finds it.
RUNAWAY = (
    "import subprocess, sys, pathlib;"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'],"
    " start_new_session=True); pathlib.Path(sys.argv[1]).write_text(str(child.pid))"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_program_outlives_its_supervisor(
    supervise: Callable[..., Run], program: Callable[..., dict[str, Any]], number: int
) -> None:
    run = supervise(program("a", WAIT), program("b", WAIT))
    pids = [run.pid("a"), run.pid("b")]
    assert any_alive(pids)

    run.end(number)

    assert processes.wait_for(lambda: not any_alive(pids), PATIENCE)


def test_programs_stop_in_the_opposite_order_of_their_start(
    supervise: Callable[..., Run], program: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    order = tmp_path / "order"
    described = [program(name, POLITE) for name in ("first", "second", "third")]
    for one in described:
        one["argv"] += [str(order), one["name"], str(tmp_path / one["name"])]
    run = supervise(*described)
    ready = [tmp_path / one["name"] for one in described]
    assert processes.wait_for(lambda: all(path.exists() for path in ready), PATIENCE)

    code = run.end(signal.SIGTERM)

    assert code == 0
    assert order.read_text() == "third second first "


def test_a_second_interrupt_does_not_wait_for_a_stubborn_program(
    supervise: Callable[..., Run], program: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    described = program("stubborn", STUBBORN)
    described["argv"].append(str(tmp_path / "ready"))
    described["stops"] = [[int(signal.SIGTERM), 600.0]]
    run = supervise(described)
    assert processes.wait_for((tmp_path / "ready").exists, PATIENCE)
    pid = run.pid("stubborn")
    run.process.send_signal(signal.SIGINT)
    run.hears("supervisor", "stopping")

    run.end(signal.SIGINT)

    assert not processes.is_alive(pid)


def test_a_grandchild_that_left_its_group_is_ended_too(
    supervise: Callable[..., Run], program: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    note = tmp_path / "runaway.pid"
    described = program("parent", RUNAWAY + "; import signal; signal.pause()")
    described["argv"].append(str(note))
    run = supervise(described)
    assert processes.wait_for(lambda: note.exists() and note.read_text() != "", PATIENCE)
    runaway = int(note.read_text())
    os.kill(runaway, 0)

    run.end(signal.SIGTERM)

    assert not processes.is_alive(runaway)
