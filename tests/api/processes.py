"""The web and desk processes, as the supervisor runs them, for one journey."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from opitios.core.embedded import ports
from opitios.management.stack import web_command
from tests.support.crowd import patient
from tests.support.until import until

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = patient(30.0)

WEB_THREADS = 8
DESK = ("manage.py", "desk")


@contextmanager
def web(folder: Path, name: str = "web-journey", **settings: str) -> Iterator[str]:
    """A granian that serves the API, with these settings over the session's; its origin."""
    # granian shares a port with whoever has it: two workers of a test run must not choose alike.
    port = ports.choose(None, key=f"a9{os.getpid():x}")
    origin = f"http://127.0.0.1:{port}"
    told = {"OPITIOS_PROCESS": name, "OPITIOS_WEB_THREADS": str(WEB_THREADS), **settings}
    command = web_command(port, workers=1, threads=int(told["OPITIOS_WEB_THREADS"]))
    with _process(command, "web", folder, **told):
        until(lambda: _is_ready(origin), seconds=START_SECONDS)
        yield origin


@contextmanager
def desk(folder: Path) -> Iterator[None]:
    """A desk that leases what it can."""
    with _process(DESK, "desk", folder):
        yield


@contextmanager
def _process(arguments: tuple[str, ...], role: str, folder: Path, **more: str) -> Iterator[None]:
    told = {"OPITIOS_ROLE": role, "OPITIOS_PROCESS": f"{role}-journey", **more}
    environment = os.environ | told
    with (folder / f"{role}.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()
                process.wait()


def _is_ready(origin: str) -> bool:
    try:
        return requests.get(f"{origin}/health/ready", timeout=1).status_code == 200
    except requests.RequestException:
        return False
