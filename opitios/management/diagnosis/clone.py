"""The machine, the files and the processes of a clone."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from opitios.core.embedded import ports, processes
from opitios.management.diagnosis.finding import Finding, Level, Patient
from opitios.management.state import READY
from opitios.management.supervision import leftovers

# Postgres stops taking writes on a full disk; half a day of busy trading fits into this. Bytes.
DISK_BYTES = 1024**3

_PROCESS_OF = {"api": "web", "ws": "stream", "sandbox": "sandbox"}


def machine() -> Finding:
    """Whether the wheels fit this machine and this Python."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return Finding("machine", Level.OK, found)
    return Finding(
        "machine", Level.WRONG, found, "Linux on x86-64 runs natively; else use compose."
    )


def disk(patient: Patient) -> Finding:
    """Whether the data have room."""
    free = shutil.disk_usage(patient.run.root).free
    found = f"{free / 1024**3:.1f} GiB free at {patient.run.root}"
    if free >= DISK_BYTES:
        return Finding("disk", Level.OK, found)
    return Finding(
        "disk", Level.WRONG, found, "Free some space: on a full disk nothing is accepted."
    )


def files(patient: Patient) -> Iterator[Finding]:
    """Whether the secrets of the run are readable by their user alone."""
    run = patient.run
    secret = (run.path / "secrets.json", run.path / "accounts.yaml", run.settings, run.handout)
    for path in filter(Path.exists, secret):
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            found = f"{path.name} has mode {mode:o}: others may read it"
            yield Finding("files", Level.WRONG, found, f"chmod 600 {path}; then change its keys.")
    if run.path.exists() and run.path.stat().st_uid != os.geteuid():
        found = f".run belongs to user {run.path.stat().st_uid}"
        yield Finding("files", Level.WRONG, found, "Run as that user, or let it `make clean`.")


def supervisor(patient: Patient) -> Finding:
    """Whether somebody looks after the processes, and whether all of them are looked after."""
    if patient.supervisor is not None:
        how = "make run" if patient.state and patient.state.foreground else "make up"
        phase = patient.state.phase if patient.state else "starting"
        found = f"{how} (process {patient.supervisor}): {phase}"
        return Finding("supervisor", Level.OK if phase == READY else Level.NOTE, found)
    left = leftovers(patient.run)
    if left:
        found = f"nobody looks after processes {left}"
        return Finding("supervisor", Level.WRONG, found, "make down ends them.")
    return Finding("supervisor", Level.NOTE, "nothing runs here", "make up")


def programs(patient: Patient) -> Iterator[Finding]:
    """Whether each process of the run lives and each port has a listener."""
    if patient.supervisor is None or patient.state is None:
        return
    for name, pid in patient.state.programs.items():
        alive = pid is not None and processes.is_alive(pid)
        remedy = "" if alive else f"It is started again; why it ends: make logs S={name}"
        level = Level.OK if alive else Level.WRONG
        yield Finding(name, level, f"process {pid}" if alive else "does not run", remedy)
    for name in ("api", "ws", "sandbox"):
        port = patient.state.addresses.get(name)
        if port is not None and not ports.listens(port):
            remedy = f"Wait for its process, or: make logs S={_PROCESS_OF[name]}"
            yield Finding(f"port {port}", Level.WRONG, f"nobody listens ({name})", remedy)
