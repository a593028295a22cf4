"""The processes of a demonstration gateway: their settings, commands, accounts and addresses."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opitios.core.embedded import homes, ports, postgres, processes, redis, roles
from opitios.core.embedded.program import Program
from opitios.core.embedded.runfolder import RunFolder, RunSecrets, env_text, write_private
from opitios.management import paper
from opitios.management.asked import Asked

STAFF_USER = "admin"

# Threads that run requests in a web worker; a quarter of them may wait for verdicts (api.md §1).
WEB_THREADS = 32

# Not for our processes: make's own, and what the operator meant for us alone.
_NOT_INHERITED = frozenset(
    {
        *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKE_TERMOUT", "MAKE_TERMERR"),
        *("ACCOUNTS", "DESKS", "API_PORT", "WS_PORT", "SANDBOX_PORT", "STAFF_PASSWORD"),
        *("ALPACA_API_KEY", "ALPACA_SECRET_KEY", "DEBUG"),
        *("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"),
    }
)

_CELERY = ("-m", "celery", "-A", "opitios", "--quiet")
# Look-ups wait for the broker, so a few threads suffice; the rest is talk between workers.
_WORKER = (
    *("--pool", "threads", "--concurrency", "4"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)

_TRADER = "market_data,account_read,trade"
_EVERY_PERMISSION = f"{_TRADER},monitor,operator,admin"

# `mint_token` arguments of the two tokens handed out; both are valid 24 h (design.md §9).
TOKENS = {
    "TOKEN_TRADER": ("--accounts", "account_001", "--permissions", _TRADER, "--sub", "trader"),
    "TOKEN_ADMIN": ("--all", "--permissions", _EVERY_PERMISSION, "--sub", "admin"),
}


@dataclass(frozen=True, slots=True)
class Addresses:
    """The ports a run got."""

    api: int
    ws: int
    sandbox: int
    redis: int

    @classmethod
    def choose(cls, asked: Asked, *, key: str) -> "Addresses":
        """Take the asked ports where they are free, else others."""
        taken: list[int] = []
        for wanted in (asked.api_port, asked.ws_port, asked.sandbox_port, None):
            taken.append(ports.choose(wanted, key=key, avoid=taken))
        return cls(*taken)

    @property
    def api_url(self) -> str:
        """REST and admin."""
        return f"http://{ports.HOST}:{self.api}"

    @property
    def ws_url(self) -> str:
        """The clients' stream."""
        return f"ws://{ports.HOST}:{self.ws}/ws/v1/stream"

    @property
    def sandbox_url(self) -> str:
        """What alpaca-py takes as url_override."""
        return f"http://{ports.HOST}:{self.sandbox}"

    def as_state(self) -> dict[str, int]:
        """The ports as the state file keeps them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stack:
    """A run with everything decided: where it lives, what was asked, which ports it got."""

    run: RunFolder
    asked: Asked
    secrets: RunSecrets
    home: homes.Home
    addresses: Addresses

    @property
    def names(self) -> roles.Names:
        """The logins and the database of this clone."""
        return roles.Names.of(self.run.key)

    @property
    def passwords(self) -> roles.Passwords:
        """The passwords of the two logins."""
        return roles.Passwords(self.secrets.owner, self.secrets.application)

    @property
    def has_own_postgres(self) -> bool:
        """Whether the server comes from the wheel."""
        return self.asked.database_url is None

    @property
    def has_own_redis(self) -> bool:
        """Whether the server comes from the wheel."""
        return self.asked.redis_url is None

    @property
    def server_url(self) -> str:
        """A login that makes the others: the operator's, or the superuser of our own server."""
        return self.asked.database_url or postgres.url(self.home, self.secrets.postgres)

    @property
    def redis_url(self) -> str:
        """The operator's Redis, or our own."""
        return self.asked.redis_url or redis.url(self.addresses.redis, self.secrets.redis)

    def database_urls(self) -> tuple[str, str]:
        """The application's and the owner's URL."""
        if self.asked.database_owner_url:
            return self.server_url, self.asked.database_owner_url
        names, passwords = self.names, self.passwords
        logins = ((names.application, passwords.application), (names.owner, passwords.owner))
        application, owner = (
            roles.login_url(self.server_url, user=user, password=word, database=names.database)
            for user, word in logins
        )
        return application, owner

    def settings(self) -> dict[str, str]:
        """What every process of the gateway is told; the owner's login is not part of it."""
        jwt_key = {"kid": "demo", "alg": "HS256", "key": self.secrets.jwt_key, "fleet": True}
        return {
            "SECRET_KEY": self.secrets.secret_key,
            "DATABASE_URL": self.database_urls()[0],
            "REDIS_URL": self.redis_url,
            "OPITIOS_MASTER_KEYS": f"k1:{self.secrets.master_key}",
            "OPITIOS_JWT_KEYS": json.dumps([jwt_key]),
            "OPITIOS_ENVIRONMENT_NAME": "demo",
            "OPITIOS_DEMO": "true",
            # Two ports make two origins: the admin's page must be told of the stream's.
            "OPITIOS_STREAM_URL": self.addresses.ws_url,
            "OPITIOS_ACCOUNTS_FILE": str(self.accounts_file),
            # Our own sandbox takes 1000 sockets at once; a broker is not to be rushed so.
            "OPITIOS_TIMERS__STREAM_SPREAD": "2.0",
        }

    @property
    def accounts_file(self) -> Path:
        """What is imported, and what `POST accounts/reload` reads again."""
        return self.run.path / "accounts.yaml"

    def write_settings(self) -> None:
        """Write what `manage.py` reads when it is run by hand in this clone."""
        owner = {"DATABASE_OWNER_URL": self.database_urls()[1]}
        write_private(self.run.settings, env_text(self.settings() | owner))

    def environment(self, role: str, name: str, **more: str) -> dict[str, str]:
        """The environment of a process: the operator's own, and our settings over it.

        It reads no file: `.run/settings.env` also names the owner's login.
        """
        told = {
            "OPITIOS_ROLE": role,
            "OPITIOS_PROCESS": name,
            "OPITIOS_ENV_FILE": os.devnull,
            "OPITIOS_YAML_FILE": os.devnull,
            "PYTHONUNBUFFERED": "1",
        }
        return inherited(self.run) | self.settings() | told | more

    def servers(self) -> list[Program]:
        """Postgres and Redis, as far as they are ours."""
        environment = inherited(self.run)
        found = []
        if self.has_own_postgres:
            log = self.run.log("postgres")
            found.append(postgres.program(self.home, log=log, environment=environment))
        if self.has_own_redis:
            program = redis.program(
                self.home,
                config=self.run.path / "redis.conf",
                log=self.run.log("redis"),
                port=self.addresses.redis,
                password=self.secrets.redis,
                environment=environment,
            )
            found.append(program)
        return found

    def sandbox(self) -> Program:
        """The stand-in for Alpaca. It learns no secret of ours."""
        data = ("--data", str(self.run.path / "sandbox"))
        argv = ("-m", "sandbox", *_listen(self.addresses.sandbox), *data)
        return self._process("sandbox", argv, inherited(self.run), seconds=5)

    def gateway(self) -> list[Program]:
        """The gateway's processes, in the order they start; they stop in the opposite one."""
        stream = stream_command(self.addresses.ws)
        return [
            *(self._desk(f"desk-{number}") for number in range(1, self.asked.desks + 1)),
            self._process("stream-1", stream, self.environment("stream", "stream-1"), seconds=28),
            self._process("web-1", self._web(), self._web_environment(), seconds=15),
        ]

    def afterwards(self) -> list[Program]:
        """The processes that the gateway is ready without.

        Desks do the work of the retry path while it is away, and without the live feed prices are
        asked for. They start when the rest is ready, so that two cores are not shared by even more
        imports.
        """
        market = self.environment("market", "market-1")
        worker, beat = self.environment("worker", "worker-1"), self.environment("beat", "beat-1")
        return [
            self._process("market-1", ("manage.py", "listen_market"), market, seconds=10),
            self._process("worker-1", (*_CELERY, "worker", *_WORKER), worker, seconds=15),
            self._process("beat-1", (*_CELERY, "beat"), beat, seconds=5),
        ]

    def command(self, name: str, *arguments: str, **more: str) -> Program:
        """A `manage.py` command that runs once, with the settings of the run."""
        environment = self.environment("none", name, **more)
        return self._process(name, ("manage.py", *arguments), environment, seconds=5)

    def handout(self, tokens: Mapping[str, str]) -> dict[str, str]:
        """What `.run/opitios.env` says (design.md §9)."""
        return {
            "API_URL": self.addresses.api_url,
            "WS_URL": self.addresses.ws_url,
            "ADMIN_URL": f"{self.addresses.api_url}/admin/",
            "SANDBOX_URL": self.addresses.sandbox_url,
            "STAFF_USER": STAFF_USER,
            "STAFF_PASSWORD": self.secrets.staff,
            **tokens,
        }

    def write_accounts(self) -> str:
        """Write the accounts of the run as YAML and return the file's path."""
        has_paper = bool(self.asked.alpaca_keys)
        text = accounts_yaml(
            self.asked.accounts, url=self.addresses.sandbox_url, has_paper=has_paper
        )
        write_private(self.accounts_file, text)
        return str(self.accounts_file)

    def _desk(self, name: str) -> Program:
        # One that is asked to stop sends what it has claimed and hands its leases on.
        return self._process(
            name, ("manage.py", "desk"), self.environment("desk", name), seconds=28
        )

    def _web(self) -> tuple[str, ...]:
        return web_command(self.addresses.api, workers=web_workers(), threads=WEB_THREADS)

    def _web_environment(self) -> dict[str, str]:
        # A connection for each thread and a few for loops: nobody waits for somebody else's.
        more = {
            "OPITIOS_WEB_THREADS": str(WEB_THREADS),
            "OPITIOS_DATABASE_POOL_MAX": str(WEB_THREADS + 4),
        }
        return self.environment("web", "web-1", **more)

    def _process(
        self, name: str, argv: tuple[str, ...], environment: dict[str, str], *, seconds: float
    ) -> Program:
        return Program(
            name=name,
            argv=(sys.executable, *argv),
            folder=self.run.root,
            log=self.run.log(name),
            environment=environment,
            stops=((signal.SIGTERM, seconds),),
        )


