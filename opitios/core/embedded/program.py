"""One program of a run: how it is started, logged, asked to stop, and what is left of it."""

import os
import shutil
import signal
import subprocess  # of our own commands only # nosec B404
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from opitios.core import clock
from opitios.core.embedded import child

# A log longer than this, in bytes, is set aside as NAME.log.1 and begun again.
LOG_BYTES = 20 * 1024 * 1024

# Who lived this long did not die at once, in seconds: it is started again without waiting.
SETTLED_SECONDS = 2.0

# A killed process is gone within milliseconds, unless it waits for the disk. Seconds.
REMAINS_SECONDS = 5.0

# Waits between starts of a program that keeps dying at once, in seconds; the last one repeats.
BACK_OFF = (0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)


@dataclass(frozen=True, slots=True)
class Account:
    """The system user a server runs as, where we are root and the server refuses to be."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, where, as whom, and how it likes to end.

    `stops` are signals tried in order, each with the seconds it is given; SIGKILL follows them.
    `death_signal` is what the kernel sends it when the supervisor dies.
    """

    name: str
    argv: tuple[str, ...]
    folder: Path
    log: Path
    environment: Mapping[str, str]
    account: Account | None = None
    stdin: Path | None = None
    stops: tuple[tuple[int, float], ...] = ((signal.SIGTERM, 10.0),)
    death_signal: int = signal.SIGKILL


def tied(
    argv: Sequence[str], *, account: Account | None, death_signal: int = signal.SIGKILL
) -> list[str]:
    """The command line that runs `argv` tied to this process, as `account` where one is given.

    Start it from the main thread: the kernel counts the end of the starting thread as our death.
    """
    user = f"{account.uid}:{account.gid}" if account else "-"
    wrapper = [sys.executable, "-I", "-S", child.__file__]
    return [*wrapper, str(os.getpid()), str(int(death_signal)), user, *argv]


@dataclass(slots=True)
class Child:
    """A program and the process it is at the moment, if any.

    `once`: it runs to its end. `capture`: what it prints is kept for `output` (at most 64 KiB, a
    pipe full) instead of going to its log.
    """

    program: Program
    once: bool = False
    capture: bool = False
    restarts: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    code: int | None = None
    output: bytes = b""
    _early_deaths: int = 0
    _group: int = 0
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it in a session of its own; what it says goes to its log."""
        with _opened(self.program.stdin) as stdin, _log(self.program.log) as log:
            self._process = subprocess.Popen(  # noqa: S603 - never a client's # nosec B603
                tied(
                    self.program.argv,
                    account=self.program.account,
                    death_signal=self.program.death_signal,
                ),
                cwd=self.program.folder,
                env=dict(self.program.environment),
                stdin=stdin,
                stdout=subprocess.PIPE if self.capture else log,
                stderr=log,
                start_new_session=True,
            )
        self._group = self._process.pid
        self.started_at = clock.monotonic()

    def is_due(self, now: float) -> bool:
        """Whether to start it again: its wait is over, and what it had started is gone."""
        if self.once or self._process is not None or now < self.due_at:
            return False
        return self._is_group_gone() or now >= self.due_at + REMAINS_SECONDS

    def bury(self) -> None:
        """Collect the dead process, kill what it left in its group, and plan the next start.

        The group goes first: while the body lies there its number cannot be somebody else's.
        """
        process = self._process
        if process is None:
            return
        self.signal_group(signal.SIGKILL)
        self.output = process.stdout.read() if process.stdout else b""
        if process.stdout:
            process.stdout.close()
        self.code = process.wait()
        self._process = None
        self._plan(clock.monotonic())

    def signal(self, number: int) -> None:
        """Signal the process itself; what it started hears from it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def signal_group(self, number: int) -> None:
        """Signal the process and everything in its session's group."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _is_group_gone(self) -> bool:
        try:
            os.killpg(self._group, 0)
        except (ProcessLookupError, PermissionError):
            # Nobody has the number, or by now somebody else's process does.
            return True
        return False

    def trim_log(self) -> None:
        """Set a long log aside. It is open for appending: the program goes on at its new start."""
        log = self.program.log
        if log.exists() and log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, older(log))
            os.truncate(log, 0)

    def _plan(self, now: float) -> None:
        if now - self.started_at >= SETTLED_SECONDS:
            self._early_deaths = 0
        self.due_at = now + BACK_OFF[min(self._early_deaths, len(BACK_OFF) - 1)]
        self._early_deaths += 1


def older(log: Path) -> Path:
    """Where the previous log of a program is."""
    return log.with_name(f"{log.name}.1")


def set_aside(log: Path) -> None:
    """Begin a new log, keeping the one of the previous run."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(older(log))


def _log(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _opened(path: Path | None) -> IO[bytes]:
    return (path or Path(os.devnull)).open("rb")
