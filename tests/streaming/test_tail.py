"""`manage.py tail` beside a real stream process: as a client, with truthful exit codes."""

import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from opitios.core import clock
from opitios.management.commands.tail import follow
from opitios.management.tail import wishes
from opitios.management.tail.follower import Bounds, Follower
from opitios.management.tail.source import Source
from opitios.management.tail.views import PlainView, TerminalView, View
from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import ROOT, StreamProcess
from tests.support.crowd import patient
from tests.support.until import until

pytestmark = pytest.mark.django_db

Account = Callable[[], str]
Start = Callable[..., "subprocess.Popen[str]"]
PATIENCE = 20.0


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[Start]:
    """Start the command as a process of its own, its two outputs in files."""
    started: list[subprocess.Popen[str]] = []

    def start(process: StreamProcess, token: str, *words: str) -> "subprocess.Popen[str]":
        address = f"ws://127.0.0.1:{process.port}/ws/v1/stream"
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            begun = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "manage.py", "tail", "--url", address, *words],
                cwd=ROOT,
                env={**os.environ, "OPITIOS_TOKEN": token},
                stdout=out,
                stderr=err,
                text=True,
            )
        started.append(begun)
        return begun

    yield start
    for process in started:
        process.kill()
        process.wait()


def said(tmp_path: Path, name: str) -> str:
    return (tmp_path / name).read_text()


def ended(stream: StreamProcess, token: str, bounds: Bounds, **words: str) -> tuple[int, list[str]]:
    """Follow in this process; the exit code and every line."""
    told: list[str] = []
    view = PlainView(told.append, told.append)
    return follow(follower(stream, token, bounds, view, **words), view), told


def _nobody(folder: Path, port: int) -> StreamProcess:
    process = StreamProcess(folder)
    process.port = port
    return process


def follower(
    stream: StreamProcess, token: str, bounds: Bounds, view: View, *, orders: str = ""
) -> Follower:
    address = f"ws://127.0.0.1:{stream.port}/ws/v1/stream"
    source = Source(Path("/nowhere"), {"OPITIOS_TOKEN": token}, address)
    asked = wishes.read(orders=orders, quotes="", trades=False, after="")
    return Follower(source, asked, view, bounds)


def test_it_prints_each_message_as_it_came_also_across_a_restart_until_it_is_interrupted(
    own_stream: Callable[..., StreamProcess], account: Account, token: Token, tail: Start,
    tmp_path: Path,
) -> None:  # fmt: skip
    """G19 as its user sees it: what happened while nobody served is not missing afterwards."""
    mine, stream = account(), own_stream()
    process = tail(stream, token(mine), "--orders", mine, "--json")
    until(lambda: "snapshot" in said(tmp_path, "out"), seconds=PATIENCE)

    orders.whole_life(mine)
    until(lambda: said(tmp_path, "out").count('"T":"order"') == 4, seconds=PATIENCE)
    stream.kill()
    orders.whole_life(mine)
    stream.start()
    until(lambda: said(tmp_path, "out").count('"T":"order"') == 8, seconds=PATIENCE)
    process.send_signal(signal.SIGINT)

    assert process.wait(patient(PATIENCE)) == 0
    messages = [json.loads(line) for line in said(tmp_path, "out").splitlines()]
    told = [message for message in messages if message["T"] == "order"]
    assert [message["seq"] for message in told] == list(range(1, 9))
    assert "following again, from where it was" in said(tmp_path, "err")
    assert "Traceback" not in said(tmp_path, "err")


def test_it_ends_with_the_count_and_says_so_where_it_did_not_come(
    stream: StreamProcess, account: Account, token: Token
) -> None:
    mine = account()

    # As long as a crowded machine needs to let it in.
    longer = (0.3 * 2**tried for tried in itertools.count())
    until(lambda: ended(stream, token(mine), Bounds(seconds=next(longer)), orders=mine)[0] == 0)
    assert ended(stream, token(mine), Bounds(count=1, seconds=0.3), orders=mine)[0] == 1


@pytest.mark.parametrize(("word", "why"), [("none.of.it", "not valid"), ("", "no token")])
def test_who_may_not_in_is_told_why_and_not_again(
    stream: StreamProcess, account: Account, word: str, why: str
) -> None:
    code, told = ended(stream, word, Bounds(seconds=PATIENCE), orders=account())

    assert code == 1
    assert why in told[-1]


def test_an_account_that_is_not_the_tokens_ends_it(
    stream: StreamProcess, account: Account, token: Token
) -> None:
    code, told = ended(stream, token(account()), Bounds(seconds=PATIENCE), orders=account())

    assert code == 1
    assert "no such account" in told[-1]


def test_where_nobody_listens_it_does_not_wait(tmp_path: Path) -> None:
    # Held, and not listened on: nobody else gets it meanwhile.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]

        code, told = ended(_nobody(tmp_path, port), "a.b.c", Bounds(), orders="a_1")

    assert code == 1
    assert "nothing answers" in told[-1]


def test_a_terminal_shows_updates_above_a_line_of_figures(
    stream: StreamProcess, account: Account, token: Token
) -> None:
    mine = account()
    screen = io.StringIO()
    view = TerminalView(Console(file=screen, width=160, force_terminal=True), "a stream")
    quote = {"T": "q", "S": "AAPL", "bp": 187.2, "bs": 1, "ap": 187.21, "as": 2}
    view.show(quote, clock.now())
    asked = follower(stream, token(mine), Bounds(count=4, seconds=PATIENCE), view, orders=mine)
    with ThreadPoolExecutor(1) as aside:
        code = aside.submit(follow, asked, view)
        until(lambda: asked.was_in, seconds=PATIENCE)
        orders.whole_life(mine)
        assert code.result(patient(PATIENCE)) == 0

    shown = screen.getvalue()
    assert "filled" in shown
    assert "187.21" in shown
    assert "4 updates" in shown
