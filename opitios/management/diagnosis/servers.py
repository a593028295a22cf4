"""Postgres, Redis and the gateway of a clone, asked directly."""

import json
import subprocess  # of our own commands only # nosec B404
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from opitios.core.embedded import redis
from opitios.core.embedded.roles import OLDEST_VERSION
from opitios.core.embedded.runfolder import read_env
from opitios.management import readiness
from opitios.management.diagnosis.finding import Finding, Level, Patient
from opitios.management.gateway import Gateway, NoAnswerError
from opitios.management.stack import inherited

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
            yield _migrations(patient)
            yield from _start_up(patient)
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


def pool(patient: Patient) -> Iterator[Finding]:
    """Whether accounts are warm and listen, and prices come, by the gateway's own word."""
    handout = read_env(patient.run.handout)
    if not handout:
        yield Finding("pool", Level.NOTE, "the run is not ready yet", "make logs S=supervisor")
        return
    try:
        gateway = Gateway(handout["API_URL"], handout["TOKEN_ADMIN"])
        answer = readiness.read_pool(gateway)
    except NoAnswerError as error:
        yield Finding("pool", Level.WRONG, str(error), "make logs S=web")
        return
    if "accounts" not in answer.body:
        remedy = "Tokens last 24 h: make up makes new ones."
        yield Finding("pool", Level.WRONG, f"answers {answer.status}", remedy)
        return
    yield _accounts(answer.body["accounts"])
    yield _feed(answer.body)


def _accounts(rows: Sequence[Mapping[str, Any]]) -> Finding:
    bad = [row for row in rows if row["state"] not in ("ready", "disabled")]
    if not bad:
        return Finding("pool", Level.OK, f"{len(rows)} accounts, none in trouble")
    named = ", ".join(f"{row['account_id']} {row['state']}" for row in bad[:NAMED])
    return Finding("pool", Level.WRONG, f"{len(bad)} not ready: {named}", "make logs S=desk")


def _feed(body: Mapping[str, Any]) -> Finding:
    """Whether data sockets listen; those that are closed are not needed."""
    told = [
        (row["account_id"], kind, socket)
        for row in body["accounts"]
        for kind, socket in (row.get("data_streams") or {}).items()
    ]
    bad = [
        f"{account_id} {kind} {socket['reason'] or socket['state']}"
        for account_id, kind, socket in told
        if socket["state"] not in ("closed", "listening")
    ]
    words = readiness.feed_in_words(body).removeprefix(", ")
    if bad:
        named = "; ".join(bad[:NAMED])
        return Finding("live feed", Level.NOTE, named, "docs/market-data.md says what each means.")
    if not told:
        remedy = "Prices are asked for meanwhile. make logs S=market"
        return Finding("live feed", Level.NOTE, "no market process is at work", remedy)
    return Finding("live feed", Level.OK, words or "its sockets are being opened")


def _version(connection: psycopg.Connection[TupleRow]) -> Finding:
    found = f"version {connection.info.parameter_status('server_version')}"
    if connection.info.server_version >= OLDEST_VERSION:
        return Finding("database", Level.OK, found)
    return Finding("database", Level.WRONG, found, "Postgres 15 or newer is needed.")


def _migrations(patient: Patient) -> Finding:
    checked = _manage(patient, "migrate", "--check")
    if checked.returncode == 0:
        return Finding("migrations", Level.OK, "all applied")
    found = (checked.stderr.strip().splitlines() or ["some are not applied"])[-1]
    return Finding("migrations", Level.WRONG, found, "manage.py migrate (make up does it)")


def _manage(patient: Patient, *command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "manage.py", *command]
    return subprocess.run(  # noqa: S603 - our own command # nosec B603
        arguments,
        cwd=patient.run.root,
        env=inherited(patient.run) | patient.settings,
        check=False,
        capture_output=True,
        text=True,
    )


def _start_up(patient: Patient) -> Iterator[Finding]:
    """What a process of this clone would say at its start (core/startup.py)."""
    asked = _manage(patient, "findings", "--json")
    try:
        found = json.loads(asked.stdout)["findings"]
    except (ValueError, KeyError):
        said = (asked.stderr.strip().splitlines() or ["nothing"])[-1]
        remedy = "Correct the settings that it names (docs/operations.md)."
        yield Finding("start-up", Level.WRONG, f"the checks did not run: {said}", remedy)
        return
    for each in found:
        level = Level.WRONG if each["serious"] else Level.NOTE
        yield Finding(each["id"], level, each["found"], each["remedy"])
    if not found:
        yield Finding("start-up", Level.OK, "every check passes")


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
