"""A clone has one supervisor at a time, and the kernel knows who it is."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from opitios.core.embedded.runfolder import RunFolder
from tests.operator.conftest import PATIENCE, ROOT

HOLDER = (
    "import sys, signal; from pathlib import Path;"
    "from opitios.core.embedded.runfolder import RunFolder;"
    "lock = RunFolder(Path(sys.argv[1])).lock(); print(lock is not None, flush=True);"
    "signal.pause()"
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.prepare()
    return folder


@pytest.fixture
def holder(run: RunFolder) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(  # noqa: S603 - the test's own words
        [sys.executable, "-c", HOLDER, str(run.root)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_nobody_supervises_a_fresh_clone(run: RunFolder) -> None:
    assert run.supervisor() is None


def test_a_second_supervisor_is_refused_and_told_who_is_the_first(
    run: RunFolder, holder: "subprocess.Popen[str]"
) -> None:
    assert run.lock() is None
    assert run.supervisor() == holder.pid


def test_a_killed_supervisor_leaves_no_lock(
    run: RunFolder, holder: "subprocess.Popen[str]"
) -> None:
    holder.kill()
    holder.wait(timeout=PATIENCE)

    assert run.supervisor() is None
    with run.lock() or pytest.fail("still locked") as lock:
        assert lock.fileno() > 0


def test_a_number_in_the_file_means_nothing_without_the_lock(run: RunFolder) -> None:
    (run.path / "supervisor.pid").write_text("1\n")

    assert run.supervisor() is None
