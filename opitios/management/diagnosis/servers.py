"""Postgres, Redis and the gateway of a clone, asked directly."""

import subprocess  # of our own commands only # nosec B404
import sys
from collections.abc import Iterator

import psycopg
from psycopg.rows import TupleRow

from opitios.core.embedded import redis
from opitios.core.embedded.roles import OLDEST_VERSION
from opitios.core.embedded.runfolder import read_env
from opitios.management import readiness
from opitios.management.diagnosis.finding import Finding, Level, Patient
from opitios.management.gateway import Gateway, NoAnswerError
from opitios.management.stack import inherited

# What a database must say for an acknowledged order to survive a crash.
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")

# Design law 2: the application reads the journal and appends through one function only.
JOURNAL = "accounts_journalentry"

# Who looks up what is unknown; desks do it where they are away.
RETRY_ROLES = ("worker", "beat")

# How many accounts are named when some are not ready.
NAMED = 5


def database(patient: Patient) -> Iterator[Finding]:
    """Whether Postgres answers, is new, durable, migrated, and closed to the application."""
    url = patient.settings.get("DATABASE_URL", "")
    try:
        with psycopg.connect(url, connect_timeout=3, autocommit=True) as connection:
            yield _version(connection)
            yield _durability(connection)
            yield _migrations(patient)
            yield _grants(connection)
            if patient.supervisor is not None:
                yield _retry_path(connection)
    except psycopg.Error as error:
        level = Level.NOTE if patient.supervisor is None else Level.WRONG
        remedy = "make up" if patient.supervisor is None else "make logs S=postgres"
        yield Finding("database", level, f"does not answer: {_first_line(error)}", remedy)


def redis_server(patient: Patient) -> Finding:
    """Whether Redis answers; without it pushes are slower and nothing is lost."""
    if redis.answers(patient.settings.get("REDIS_URL", "redis://127.0.0.1:6379/0")):
        return Finding("hints", Level.OK, "answers")
    if patient.supervisor is None:
        return Finding("hints", Level.NOTE, "does not answer", "make up")
    return Finding("hints", Level.WRONG, "does not answer", "make logs S=redis")


def pool(patient: Patient) -> Finding:
    """Whether every account is warm and listens, by the gateway's own word."""
    handout = read_env(patient.run.handout)
    if not handout:
        return Finding("pool", Level.NOTE, "the run is not ready yet", "make logs S=supervisor")
    try:
        gateway = Gateway(handout["API_URL"], handout["TOKEN_ADMIN"])
        answer = readiness.read_pool(gateway)
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
        return Finding("database", Level.OK, found)
    return Finding("database", Level.WRONG, found, "Postgres 15 or newer is needed.")


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
    checked = subprocess.run(  # our own command, no shell # nosec B603
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


def _retry_path(connection: psycopg.Connection[TupleRow]) -> Finding:
    found = connection.execute(
        "SELECT role, snapshot ->> 'trouble' FROM accounts_processrow"
        " WHERE role = ANY(%s) AND seen_at > clock_timestamp() - interval '15 seconds'",
        [list(RETRY_ROLES)],
    )
    seen: dict[str, str | None] = dict(found.fetchall())
    trouble = [f"no {role}" for role in RETRY_ROLES if role not in seen]
    trouble += [why for why in seen.values() if why]
    if not trouble:
        return Finding("retry path", Level.OK, "worker and beat are at work")
    remedy = "Desks do its work meanwhile. make logs S=worker, make logs S=beat"
    return Finding("retry path", Level.NOTE, ", ".join(trouble), remedy)


def _too_much(connection: psycopg.Connection[TupleRow]) -> list[str]:
    role = connection.execute(
        "SELECT rolsuper FROM pg_roles WHERE rolname = current_user AND rolsuper"
    ).fetchone()
    table = connection.execute("SELECT to_regclass(%s)", [JOURNAL]).fetchone()
    if table is None or table[0] is None:
        return ["finds no journal"]
    may = [verb for verb in ("INSERT", "UPDATE", "DELETE", "TRUNCATE") if _may(connection, verb)]
    return [*(["is a superuser"] if role else []), *(f"may {verb} the journal" for verb in may)]


def _may(connection: psycopg.Connection[TupleRow], verb: str) -> bool:
    found = connection.execute("SELECT has_table_privilege(%s, %s)", [JOURNAL, verb]).fetchone()
    return found == (True,)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
