"""`make run` shows an order's way, and however a run ends nothing of it stays."""

import codecs
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from opitios.core.embedded import processes
from opitios.demo import COMMAND, ORDERS
from opitios.management.gateway import Gateway
from tests.operator.clone import UP_SECONDS, Clone
from tests.operator.conftest import PATIENCE

pytestmark = [pytest.mark.journeys, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone that is run again and again, as one is; each test leaves it stopped."""
    clone = Clone(tmp_path_factory.mktemp("clone"), ACCOUNTS="2")
    try:
        yield clone
    finally:
        clone.remove()
    assert not clone.run.path.exists()


class Terminal:
    """A terminal of its own with a command in its foreground."""

    def __init__(self, clone: Clone, action: str) -> None:
        self.screen = ""
        # A read may end in the middle of a letter.
        self._letters = codecs.getincrementaldecoder("utf-8")()
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        self.process = subprocess.Popen(  # noqa: S603 - the test's own words
            ["/usr/bin/setsid", "--ctty", sys.executable, "manage.py", *action.split()],
            cwd=clone.run.root,
            env=clone.environment() | {"TERM": "xterm", "COLUMNS": "120"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def shows(self, words: str) -> bool:
        """Read what came and say whether the words were ever on the screen."""
        # Nothing new, or the terminal's last program has left.
        with suppress(OSError):
            self.screen += self._letters.decode(os.read(self._ours, 65536))
        return words in self.screen

    def press_ctrl_c(self) -> None:
        """What a person does."""
        os.write(self._ours, b"\x03")

    def has_ended(self) -> bool:
        """Whether the command ended; reads on, so that it is never stuck on a full screen."""
        self.shows("")
        return self.process.poll() is not None

    def close(self) -> None:
        """Take the terminal away."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def gateway(clone: Clone) -> Gateway:
    return Gateway(clone.handout["API_URL"], clone.handout["TOKEN_TRADER"])


def test_a_first_run_takes_one_order_to_its_fill_and_ends_with_ctrl_c(clone: Clone) -> None:
    terminal = Terminal(clone, "quickstart run")
    try:
        live = processes.wait_for(
            lambda: terminal.shows("2 of 2 trade sockets listening") and terminal.shows("web-1"),
            UP_SECONDS,
        )
        assert live, terminal.screen
        answer = gateway(clone).get(f"{ORDERS}?status=all")
        terminal.press_ctrl_c()

        assert processes.wait_for(terminal.has_ended, PATIENCE * 4), terminal.screen
    finally:
        terminal.close()
    assert "account_001: buy 1 AAPL market → filled" in terminal.screen
    assert {order["status"] for order in answer.body["orders"]} == {"filled"}
    assert terminal.process.returncode == 0
    assert clone.left() == []
    assert not clone.run.handout.exists()


def test_a_run_makes_fresh_tokens_in_time_and_a_killed_supervisor_leaves_nothing_but_the_books(
    clone: Clone,
) -> None:
    source = clone.run.root / "opitios" / "management" / "supervision.py"
    as_written = source.read_text()
    source.write_text(as_written.replace("12 * 3600.0", "1.0"))
    assert clone.do("quickstart up")[0] == 0
    source.write_text(as_written)
    first = clone.handout["TOKEN_TRADER"]
    assert processes.wait_for(lambda: clone.handout["TOKEN_TRADER"] != first, PATIENCE)
    placed = gateway(clone).post(f"{ORDERS}/stocks", COMMAND, idempotency_key="kept")
    assert placed.status == 202

    supervisor = clone.run.supervisor()
    assert supervisor
    processes.send(supervisor, signal.SIGKILL)
    assert clone.is_empty(PATIENCE), clone.left()

    code, said = clone.do("quickstart up")

    assert code == 0, said
    assert gateway(clone).get(f"{ORDERS}/{placed.body['id']}").body["id"] == placed.body["id"]
    assert clone.do("quickstart down") == (0, "Stopped.\n")
    assert clone.left() == []
    assert clone.do("quickstart down") == (0, "Nothing runs here.\n")
    assert (clone.run.path / "secrets.json").exists()
