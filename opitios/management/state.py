"""What a supervisor says of itself in `.run/state.json`, for those who ask later."""

import json
from dataclasses import asdict, dataclass, field

from opitios.core.embedded.runfolder import RunFolder, read_json, write_private

READY = "ready"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class State:
    """A moment of a run. `phase` is a step of the start-up, `ready` or `failed`.

    `asked` is `Asked.shown()`; `addresses` the ports it got; `programs` process ids by name; `logs`
    files that tell why it failed.
    """

    phase: str
    detail: str = ""
    foreground: bool = False
    asked: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    programs: dict[str, int | None] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)

    def write(self, run: RunFolder) -> None:
        """Replace what was said before."""
        write_private(run.state, json.dumps(asdict(self)))

    @classmethod
    def read(cls, run: RunFolder) -> "State | None":
        """What was said last, or None. Raises RunFolderError for a damaged file."""
        said = read_json(run.state)
        return cls(**said) if said else None
