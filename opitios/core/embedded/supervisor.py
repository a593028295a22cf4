"""Keep programs alive, and stop them in order with nothing left.

Runs in the main thread alone: children are tied to the thread that started them, and signals arrive
there. As the adopter of orphans it sees the end of every process its children ever started.
"""

import os
import select
import signal
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType, TracebackType
from typing import Self

from opitios.core import clock
from opitios.core.embedded import processes
from opitios.core.embedded.child import adopt_orphans
from opitios.core.embedded.program import Child, Program, set_aside

# How long the supervisor sleeps when nothing happens; a child's death wakes it at once. Seconds.
STEP_SECONDS = 0.5

# What each signal of a program's stops is given after a second Ctrl-C, in seconds.
HURRIED_SECONDS = 1.0

# A killed process is gone within milliseconds; one in the kernel's hands may take longer. Seconds.
KILLED_SECONDS = 5.0

Notice = Callable[[str, str], None]


class StopAskedError(Exception):
    """Somebody asked the run to stop (Ctrl-C, SIGTERM) while it waited for something."""


class Supervisor:
    """Programs in the order they were started; `with` installs the signals it lives by."""

    def __init__(self, notice: Notice) -> None:
        """`notice(name, what)` is told of deaths and restarts, in plain words."""
        self._notice = notice
        self._children: dict[str, Child] = {}
        self._stops_asked = 0
        self._stopping = False
        self._restores: list[Callable[[], object]] = []
        self._hears, self._wakes = socket.socketpair()

    def __enter__(self) -> Self:
        adopt_orphans()
        self._hears.settimeout(0)
        self._wakes.settimeout(0)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        self._handle(signal.SIGCHLD, _only_wake)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handle(number, self._ask_to_stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        signal.set_wakeup_fd(-1)
        for restore in self._restores:
            restore()
        self._hears.close()
        self._wakes.close()

    @property
    def stop_asked(self) -> bool:
        """Whether a signal asked the run to end."""
        return self._stops_asked > 0

    @property
    def children(self) -> tuple[Child, ...]:
        """Every supervised program, in starting order."""
        return tuple(self._children.values())

    def start(self, program: Program) -> None:
        """Start a program and keep it alive from now on."""
        set_aside(program.log)
        child = self._children[program.name] = Child(program)
        child.start()

    def end(self, name: str) -> None:
        """Stop one program and keep it alive no more."""
        self._stop(self._children[name])
        del self._children[name]

    def run(self, program: Program, *, seconds: float, capture: bool = False) -> Child:
        """Run a program once to its end; `code`, and `output` where captured, tell how it went.

        Raises TimeoutError after so many seconds (it is killed then) and StopAskedError.
        """
        set_aside(program.log)
        child = self._children[program.name] = Child(program, once=True, capture=capture)
        child.start()
        try:
            if not self.wait_until(lambda: child.pid is None, seconds=seconds):
                raise TimeoutError(f"{program.name} took longer than {seconds:.0f} s")
        finally:
            self._kill(child)
            del self._children[program.name]
        return child

    def wait_until(
        self, condition: Callable[[], bool], *, seconds: float, every: float = 0.1
    ) -> bool:
        """Supervise until the condition holds; False when so many seconds passed first.

        The condition is looked at after `every` seconds, or sooner when a child ends.

        Raises StopAskedError as soon as the run is asked to end.
        """
        deadline = clock.monotonic() + seconds
        while not condition():
            if self.stop_asked:
                raise StopAskedError
            if clock.monotonic() >= deadline:
                return False
            self.step(every)
        return True

    def step(self, seconds: float = STEP_SECONDS) -> None:
        """Sleep until something happens or so many seconds passed; bury, restart, trim logs."""
        self._sleep(seconds)
        self._reap()
        if not self._stopping:
            self._restart()
        for child in self._children.values():
            child.trim_log()

    def stop(self) -> None:
        """End every program, the one started last first, and then whatever they left."""
        self._stopping = True
        for child in reversed(self._children.values()):
            self._stop(child)
        self._end_orphans()
        self._children.clear()

    def _stop(self, child: Child) -> None:
        for number, seconds in child.program.stops:
            child.signal(number)
            if self._gone(child, seconds):
                return
        self._notice(child.program.name, "did not stop in time and is killed")
        self._kill(child)

    def _kill(self, child: Child) -> None:
        child.signal_group(signal.SIGKILL)
        self._gone(child, KILLED_SECONDS)

    def _gone(self, child: Child, seconds: float) -> bool:
        started = clock.monotonic()
        while child.pid is not None:
            hurried = self._stops_asked > 1
            allowed = min(seconds, HURRIED_SECONDS) if hurried else seconds
            if clock.monotonic() - started >= allowed:
                return False
            self._sleep(0.1)
            self._reap()
        return True

    def _end_orphans(self) -> None:
        deadline = clock.monotonic() + KILLED_SECONDS
        while (left := processes.children_of(os.getpid())) and clock.monotonic() < deadline:
            for pid in left:
                processes.send(pid, signal.SIGKILL)
            self._sleep(0.05)
            self._reap()

    def _reap(self) -> None:
        by_pid = {child.pid: child for child in self._children.values()}
        while (pid := _dead_child()) is not None:
            child = by_pid.get(pid)
            if child is None:
                os.waitpid(pid, 0)
                continue
            child.bury()
            if not (self._stopping or child.once):
                self._notice(child.program.name, f"ended ({_how(child.code)})")

    def _restart(self) -> None:
        now = clock.monotonic()
        for child in self._children.values():
            if child.is_due(now):
                child.restarts += 1
                child.start()
                self._notice(child.program.name, "was started again")

    def _sleep(self, seconds: float) -> None:
        select.select([self._hears], [], [], seconds)
        while self._heard():
            continue

    def _heard(self) -> bytes:
        try:
            return self._hears.recv(4096)
        except BlockingIOError:
            return b""

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        self._restores.append(partial(signal.signal, number, signal.signal(number, handler)))

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stops_asked += 1


def _only_wake(number: int, frame: FrameType | None) -> None:
    """Take part in nothing: the wake-up descriptor has the news already."""


def _dead_child() -> int | None:
    """A child that ended and is not collected yet, left for its owner to collect."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _how(code: int | None) -> str:
    if code is None:
        return "unknown"
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
