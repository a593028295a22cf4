"""A campaign that is a test session of its own, in a process and on servers of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaigns.evidence import ROOT

LOOK_SECONDS = 0.5
# A test session makes settings of its own, and refuses others.
_NOT_TOLD = frozenset({"DJANGO_SETTINGS_MODULE", "OPITIOS_ENV_FILE"})


@dataclass(frozen=True, slots=True)
class Met:
    """What the session wrote into its `met.json`, whether it passed, and what it printed."""

    evidence: dict[str, Any]
    passed: bool
    said: list[str]


def run(
    argv: tuple[str, ...], told: Mapping[str, str], advance: Callable[[dict[str, Any]], None]
) -> Met:
    """Run pytest so, `told` in its environment; `advance` hears what it has met so far."""
    with tempfile.TemporaryDirectory(prefix="opitios-campaign-") as name:
        folder = Path(name)
        with (folder / "output").open("wb") as output:
            running = _started(argv, {**told, "OPITIOS_EVIDENCE": name}, output)
            while not _ended(running):
                advance(_met(folder))
        said = (folder / "output").read_text(errors="replace").splitlines()
        return Met(_met(folder), running.returncode == 0, said)


def _started(
    argv: tuple[str, ...], told: Mapping[str, str], output: Any
) -> "subprocess.Popen[bytes]":
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_TOLD}
    return subprocess.Popen(  # noqa: S603 - our own words
        (sys.executable, "-m", "pytest", *argv, "-q"),
        cwd=ROOT,
        env={**kept, **told},
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def _ended(running: "subprocess.Popen[bytes]") -> bool:
    try:
        running.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _met(folder: Path) -> dict[str, Any]:
    kept = folder / "met.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    return found
