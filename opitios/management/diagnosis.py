"""What `doctor` looks at: each check says what it found, and what to do where that is not good."""

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from opitios.core.embedded import ports, processes, redis
from opitios.core.embedded.roles import OLDEST_VERSION
from opitios.core.embedded.runfolder import RunFolder, read_env
from opitios.management import readiness
from opitios.management.gateway import Gateway, NoAnswerError
from opitios.management.stack import inherited
from opitios.management.state import READY, State
from opitios.management.supervision import leftovers

# Postgres stops taking writes on a full disk; half a day of busy trading fits into this. Bytes.
DISK_BYTES = 1024**3

# What a database must say for an acknowledged order to survive a crash.
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")

# Design law 2: the application reads the journal and appends through one function only.
JOURNAL = "accounts_journalentry"

# How many accounts are named when some are not ready.
NAMED = 5


class Level(StrEnum):
    """How a check ended; `wrong` makes the exit code 1."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    check: str
    level: Level
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The same as an object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Patient:
    """A clone as it is now. `settings` are those of its last run, else the environment's."""

    run: RunFolder
    settings: dict[str, str]
    state: State | None
    supervisor: int | None

    @classmethod
    def of(cls, root: Path) -> "Patient":
        """Look at a clone. Raises RunFolderError where its files are damaged."""
        run = RunFolder(root)
        settings = read_env(run.settings) or dict(os.environ)
        state = State.read(run) if run.path.exists() else None
        return cls(run, settings, state, run.supervisor())


def examine(patient: Patient) -> Iterator[Finding]:
    """Every check that makes sense for what is there, the ground before what stands on it."""
    yield from (machine(), disk(patient), *files(patient), supervisor(patient))
    if patient.supervisor is None and not patient.settings.get("DATABASE_URL"):
        return
    yield from programs(patient)
    yield from database(patient)
    yield redis_server(patient)
    if patient.supervisor is not None:
        yield pool(patient)


def machine() -> Finding:
    """Whether the wheels fit this machine and this Python."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return Finding("machine", Level.OK, found)
    return Finding(
        "machine", Level.WRONG, found, "Linux on x86-64 runs natively; else use compose."
    )


def disk(patient: Patient) -> Finding:
    """Whether the data have room."""
    free = shutil.disk_usage(patient.run.root).free
    found = f"{free / 1024**3:.1f} GiB free at {patient.run.root}"
    if free >= DISK_BYTES:
        return Finding("disk", Level.OK, found)
    return Finding(
        "disk", Level.WRONG, found, "Free some space: on a full disk nothing is accepted."
    )


def files(patient: Patient) -> Iterator[Finding]:
    """Whether the secrets of the run are readable by their user alone."""
    run = patient.run
    secret = (run.path / "secrets.json", run.path / "accounts.yaml", run.settings, run.handout)
    for path in filter(Path.exists, secret):
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            found = f"{path.name} has mode {mode:o}: others may read it"
            yield Finding("files", Level.WRONG, found, f"chmod 600 {path}; then change its keys.")
    if run.path.exists() and run.path.stat().st_uid != os.geteuid():
        found = f".run belongs to user {run.path.stat().st_uid}"
        yield Finding("files", Level.WRONG, found, "Run as that user, or let it `make clean`.")


def supervisor(patient: Patient) -> Finding:
    """Whether somebody looks after the processes, and whether all of them are looked after."""
    if patient.supervisor is not None:
        how = "make run" if patient.state and patient.state.foreground else "make up"
        phase = patient.state.phase if patient.state else "starting"
        found = f"{how} (process {patient.supervisor}): {phase}"
        return Finding("supervisor", Level.OK if phase == READY else Level.NOTE, found)
    left = leftovers(patient.run)
    if left:
        found = f"nobody looks after processes {left}"
        return Finding("supervisor", Level.WRONG, found, "make down ends them.")
    return Finding("supervisor", Level.NOTE, "nothing runs here", "make up")


def programs(patient: Patient) -> Iterator[Finding]:
    """Whether each process of the run lives and each port has a listener."""
    if patient.supervisor is None or patient.state is None:
        return
    for name, pid in patient.state.programs.items():
        alive = pid is not None and processes.is_alive(pid)
        remedy = "" if alive else f"It is started again; why it ends: make logs S={name}"
        level = Level.OK if alive else Level.WRONG
        yield Finding(name, level, f"process {pid}" if alive else "does not run", remedy)
    for name in ("api", "ws", "sandbox"):
        port = patient.state.addresses.get(name)
        if port is not None and not _listens(port):
            remedy = f"Wait for its process, or: make logs S={_PROCESS_OF[name]}"
            yield Finding(f"port {port}", Level.WRONG, f"nobody listens ({name})", remedy)


_PROCESS_OF = {"api": "web", "ws": "stream", "sandbox": "sandbox"}


def database(patient: Patient) -> Iterator[Finding]:
    """Whether Postgres answers, is new and durable enough, migrated, and closed to the application."""
    url = patient.settings.get("DATABASE_URL", "")
    try:
        with psycopg.connect(url, connect_timeout=3, autocommit=True) as connection:
            yield _version(connection)
            yield _durability(connection)
            yield _migrations(patient)
            yield _grants(connection)
    except psycopg.Error as error:
        level = Level.NOTE if patient.supervisor is None else Level.WRONG
        remedy = "make up" if patient.supervisor is None else "make logs S=postgres"
        yield Finding("postgres", level, f"does not answer: {_first_line(error)}", remedy)


def redis_server(patient: Patient) -> Finding:
    """Whether Redis answers; without it pushes are slower and nothing is lost."""
    if redis.answers(patient.settings.get("REDIS_URL", "redis://127.0.0.1:6379/0")):
        return Finding("redis", Level.OK, "answers")
    if patient.supervisor is None:
        return Finding("redis", Level.NOTE, "does not answer", "make up")
    return Finding("redis", Level.WRONG, "does not answer", "make logs S=redis")


def pool(patient: Patient) -> Finding:
    """Whether every account is warm and listens, by the gateway's own word."""
    handout = read_env(patient.run.handout)
    if not handout:
        return Finding("pool", Level.NOTE, "the run is not ready yet", "make logs S=supervisor")
    try:
        answer = Gateway(handout["API_URL"], handout["TOKEN_ADMIN"]).get(readiness.POOL)
    except NoAnswerError as error:
        return Finding("pool", Level.WRONG, str(error), "make logs S=web")
    if "accounts" not in answer.body:
        remedy = "Tokens last 24 h: make up makes new ones."
        return Finding("pool", Level.WRONG, f"answers {answer.status}", remedy)
    bad = [row for row in answer.body["accounts"] if row["state"] not in ("ready", "disabled")]
    if not bad:
        return Finding(
            "pool", Level.OK, f"{len(answer.body['accounts'])} accounts, none in trouble"
        )
    named = ", ".join(f"{row['account_id']} {row['state']}" for row in bad[:NAMED])
    return Finding("pool", Level.WRONG, f"{len(bad)} not ready: {named}", "make logs S=desk")


