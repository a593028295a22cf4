"""What a check says, and the clone it looks at."""

import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from opitios.core.embedded.runfolder import RunFolder, read_env
from opitios.management.state import State


class Level(StrEnum):
    """How a check ended; `wrong` makes the exit code 1."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    check: str
    level: Level
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The same as an object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Patient:
    """A clone as it is now. `settings` are those of its last run, else the environment's."""

    run: RunFolder
    settings: dict[str, str]
    state: State | None
    supervisor: int | None

    @classmethod
    def of(cls, root: Path) -> "Patient":
        """Look at a clone. Raises RunFolderError where its files are damaged."""
        run = RunFolder(root)
        settings = read_env(run.settings) or dict(os.environ)
        state = State.read(run) if run.path.exists() else None
        return cls(run, settings, state, run.supervisor())