def inherited(run: RunFolder) -> dict[str, str]:
    """The operator's environment as far as it is for our processes, and the mark of this clone."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return kept | {processes.MARK: run.key}


def web_workers() -> int:
    """Half the machine's cores, from one to four: desk, Postgres and sandbox need the others."""
    return min(4, max(1, (os.cpu_count() or 1) // 2))


def web_command(port: int, *, workers: int, threads: int) -> tuple[str, ...]:
    """The arguments of Python that serve REST and admin; how much a client may send, and when."""
    # HTTP/1 alone: where it also looks for HTTP/2, who says nothing is never cut off.
    spoken = ("--interface", "wsgi", "--http", "1", "--no-ws")
    # A head that is not there in time is cut off, and so is a connection that idles for so long
    # (milliseconds). nginx must close its own idle ones sooner: deploy/nginx.conf.
    head = ("--http1-header-read-timeout", "10000", "--http1-buffer-size", "32768")
    run = ("--workers", str(workers), "--blocking-threads", str(threads))
    respawn = ("--respawn-failed-workers", "--respawn-interval", "0.2")
    # A thread that reads a body that never comes would keep the server from ending.
    stop = ("--workers-kill-timeout", "10")
    words = (*spoken, *_listen(port), *head, *run, *respawn, *stop)
    return ("-m", "granian", *words, "opitios.wsgi:application")


def stream_command(port: int) -> tuple[str, ...]:
    """The arguments of Python that serve clients' sockets, and how much one of them may take."""
    bounded = ("--http", "streaming.server:HandshakeProtocol", "--ws-max-size", "65536")
    spoken = ("--ws", "streaming.server:StreamProtocol", "--ws-per-message-deflate", "false")
    # reliability.md §2.2: who does not answer for so long, in seconds, is gone.
    alive = ("--ws-ping-interval", "20", "--ws-ping-timeout", "30")
    # Whose X-Forwarded-For is believed is our setting (TRUSTED_PROXIES), not uvicorn's.
    quiet = ("--no-access-log", "--no-server-header", "--no-proxy-headers")
    stop = ("--timeout-graceful-shutdown", "25")
    words = (*_listen(port), *bounded, *spoken, *alive, *quiet, *stop)
    return ("-m", "uvicorn", *words, "opitios.asgi:application")


def account_ids(count: int) -> list[str]:
    """The trading accounts of a run: account_001 …, three digits at least."""
    return [f"account_{number:03d}" for number in range(1, count + 1)]


def accounts_yaml(count: int, *, url: str, has_paper: bool = False) -> str:
    """Write the account file of a run: `count` trading accounts, and those that carry data.

    has_paper: and the operator's own (paper.py).
    """
    types = dict.fromkeys(account_ids(count), "trading")
    types |= {"master": "master", "data_001": "data", "data_002": "data", "backup_001": "backup"}
    # JSON is YAML: no quoting rules of our own.
    entries = [_entry(account_id, kind, url) for account_id, kind in types.items()]
    entries += [paper.entry()] if has_paper else []
    return "accounts:\n" + "".join(f"  - {json.dumps(entry)}\n" for entry in entries)


def _entry(account_id: str, kind: str, url: str) -> dict[str, Any]:
    keys = {
        "api_key": f"SANDBOX_{account_id}",
        "secret_key": f"sandbox-secret-{account_id}",
    }
    return {
        "account_id": account_id,
        "account_type": kind,
        "environment": "sandbox",
        "url": url,
        "alpaca_credentials": keys,
    }


def _listen(port: int) -> tuple[str, ...]:
    return ("--host", ports.HOST, "--port", str(port))
