"""What the operator's tests share: a supervisor in a process of its own, and programs for it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from opitios.core.embedded import homes, processes
from tests.support.crowd import patient

ROOT = Path(__file__).resolve().parents[2]

# A loaded machine may take its time; the promises themselves are asserted separately. Seconds.
PATIENCE = patient(20.0)


class Run:
    """A supervisor running somewhere else, followed by what it says."""

    def __init__(self, described: list[dict[str, Any]]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.operator.run_programs"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        json.dump(described, self.process.stdin)
        self.process.stdin.close()
        ready = self.hears("supervisor", "ready")
        self.ready_at: float = ready["at"]
        self.pids: dict[str, int | None] = ready["pids"]

    def hears(self, name: str, what: str) -> dict[str, Any]:
        """Read on until the supervisor says this, and return what it said."""
        assert self.process.stdout
        for line in self.process.stdout:
            said: dict[str, Any] = json.loads(line)
            if said["name"] == name and said["what"].startswith(what):
                return said
        raise AssertionError(f"the supervisor ended without saying {name}: {what}")

    def pid(self, name: str) -> int:
        """The process id of a program as of now."""
        self.pids = self.hears("supervisor", "running")["pids"]
        return self.pids[name] or 0

    def end(self, number: int) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


@pytest.fixture(autouse=True)
def hears_signals() -> Iterator[None]:
    """Let what a test starts hear Ctrl-C and a hang-up; a background job ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, hung_up)


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Describe a Python program by its source."""

    def describe(name: str, source: str, stop: int = signal.SIGTERM) -> dict[str, Any]:
        return {
            "name": name,
            "argv": [sys.executable, "-c", source],
            "log": str(tmp_path / f"{name}.log"),
            "stops": [[int(stop), 5.0]],
        }

    return describe


@pytest.fixture
def supervise() -> Iterator[Callable[..., Run]]:
    """Start a supervisor over described programs; whatever happens, nothing of it stays."""
    runs: list[Run] = []

    def start(*described: dict[str, Any]) -> Run:
        runs.append(Run(list(described)))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()
        assert run.process.stdout
        run.process.stdout.close()
        left = [pid for pid in run.pids.values() if pid]
        assert processes.wait_for(partial(all_gone, left), PATIENCE)


def all_gone(pids: list[int]) -> bool:
    """Whether none of these processes runs any more."""
    return not any_alive(pids)


def any_alive(pids: list[int]) -> bool:
    """Whether one of these processes still runs."""
    return any(processes.is_alive(pid) for pid in pids)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the servers' user gets to.

    Not one of pytest's: each pytest that starts as this user closes all of those to others again.
    """
    folder = homes.make_folder(Path(tempfile.mkdtemp(prefix="opitios-server-")))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_root() -> None:
    """Skip where this test needs to be root."""
    if os.geteuid() != 0:
        pytest.skip("only root starts servers as somebody else")
