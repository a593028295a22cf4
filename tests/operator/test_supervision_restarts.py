"""A supervised program that dies is there again."""

import os
import signal
from collections.abc import Callable
from typing import Any

from opitios.core.embedded import processes
from opitios.core.embedded.program import BACK_OFF
from tests.operator.conftest import PATIENCE, Run
from tests.support.crowd import Stopwatch

WAIT = "import signal; signal.pause()"
# A parent that leaves its own child behind when it is killed, as granian does.
WITH_WORKER = (
    "import subprocess, sys, pathlib;"
    "worker = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
    "pathlib.Path(sys.argv[1]).write_text(str(worker.pid)); worker.wait()"
)


def test_a_killed_program_is_started_again_within_a_second(
    supervise: Callable[..., Run], program: Callable[..., dict[str, Any]]
) -> None:
    run = supervise(program("a", WAIT))
    first = run.pid("a")

    with Stopwatch() as took:
        os.kill(first, signal.SIGKILL)
        run.hears("a", "ended (SIGKILL)")
        run.hears("a", "was started again")

    assert took.is_within(1.0), took
    assert run.pid("a") not in {0, first}


def test_a_program_that_dies_at_once_is_tried_ever_more_slowly_and_never_given_up(
    supervise: Callable[..., Run], program: Callable[..., dict[str, Any]]
) -> None:
    run = supervise(program("broken", "raise SystemExit(3)"), program("fine", WAIT))

    again = run.ready_at
    for _ in range(4):
        run.hears("broken", "ended (exit code 3)")
        again = run.hears("broken", "was started again")["at"]

    # 0 + 0.2 + 0.4 + 0.8 s of waiting lie between five starts, by the supervisor's own clock: when
    # a test comes to read of them is up to the machine.
    assert again - run.ready_at >= sum(BACK_OFF[:4])
    assert processes.is_alive(run.pid("fine"))


def test_what_a_killed_program_had_started_is_gone_before_it_starts_again(
    supervise: Callable[..., Run], program: Callable[..., dict[str, Any]], tmp_path: Any
) -> None:
    note = tmp_path / "worker.pid"
    described = program("parent", WITH_WORKER)
    described["argv"].append(str(note))
    run = supervise(described)
    assert processes.wait_for(lambda: note.exists() and note.read_text() != "", PATIENCE)
    worker = int(note.read_text())

    os.kill(run.pid("parent"), signal.SIGKILL)
    run.hears("parent", "was started again")

    assert not processes.is_alive(worker)
