"""`make up`: ready when it returns, refused with other settings, healed when something dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from opitios.core.embedded import ports, processes
from opitios.core.embedded.program import SETTLED_SECONDS
from opitios.management.gateway import Gateway
from tests.operator.clone import Clone
from tests.support.crowd import Stopwatch
from tests.support.until import until

PORTS = ("api", "ws", "sandbox", "redis")
PROGRAMS = (
    *("postgres", "redis", "sandbox", "desk-1", "web-1", "stream-1"),
    *("market-1", "worker-1", "beat-1"),
)

pytestmark = [pytest.mark.journeys, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone that is up with three trading accounts."""
    clone = Clone(tmp_path_factory.mktemp("clone"), ACCOUNTS="3")
    try:
        code, said = clone.do("quickstart up")
        assert code == 0, said
        yield clone
    finally:
        clone.remove()


def pool(clone: Clone) -> dict[str, object]:
    handout = clone.handout
    answer = Gateway(handout["API_URL"], handout["TOKEN_ADMIN"]).get("/api/v1/pool")
    assert answer.status == 200
    return dict(answer.body["summary"])


def test_when_it_returns_every_client_is_warm(clone: Clone) -> None:
    assert pool(clone)["ready"] == pool(clone)["accounts"] == 3 + 4


def test_the_handout_is_private_and_every_address_in_it_answers(clone: Clone) -> None:
    handout = clone.handout

    assert clone.run.handout.stat().st_mode & 0o777 == 0o600
    for name in ("API_URL", "ADMIN_URL", "SANDBOX_URL"):
        assert requests.get(handout[name], timeout=60, allow_redirects=False).status_code < 500
    token = {"Authorization": f"Bearer {handout['TOKEN_TRADER']}"}
    url = f"{handout['API_URL']}/api/v1/accounts"
    known = requests.get(f"{url}/account_001/orders", headers=token, timeout=60)
    other = requests.get(f"{url}/account_002/orders", headers=token, timeout=60)
    assert (known.status_code, other.status_code) == (200, 404)


def test_the_same_again_is_fine_and_makes_fresh_tokens(clone: Clone) -> None:
    before = clone.handout
    supervisor = clone.run.supervisor()

    code, said = clone.do("quickstart up")

    after = clone.handout
    assert code == 0, said
    assert clone.run.supervisor() == supervisor
    assert after["TOKEN_TRADER"] != before["TOKEN_TRADER"]
    assert {k: v for k, v in after.items() if not k.startswith("TOKEN")} == {
        k: v for k, v in before.items() if not k.startswith("TOKEN")
    }


def test_other_settings_are_refused_and_named(clone: Clone) -> None:
    before = clone.run.handout.read_bytes()

    code, said = clone.do("quickstart up", ACCOUNTS="4")

    assert code == 2
    assert "ACCOUNTS is 3 there and 4 here" in said
    assert clone.run.handout.read_bytes() == before


def test_a_second_run_beside_it_is_refused(clone: Clone) -> None:
    code, said = clone.do("quickstart run")

    assert code == 2
    assert "running already (started by `make up`)" in said


def test_doctor_finds_nothing_wrong(clone: Clone) -> None:
    code, said = clone.do("doctor")

    assert code == 0, said
    assert "wrong" not in said


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_process_is_there_again_within_a_second(clone: Clone, name: str) -> None:
    # One that had just been started would wait a little longer.
    first = until(lambda: settled(clone, name))

    with Stopwatch() as took:
        processes.send(first, signal.SIGKILL)
        until(lambda: clone.pid(name) not in {0, first})

    assert took.is_within(1.0), took


def settled(clone: Clone, name: str) -> int:
    """The process of a program that has run for a while; 0 while there is none.

    One may end with the neighbour that was killed before it, and be started again.
    """
    pid = clone.pid(name)
    return pid if pid and age(pid) > SETTLED_SECONDS + 0.1 else 0


def age(pid: int) -> float:
    """How many seconds ago a process was started; 0 where it is gone."""
    try:
        began = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        return 0.0
    return float(Path("/proc/uptime").read_text().split()[0]) - began / os.sysconf("SC_CLK_TCK")


def test_after_every_kill_it_is_whole_again(clone: Clone) -> None:
    # All at one moment, and never process 0: that is this test's own group.
    for pid in [until(lambda name=name: settled(clone, name)) for name in PROGRAMS]:  # type: ignore[misc]
        processes.send(pid, signal.SIGKILL)

    # Before it is worth a doctor's time.
    until(lambda: all(ports.listens(clone.port(name)) for name in PORTS), seconds=60)
    until(lambda: clone.do("doctor")[0] == 0, seconds=60)
    assert pool(clone)["ready"] == 3 + 4
