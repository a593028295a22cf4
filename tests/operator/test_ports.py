"""A run takes the ports it is asked for, and others where those are taken."""

import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from opitios.core.embedded import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((ports.HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_free_port_is_taken_as_asked() -> None:
    # Ours by now, and outside of those that the system gives to whoever connects.
    wanted = ports.choose(None, key=secrets.token_hex(3))

    assert ports.choose(wanted, key="ab12") == wanted
    assert not ports.listens(wanted)


def test_a_taken_port_is_replaced_by_a_free_one(taken: int) -> None:
    chosen = ports.choose(taken, key="ab12")

    assert chosen != taken
    assert ports.is_free(chosen)
    assert ports.listens(taken)


def test_no_port_is_given_twice_in_a_run() -> None:
    first = ports.choose(None, key="ab12")

    assert ports.choose(None, key="ab12", avoid={first}) != first


def test_a_clone_gets_the_same_port_again() -> None:
    assert ports.choose(None, key="ab12") == ports.choose(None, key="ab12")


def test_two_that_start_at_once_do_not_get_the_same_port() -> None:
    first = ports.choose(None, key="cd34")
    ask = f"from opitios.core.embedded import ports; print(ports.choose({first}, key='cd34'))"

    told = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", ask], capture_output=True, check=True, text=True, timeout=60
    )

    # Nobody listens there yet.
    assert ports.is_free(first)
    assert int(told.stdout) != first
