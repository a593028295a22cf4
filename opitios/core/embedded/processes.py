"""What Linux says about processes: who lives, who belongs to this clone, who is whose child."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from select import poll as make_poll

from opitios.core import clock

# Every process of a run carries this in its environment; its value names the clone.
MARK = "OPITIOS_RUN"

# How often a condition without an event of its own is looked at, in seconds.
LOOK_SECONDS = 0.05


def pause(seconds: float) -> None:
    """Let time pass between two looks at a condition; always inside a loop with a deadline."""
    make_poll().poll(max(0.0, seconds) * 1000)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Look until the condition holds or so many seconds are over; say whether it held."""
    deadline = clock.monotonic() + seconds
    while not condition():
        if clock.monotonic() >= deadline:
            return False
        pause(LOOK_SECONDS)
    return True


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie, which only waits to be collected, does not."""
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def children_of(pid: int) -> list[int]:
    """The processes whose parent is `pid` now, zombies included."""
    return [other for other in _pids() if _stat(other)[1:2] == [str(pid)]]


def marked(value: str) -> list[int]:
    """Every living process whose environment says MARK=value (own and readable ones), but ours."""
    wanted = f"{MARK}={value}".encode()
    return [
        pid
        for pid in _pids()
        if pid != os.getpid() and wanted in _environment(pid) and is_alive(pid)
    ]


def working_in(*folders: Path) -> list[int]:
    """Every living process whose working folder is one of these.

    The servers overwrite the memory their environment was in; their folder tells whose they are.
    """
    wanted = {folder.resolve() for folder in folders}
    return [pid for pid in _pids() if _working_folder(pid) in wanted and is_alive(pid)]


def stop_all(pids: list[int], *, seconds: float) -> bool:
    """Kill processes and wait until they are gone; False where one is left."""
    for pid in pids:
        send(pid, signal.SIGKILL)
    return wait_for(lambda: not any(is_alive(pid) for pid in pids), seconds)


def send(pid: int, signal_number: int) -> bool:
    """Send a signal; False where the process is gone already."""
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return False
    return True


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (state, parent, group, …); [] when gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The second field is the command in parentheses and may itself hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def _working_folder(pid: int) -> Path | None:
    """Where a process works; None where it is gone or not ours to see."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
