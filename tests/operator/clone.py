"""A clone of the code in a folder of its own, and the operator who works in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from opitios.core.embedded import processes
from opitios.core.embedded.runfolder import RunFolder, read_env
from opitios.management.state import State
from opitios.management.supervision import leftovers

ROOT = Path(__file__).resolve().parents[2]
CODE = ("opitios", "accounts", "trading", "marketdata", "streaming", "sandbox", "manage.py")

# What the test session told this process and a clone must find out for itself.
OURS = ("OPITIOS_", "DATABASE_", "REDIS_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")

# `make up` has 120 s by contract; a busy machine gets as much again before the test gives up.
UP_SECONDS = 240.0


class Clone:
    """A copy of the code under `folder`; `settings` are the operator's environment variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        # [tool.coverage.paths] knows the name: what runs there counts as ours.
        root = folder / "opitios-clone"
        root.mkdir()
        for name in CODE:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, root / name)
        self.run = RunFolder(root)
        self.settings = settings

    def environment(self) -> dict[str, str]:
        """The operator's environment: this process's, without what the test session told it."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
        return mine | self.settings

    def start(self, action: str, **settings: str) -> "subprocess.Popen[str]":
        """Begin a command and return its process."""
        return subprocess.Popen(  # noqa: S603 - the test's own words
            [sys.executable, "manage.py", *action.split()],
            cwd=self.run.root,
            env=self.environment() | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def do(self, action: str, **settings: str) -> tuple[int, str]:
        """Run a command to its end: its exit code and what it said."""
        with self.start(action, **settings) as process:
            said = process.communicate(timeout=UP_SECONDS)[0]
        return process.returncode, said

    @property
    def handout(self) -> dict[str, str]:
        """What `.run/opitios.env` says."""
        return read_env(self.run.handout)

    def pid(self, name: str) -> int:
        """The process id of a program as of now; 0 while it is down."""
        state = State.read(self.run)
        return (state.programs.get(name) if state else None) or 0

    def port(self, name: str) -> int:
        """Where a server of the run listens (`Addresses`)."""
        state = State.read(self.run)
        assert state is not None
        return state.addresses[name]

    def left(self) -> list[str]:
        """Command lines of processes of this clone, whoever looks after them."""
        return [_command(pid) for pid in leftovers(self.run)]

    def is_empty(self, seconds: float) -> bool:
        """Whether nothing of this clone runs, at the latest after so many seconds."""
        return processes.wait_for(lambda: not self.left(), seconds)

    def remove(self) -> None:
        """End and delete everything."""
        code, said = self.do("quickstart clean")
        assert code == 0, said


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