def _version(connection: psycopg.Connection[TupleRow]) -> Finding:
    found = f"version {connection.info.parameter_status('server_version')}"
    if connection.info.server_version >= OLDEST_VERSION:
        return Finding("postgres", Level.OK, found)
    return Finding("postgres", Level.WRONG, found, "Postgres 15 or newer is needed.")


def _durability(connection: psycopg.Connection[TupleRow]) -> Finding:
    off = [name for name in DURABLE if _setting(connection, name) == "off"]
    if not off:
        return Finding("durability", Level.OK, ", ".join(DURABLE))
    remedy = "Switch it on: without it an accepted order can be lost in a crash."
    return Finding("durability", Level.WRONG, f"off: {', '.join(off)}", remedy)


def _setting(connection: psycopg.Connection[TupleRow], name: str) -> object:
    found = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    return found[0] if found else None


def _migrations(patient: Patient) -> Finding:
    environment = inherited(patient.run) | patient.settings
    checked = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--check"],
        cwd=patient.run.root,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if checked.returncode == 0:
        return Finding("migrations", Level.OK, "all applied")
    found = (checked.stderr.strip().splitlines() or ["some are not applied"])[-1]
    return Finding("migrations", Level.WRONG, found, "manage.py migrate (make up does it)")


def _grants(connection: psycopg.Connection[TupleRow]) -> Finding:
    too_much = _too_much(connection)
    if not too_much:
        return Finding("grants", Level.OK, f"{connection.info.user} cannot write the journal")
    found = f"{connection.info.user} {', '.join(too_much)}"
    remedy = "Give processes a login that owns nothing; manage.py migrate sets its rights."
    return Finding("grants", Level.WRONG, found, remedy)


def _too_much(connection: psycopg.Connection[TupleRow]) -> list[str]:
    role = connection.execute(
        "SELECT rolsuper FROM pg_roles WHERE rolname = current_user AND rolsuper"
    ).fetchone()
    table = connection.execute("SELECT to_regclass(%s)", [JOURNAL]).fetchone()
    if table is None or table[0] is None:
        return ["finds no journal"]
    verbs: Iterable[str] = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
    may = [verb for verb in verbs if _may(connection, verb)]
    return [*(["is a superuser"] if role else []), *(f"may {verb} the journal" for verb in may)]


def _may(connection: psycopg.Connection[TupleRow], verb: str) -> bool:
    found = connection.execute("SELECT has_table_privilege(%s, %s)", [JOURNAL, verb]).fetchone()
    return found == (True,)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((ports.HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
