"""A sandbox in a process of its own, for tests that need a broker."""

import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import requests

from tests.support.crowd import patient
from tests.support.measured import unmeasured

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = patient(20.0)
CALL_SECONDS = patient(10.0)
STOP_SECONDS = patient(10.0)


class SandboxProcess:
    """`python -m sandbox` on a free port; a restart keeps port and books.

    Use as a context manager, or `start()` and `stop()`. `options` are further command-line words,
    e.g. `("--market", "closed")`; `measured` is whether coverage counts what it runs.
    """

    def __init__(
        self, data: Path, *, options: tuple[str, ...] = (), port: int = 0, measured: bool = False
    ) -> None:
        self.data = data
        self.port = port
        self._options = options
        self._environment = dict(os.environ) if measured else unmeasured()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """alpaca-py's url_override for trading and data."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream_url(self) -> str:
        """alpaca-py's url_override for TradingStream."""
        return f"ws://127.0.0.1:{self.port}/stream"

    @property
    def pid(self) -> int:
        """The running process."""
        return self._running().pid

    @staticmethod
    def key(account: str) -> str:
        """The account's broker key."""
        return f"SANDBOX_{account}"

    @staticmethod
    def secret(account: str) -> str:
        """The account's broker secret."""
        return f"sandbox-secret-{account}"

    @classmethod
    def headers(cls, account: str) -> dict[str, str]:
        """The account's key as request headers."""
        return {
            "APCA-API-KEY-ID": cls.key(account),
            "APCA-API-SECRET-KEY": cls.secret(account),
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it listens.

        Raises:
            RuntimeError: it ended instead, or took too long; the message has its error output.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sandbox", "--port", str(self.port)]
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [*command, "--data", str(self.data), *self._options],
                cwd=ROOT,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        line = _first_line(self._running())
        if "listening on" not in line:
            self.kill()
            raise RuntimeError(f"the sandbox did not start: {self._errors.read_text()[-2000:]}")
        self.port = int(line.rsplit(":", 1)[1])

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit status (a process already gone: its own)."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again on the same port with the same books."""
        self.start()

    def get(self, path: str, **query: object) -> Any:
        """Ask one of the sandbox's own routes, e.g. `get("health")`."""
        return self._call("GET", path, params=query)

    def post(self, path: str, body: object) -> Any:
        """Turn one of the sandbox's switches, e.g. `post("fills", {"mode": "hold"})`."""
        return self._call("POST", path, json=body)

    def trade(self, account: str, method: str, path: str, **options: Any) -> requests.Response:
        """One call of the broker's API with the account's key, whatever it answers."""
        headers = {**self.headers(account), **options.pop("headers", {})}
        timeout = options.pop("timeout", CALL_SECONDS)
        return requests.request(
            method, f"{self.url}{path}", headers=headers, timeout=timeout, **options
        )

    def ledger(self, **query: object) -> list[dict[str, Any]]:
        """What was really received: filter by account, client_order_id, after, limit."""
        entries: list[dict[str, Any]] = self.get("ledger", **query)["entries"]
        return entries

    def summary(self) -> dict[str, Any]:
        """Counts over the whole ledger."""
        counts: dict[str, Any] = self.get("ledger/summary")
        return counts

    def hold_fills(self, account: str = "*") -> None:
        """Let orders rest as `new` whatever the price."""
        self.post("fills", {"mode": "hold", "account": account})

    def release_fills(self, account: str = "*") -> None:
        """Let orders fill again, the resting ones too."""
        self.post("fills", {"mode": "full", "account": account})

    def pin_price(self, symbol: str, bid: str, ask: str) -> None:
        """Hold a symbol's quote still."""
        self.post("prices", {symbol: {"bid": bid, "ask": ask}})

    def fault(self, fault: str, **how: object) -> Any:
        """Put a fault in force: account, route, when, ms, times."""
        return self.post("faults", {"fault": fault, **how})

    def clear_faults(self) -> None:
        """Lift every fault, and cut the requests that hang."""
        self._call("DELETE", "faults")

    @property
    def _errors(self) -> Path:
        return self.data / "stderr.log"

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the sandbox was not started")
        return self._process

    def _end(self, how: signal.Signals) -> int:
        process = self._running()
        process.send_signal(how)
        try:
            return process.wait(STOP_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            _stdout(process).close()

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = requests.request(
            method, f"{self.url}/sandbox/{path}", timeout=CALL_SECONDS, **options
        )
        answer.raise_for_status()
        return answer.json()


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    if process.stdout is None:
        raise RuntimeError("the process has no pipe")
    return process.stdout


def _first_line(process: subprocess.Popen[str]) -> str:
    """The first line of output; empty where it ended or said nothing in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(_stdout(process), selectors.EVENT_READ)
        return _stdout(process).readline() if selector.select(START_SECONDS) else ""
