"""The page of the stream is true: its messages, tables and programs are tried against the code."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from marketdata.ticks import Tick
from opitios.core.config import Config, Timers
from streaming import buffer, pace, protocol, server
from streaming.backlog import MAX_EVENTS
from streaming.frames import Close, Frame
from streaming.protocol import WORDS, Code, Refusal
from tests.docs.pages import ROOT, page
from tests.streaming import market
from tests.streaming.conftest import account, own_stream, stream, token
from tests.support.until import until

__all__ = ("account", "own_stream", "stream", "token")

PAGE = "docs/streams.md"
_BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)
_ERROR = re.compile(r"^\| (\d+) \| ([a-z ]+) \| .+ \| (.+) \|$", re.MULTILINE)
_CLOSE = re.compile(r"^\| (\d{4}) \| .+ \| .+ \|$", re.MULTILINE)
# Ends that the server gives, not we: a frame too long, a restart (libraries.md).
OF_THE_SERVER = {1009, 1012}


def texts() -> Iterator[Any]:
    """Every JSON value of the page, one after the other."""
    read = json.JSONDecoder()
    for block in _BLOCK.findall(page(PAGE)):
        rest = block.strip()
        while rest:
            value, end = read.raw_decode(rest)
            yield value
            rest = rest[end:].strip()


def between(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", page(PAGE), re.DOTALL)
    assert found is not None, name
    return found[1]


def program(name: str) -> str:
    """A program of the page."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", page(PAGE), re.DOTALL)
    assert found is not None, name
    return found[1]


COMMANDS = [value for value in texts() if isinstance(value, dict) and "action" in value]
MESSAGES = [one for value in texts() if isinstance(value, list) for one in value]


def the_only(frame: Frame) -> Mapping[str, Any]:
    (message,) = json.loads(frame.text)
    found: Mapping[str, Any] = message
    return found


def written() -> Iterator[Mapping[str, Any]]:
    """What the code writes of each kind but of updates."""
    for word in ("connected", "authenticated", "pong"):
        yield the_only(protocol.success(word))
    yield the_only(protocol.subscription([], []))
    yield the_only(next(iter(protocol.snapshots({"a": 1}))))
    yield the_only(protocol.expiring(60))
    yield the_only(protocol.heartbeat("", {}))
    yield the_only(protocol.status("quotes", feed="iex", state="stale", since="", missing=[]))
    yield protocol.gap("a", 1, protocol.Gap.LOST)
    yield json.loads(protocol.dropped("quotes", 1))
    yield Refusal(Code.NO_SUCH_ACCOUNT, "detail").as_json()
    for channel, body in market.BODIES.items():
        told = Tick(channel, "iex", "AAPL", 0.0, body)
        yield json.loads(protocol.tick(told, now=1.0))


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_what_the_page_writes_is_understood(command: dict[str, Any]) -> None:
    protocol.read_command(json.dumps(command))


def test_what_the_page_shows_is_what_the_code_writes() -> None:
    shapes = {(message["T"], frozenset(message)) for message in written()}
    shown = {(message["T"], frozenset(message)) for message in MESSAGES}
    updates = {each for each in shown if each[0] in {"order", "account"}}

    assert {kind for kind, _ in updates} == {"order", "account"}
    assert shown - updates <= shapes
    # Every kind there is; a contract's trade looks as a stock's.
    assert {kind for kind, _ in shown} == {kind for kind, _ in shapes} | {"order", "account"}


@pytest.mark.django_db
def test_an_update_of_the_page_has_the_keys_of_a_real_one(db: None) -> None:
    from streaming import replay  # noqa: PLC0415
    from tests.streaming import orders  # noqa: PLC0415
    from tests.support.accounts import open_account  # noqa: PLC0415

    mine = open_account()
    orders.whole_life(mine)
    orders.note(mine)
    real = {one["T"]: one for one in replay.messages_after({mine: 3})}

    shown = {one["T"]: one for one in MESSAGES if one["T"] in real}

    for kind, message in shown.items():
        assert message.keys() == real[kind].keys() | {"sent_at"}
    assert shown["order"]["order"].keys() <= real["order"]["order"].keys()
    assert shown["order"]["execution"].keys() == real["order"]["execution"].keys()


def test_every_error_stands_in_the_table_with_its_word() -> None:
    told = {int(code): word.strip() for code, word, _ in _ERROR.findall(between("errors"))}

    assert told == {int(code): word for code, word in WORDS.items()}


def test_every_end_stands_in_the_table() -> None:
    told = {int(code) for code in _CLOSE.findall(between("closes"))}

    assert told == {int(code) for code in Close} | OF_THE_SERVER


def test_the_limits_are_those_of_the_code() -> None:
    limits, timers = between("limits"), Timers()
    replayed = Config.model_fields["stream_replay"].default

    for figure in (
        f"once | {protocol.MAX_SYMBOLS} |",
        f"message | {protocol.MAX_ACCOUNTS:,} |",
        f"second | {pace.MESSAGES_A_SECOND} |",
        f"too | {server.FRAMES_A_SECOND} |",
        f"pieces | 65,536; {server.MAX_FRAGMENTS} |",
        f"| {replayed:,} (`OPITIOS_STREAM_REPLAY`) |",
        f"| {buffer.MAX_FRAMES}, {buffer.MAX_BYTES:,} |",
        f"sign in | {timers.stream_auth:.0f} s |",
    ):
        assert figure in limits
    assert f"last\n{MAX_EVENTS} of a channel" in page(PAGE)
    assert f"Each {timers.stream_heartbeat:.0f} seconds" in page(PAGE)


@pytest.mark.django_db
def test_the_python_program_follows_an_account_across_a_restart(
    own_stream: Any, account: Any, token: Any
) -> None:
    from tests.streaming import orders  # noqa: PLC0415

    mine, served = account(), own_stream()
    signed = token(mine, permissions=("account_read", "market_data"))
    address = f"ws://127.0.0.1:{served.port}/ws/v1/stream"
    told = {"WS_URL": address, "TOKEN_TRADER": signed, "ACCOUNT": mine, "PYTHONUNBUFFERED": "1"}
    lines: list[list[str]] = []
    with subprocess.Popen(  # noqa: S603 - the page's own words
        [sys.executable, "-c", program("python")],
        cwd=ROOT, env=os.environ | told, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        output = process.stdout
        reader = threading.Thread(target=lambda: lines.extend(line.split() for line in output))
        reader.start()
        try:
            until(lambda: any("status" in str(line) for line in lines), seconds=20)
            orders.whole_life(mine)
            until(lambda: len(_numbers(lines, mine)) == 4, seconds=20)
            served.kill()
            orders.whole_life(mine)
            served.start()
            until(lambda: len(_numbers(lines, mine)) == 8, seconds=30)
        finally:
            process.kill()
            reader.join()

    assert _numbers(lines, mine) == list(range(1, 9))
    # What it prints of feeds may come after that.
    assert _about(lines, mine)[-1][2:] == ["fill", "filled"]


def _about(lines: list[list[str]], account_id: str) -> list[list[str]]:
    return [line for line in lines if line[0] == account_id]


def _numbers(lines: list[list[str]], account_id: str) -> list[int]:
    return [int(line[1]) for line in _about(lines, account_id)]
