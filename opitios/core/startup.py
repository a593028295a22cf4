"""Start-up checks: what must be true before a process serves, each with an id and a remedy.

Rooms declare theirs with `of_settings` and `of_database`; docs/checks.md lists all of them. They
are Django's system checks under the tag `startup`: `manage.py check --deploy --tag startup
--database default` runs them by hand, and each serving process runs them before anything else.
"""

import os
import resource
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
import structlog
from django.apps.config import AppConfig
from django.core import checks
from django.core.checks import CheckMessage
from psycopg.rows import TupleRow

from opitios.core import database
from opitios.core.config import Config, get_config

logger = structlog.get_logger("app")

TAG = "startup"

# sysexits.h: the configuration is at fault, and another start changes nothing.
EX_CONFIG = 78

# Where Postgres does not answer at the start, it is asked again so often. Seconds.
RETRY_SECONDS = 1.0

# An operator may accept these (OPITIOS_ACCEPTED_FINDINGS): a network of one's own needs no TLS.
ACCEPTABLE = frozenset(
    {"opitios.E004", "opitios.E005", "opitios.E006", "opitios.E007", "opitios.E009"}
)

Connection = psycopg.Connection[TupleRow]
SettingsCheck = Callable[[Config], Iterable[CheckMessage]]
DatabaseCheck = Callable[[Connection, Config], Iterable[CheckMessage]]

_database_checks: list[DatabaseCheck] = []


class Unreachable(Exception):
    """Postgres could not be asked: nothing is known of it yet."""


def of_settings(check: SettingsCheck) -> SettingsCheck:
    """Declare a check of settings and files."""

    def run(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
        return list(check(get_config()))

    checks.register(run, TAG, deploy=True)
    return check


def of_database(check: DatabaseCheck) -> DatabaseCheck:
    """Declare a check of the database, asked through the login that every process has."""
    _database_checks.append(check)
    return check


def error(number: str, found: str, remedy: str) -> CheckMessage:
    """Make a finding that ends the start."""
    return checks.Error(found, hint=remedy, id=number)


def warning(number: str, found: str, remedy: str) -> CheckMessage:
    """Make a finding that is only told."""
    return checks.Warning(found, hint=remedy, id=number)


@checks.register(TAG, checks.Tags.database, deploy=True)
def check_database(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Run the checks of the database, where Django was asked for that one."""
    if "default" not in (databases or ()):
        return []
    try:
        return database_findings()
    except Unreachable as reason:
        remedy = "Start it, or correct DATABASE_URL; what it must be is judged when it answers."
        return [warning("opitios.W002", f"Postgres does not answer: {reason}", remedy)]


def database_findings() -> list[CheckMessage]:
    """Ask the database, over one connection. Raises Unreachable."""
    config = get_config()
    try:
        with database.unpooled() as connection:
            return [each for check in _database_checks for each in check(connection, config)]
    except psycopg.OperationalError as failed:
        raise Unreachable(_first_line(failed)) from failed


def settings_findings() -> list[CheckMessage]:
    """Run the checks of settings and files."""
    return checks.run_checks(tags=[TAG], include_deployment_checks=True)


def judged(found: Iterable[CheckMessage], config: Config) -> list[CheckMessage]:
    """Turn what the operator accepts into warnings."""
    accepted = ACCEPTABLE.intersection(config.accepted_findings)
    return [
        warning(str(each.id), f"{each.msg} (accepted)", str(each.hint))
        if each.id in accepted
        else each
        for each in found
    ]


class Admission:
    """Whether this process may serve: judged at its start, or as soon as Postgres answers."""

    def __init__(self) -> None:
        # A command serves nobody, and is not asked.
        self.is_granted = get_config().role == "none"

    def seek(self) -> None:
        """Judge now. Raises SystemExit where a finding ends the start, each told in one line."""
        # A core file would hold every key in clear.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._judge(settings_findings())
        try:
            found = database_findings()
        except Unreachable as reason:
            logger.warning("the database is not judged yet", why=str(reason))
            threading.Thread(target=self._seek_later, name="admission", daemon=True).start()
            return
        self._judge(found)
        self.is_granted = True

    def _judge(self, found: Iterable[CheckMessage]) -> None:
        known = judged(found, get_config())
        for each in known:
            say = logger.critical if each.is_serious() else logger.warning
            event = "start refused" if each.is_serious() else "start-up check"
            say(event, id=each.id, found=each.msg, remedy=each.hint)
        if any(each.is_serious() for each in known):
            raise SystemExit(EX_CONFIG)

    def _seek_later(self) -> None:
        pause = threading.Event()
        while not self.is_granted:
            pause.wait(RETRY_SECONDS)
            try:
                self._judge(database_findings())
            except Unreachable:
                continue
            except SystemExit:
                # Of a thread it would end the thread alone. What is under way is found again, as
                # after any other sudden end.
                os._exit(EX_CONFIG)
            self.is_granted = True


admission = Admission()


def _first_line(failed: Exception) -> str:
    return (str(failed).strip().splitlines() or [type(failed).__name__])[0]
