"""The gateway's processes as a test may treat them: killed, frozen, asked to end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from accounts.models import Account
from opitios.core import clock
from opitios.core.embedded import ports, processes
from opitios.management.stack import web_command
from tests.api.calls import GOOD
from tests.api.processes import DESK, ROOT, WEB_THREADS
from tests.support.accounts import token
from tests.support.orders import soon
from tests.support.until import until

# These only end a hang.
START_SECONDS = 60.0
STOP_SECONDS = 120.0
CALL_SECONDS = 60.0


def patient_order() -> dict[str, object]:
    """A market order that may be sent for minutes: on a crowded machine, too, it does not lapse."""
    about = {"type": "market", "limit_price": None, "not_after": clock.rfc3339(soon(250))}
    return {**GOOD, **about}


class Node:
    """One process in a session of its own, started at once."""

    def __init__(
        self, role: str, arguments: tuple[str, ...], folder: Path, settings: Mapping[str, str]
    ) -> None:
        self.name = f"{role}-{os.urandom(3).hex()}"
        self.log = folder / f"{self.name}.log"
        told = {"OPITIOS_ROLE": role, "OPITIOS_PROCESS": self.name}
        environment = os.environ | dict(settings) | told
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def freeze(self) -> None:
        """Stop its clock, so to speak: it does nothing until `thaw`, and knows nothing of it."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL it and everything it started."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def ask_to_end(self) -> None:
        """SIGTERM it."""
        self._process.terminate()

    def ended(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; the exit code, or minus the signal."""
        return self._process.wait(seconds)

    def threads(self) -> int:
        """How many threads it and its children run now."""
        pids = [self.pid, *processes.children_of(self.pid)]
        return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)

    def most_memory(self) -> int:
        """The most bytes of memory it ever held at one time (its own, not its children's)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])


class Web(Node):
    """A server of the API on a port of its own."""

    def __init__(self, folder: Path, port: int | None = None, **settings: str) -> None:
        self.port = port or ports.choose(None, key=os.urandom(3).hex())
        command = web_command(self.port, workers=1, threads=WEB_THREADS)
        told = {"OPITIOS_WEB_THREADS": str(WEB_THREADS), **settings}
        super().__init__("web", command, folder, told)

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        """Whether it takes orders now."""
        try:
            return requests.get(f"{self.origin}/health/ready", timeout=1).status_code == 200
        except requests.RequestException:
            return False

    def wait_until_ready(self) -> None:
        """Wait until it takes orders."""
        until(self.is_ready, seconds=START_SECONDS)


@contextmanager
def running(*nodes: Node) -> Iterator[None]:
    """Kill what is left of them in the end, whatever state they are in."""
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.kill)
        yield


def desk_node(folder: Path, **settings: str) -> Node:
    """A desk that leases what it can."""
    return Node("desk", DESK, folder, settings)


def listens(*account_ids: str) -> None:
    """Wait until a desk hears the streams of these accounts."""
    hearing = Account.objects.filter(account_id__in=account_ids, state__stream_state="listening")
    until(lambda: hearing.count() == len(account_ids), seconds=START_SECONDS)


class Caller:
    """A client of one account that writes to one web server."""

    def __init__(self, account_id: str, *, bearer: str | None = None) -> None:
        self.account_id = account_id
        self.token = bearer or token([account_id])

    @property
    def path(self) -> str:
        """Where its stock orders go."""
        return f"/api/v1/accounts/{self.account_id}/orders/stocks"

    def headers(self, key: str | None = None) -> dict[str, str]:
        """What every call of it carries."""
        told = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return told if key is None else told | {"Idempotency-Key": key}

    def place(self, web: Web, key: str, body: Mapping[str, object]) -> requests.Response:
        """Place one order. Raises requests.ConnectionError where the server dies meanwhile."""
        return requests.post(
            web.origin + self.path, json=body, headers=self.headers(key), timeout=CALL_SECONDS
        )

    def is_known_to(self, web: Web) -> bool:
        """Whether the server has heard of the account."""
        there = f"{web.origin}/api/v1/accounts/{self.account_id}/orders"
        return requests.get(there, headers=self.headers(), timeout=CALL_SECONDS).ok
