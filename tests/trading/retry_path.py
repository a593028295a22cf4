"""A real Celery worker and its beat, in processes of their own, as the supervisor runs them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from accounts.models import ProcessRow
from tests.support.crowd import patient
from tests.support.until import until

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = patient(60.0)
# A tenth of the real one would take a busy machine for a deaf worker.
CANARY = {"OPITIOS_TIMERS__CANARY": "3"}

# The words of opitios/management/stack.py.
WORKER = ("-m", "celery", "-A", "opitios", "--quiet", "worker", "--pool", "threads",
          "--concurrency", "4", "--without-gossip", "--without-mingle",
          "--without-heartbeat")  # fmt: skip
BEAT = ("-m", "celery", "-A", "opitios", "--quiet", "beat")


class Program:
    """One process of the retry path."""

    def __init__(self, role: str, arguments: tuple[str, ...], log: Path, **settings: str) -> None:
        self.name = f"{role}-{log.parent.name}"
        self.log = log
        environment = os.environ | CANARY | settings
        environment |= {"OPITIOS_ROLE": role, "OPITIOS_PROCESS": self.name}
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
            )

    def wait_until_shown(self) -> None:
        """Wait for its row in the pool."""
        until(lambda: ProcessRow.objects.filter(name=self.name).exists(), seconds=START_SECONDS)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text()

    def stop(self) -> int:
        """Ask it to end, and wait; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def retry_path(folder: Path, **settings: str) -> Iterator[tuple[Program, Program]]:
    """Run a worker and a beat."""
    with ExitStack() as stack:
        worker = Program("worker", WORKER, folder / "worker.log", **settings)
        stack.callback(worker.stop)
        beat = Program("beat", BEAT, folder / "beat.log", **settings)
        stack.callback(beat.stop)
        worker.wait_until_shown()
        beat.wait_until_shown()
        yield worker, beat
