"""The web process as production runs it: granian, WSGI, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from opitios.core.embedded import ports
from opitios.management.stack import web_command
from tests.support.crowd import patient
from tests.support.until import until

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = patient(10.0)


class Served:
    """One web process on a free port. Use as a context manager."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        # Claimed: granian shares a port with whoever has it, and another worker's tests choose too.
        self._port = ports.choose(None, key=os.urandom(3).hex())
        self.url = f"http://127.0.0.1:{self._port}"
        # Sign-in cookies are sent over plain HTTP in the demonstration only.
        self._environment = environment | {
            "OPITIOS_ROLE": "web",
            "OPITIOS_PROCESS": "web-of-a-test",
            "OPITIOS_DEMO": "true",
        }

    def __enter__(self) -> Self:
        command = web_command(self._port, workers=1, threads=4)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, *command],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self._answers, seconds=START_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"granian ended: {self.log.read_text()[-2000:]}")
        try:
            return requests.get(f"{self.url}/health/live", timeout=2).ok
        except requests.RequestException:
            return False
