"""What the operator sees while a run starts, goes on, and fails."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from opitios.core.embedded.program import Child, Program
from opitios.management import screen


def page(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_finished_step_is_one_line_with_its_seconds() -> None:
    console = page()
    steps = screen.Steps(console)

    steps.tell("servers", "")
    steps.tell("books", "")
    steps.done()

    lines = text(console).splitlines()
    assert [line.rsplit(maxsplit=2)[0] for line in lines] == [
        "✓ Postgres, Redis and the sandbox",
        "✓ Tables, accounts and tokens",
    ]


def test_a_failed_step_is_never_called_done() -> None:
    console = page(terminal=True)
    steps = screen.Steps(console)
    steps.tell("warm-up", "3 of 7 accounts warm")

    steps.fail()

    assert "3 of 7 accounts warm" in text(console)
    assert "✓" not in text(console)


def test_a_failure_shows_the_ends_of_its_logs_as_they_are(tmp_path: Path) -> None:
    log = tmp_path / "web-1.log"
    log.write_text("".join(f"line {n} [bold]\n" for n in range(100)))
    console = page()

    screen.failure(console, "not ready", [log, tmp_path / "absent.log"])

    said = text(console)
    assert said.startswith("✗ not ready\n")
    assert "line 99 [bold]" in said
    assert "line 80 " not in said
    assert "absent.log" not in said


def test_a_process_that_is_down_is_shown_as_such(tmp_path: Path) -> None:
    program = Program(
        name="desk-1", argv=("true",), folder=tmp_path, log=tmp_path / "log", environment={}
    )
    console = page()

    console.print(screen.status([Child(program, restarts=4)], "7 of 7 accounts warm"))

    assert "desk-1" in text(console)
    assert "starting again" in text(console)
    assert "7 of 7 accounts warm" in text(console)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.9, "0:00:00"), (61, "0:01:01"), (7384.2, "2:03:04")]
)
def test_a_time_is_shown_in_hours_minutes_and_seconds(seconds: float, shown: str) -> None:
    assert screen.duration(seconds) == shown


def test_the_addresses_name_the_page_of_the_stream_and_the_examples_a_line_for_it() -> None:
    words = ("API_URL", "WS_URL", "ADMIN_URL", "SANDBOX_URL", "STAFF_USER", "STAFF_PASSWORD")
    handout = {word: f"<{word}>" for word in words} | {"ADMIN_URL": "http://h/admin/"}

    assert "http://h/admin/stream/" in screen.addresses(handout)
    assert "make tail ARGS='--orders account_001" in screen.EXAMPLES
