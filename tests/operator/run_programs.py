"""Supervise the programs a test describes (JSON on stdin) until asked to stop.

Prints a JSON line for each start, death and restart, so that a test can follow what happened: `at`
is when, by the monotonic clock that all processes share.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from opitios.core import clock
from opitios.core.embedded.program import Program
from opitios.core.embedded.supervisor import Supervisor


def say(name: str, what: str, **more: object) -> None:
    """Tell the test."""
    said = {"name": name, "what": what, "at": clock.monotonic(), **more}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def read_program(described: dict[str, Any]) -> Program:
    """A program from its description, with the log beside the test's other files."""
    return Program(
        name=described["name"],
        argv=tuple(described["argv"]),
        folder=Path.cwd(),
        log=Path(described["log"]),
        environment=os.environ | described.get("environment", {}),
        stops=tuple((number, seconds) for number, seconds in described["stops"]),
    )


def main() -> None:
    """Start everything, say the process ids, and step until a signal comes."""
    with Supervisor(say) as supervisor:
        for described in json.load(sys.stdin):
            supervisor.start(read_program(described))
        pids = {child.program.name: child.pid for child in supervisor.children}
        say("supervisor", "ready", pids=pids)
        while not supervisor.stop_asked:
            supervisor.step()
            pids = {child.program.name: child.pid for child in supervisor.children}
            say("supervisor", "running", pids=pids)
        say("supervisor", "stopping")
    say("supervisor", "stopped")


if __name__ == "__main__":
    main()
