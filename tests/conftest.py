"""Servers for the session, Django on top of them, and a database that really commits.

Each worker has a copy of one migrated database for the whole session. Nothing is flushed or rolled
back between tests (the journal refuses it): a test uses account ids of its own.
"""

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
import hypothesis
import psycopg
import pytest
from psycopg.rows import TupleRow
from pytest_django import DjangoDbBlocker
from pytest_django.plugin import blocking_manager_key

from opitios.core.embedded.homes import HomeError
from opitios.core.embedded.roles import ServerError
from tests.support import environment, measured, services
from tests.support.crowd import patient

# Few tests, and each of them starts, kills and awaits whole processes.
LONG = (
    *(f"tests/{name}/" for name in ("campaigns", "fleet", "matrix", "operator")),
    "tests/hostile/test_secrets_nowhere.py",
    "tests/openapi/test_generated_cases.py",
    "tests/streaming/test_market_journey.py",
    *(f"tests/trading/test_{name}.py" for name in
      ("lifecycles_against_a_model", "the_worker", "without_the_retry_path")),
)  # fmt: skip

# Where real processes are many, and run what processes of other tests run too: nobody measures what
# of the code they reach, for that takes as much time again as they do.
UNMEASURED = tuple(
    f"tests/{name}/"
    for name in ("admin", "campaigns", "deploy", "fleet", "hostile", "marketdata", "matrix")
)

# Helpers that assert, wherever they are imported first.
pytest.register_assert_rewrite("tests.hostile.corpus", "tests.hostile.wire")

# The same examples in each run, however long one takes: neither a neighbour nor chance fails a
# test. New ones are looked for by `make campaigns`.
hypothesis.settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("tests")

SESSION = pytest.StashKey[services.Session]()
SERVERS = pytest.StashKey[services.Servers]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, or join those of the process that started us."""
    # A shell that starts us in the background ignores it for us, and for all that we start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if _worker(config) != "main":
        session: dict[str, str] = config.workerinput["session"]  # type: ignore[attr-defined] # xdist
        config.stash[SESSION] = services.Session(**session)
        return
    if "DJANGO_SETTINGS_MODULE" in os.environ:
        raise pytest.UsageError("unset DJANGO_SETTINGS_MODULE: tests make their own settings.")
    servers = services.Servers(dict(os.environ))
    config.stash[SERVERS] = servers
    try:
        servers.start()
    except (ServerError, HomeError) as error:
        raise pytest.UsageError(str(error)) from error
    if config.getoption("dist", "no") == "no":
        config.stash[SESSION] = servers.session("main")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Set up Django where tests run; after coverage began in this process, before they are read."""
    config = session.config
    if SESSION in config.stash:
        os.environ |= environment.settings(config.stash[SESSION], _worker(config))
        os.environ["DJANGO_SETTINGS_MODULE"] = "opitios.settings"
        django.setup()
        _find_static_files_once()
        _wait_for_connections()
        config.stash[blocking_manager_key].block()


def _find_static_files_once() -> None:
    """Let the test clients share what WhiteNoise found: each looked for 200 files, for 20 ms."""
    from whitenoise.middleware import WhiteNoiseMiddleware  # noqa: PLC0415 - settings exist only now

    find = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, Any] = {}

    def find_once(self: Any) -> None:
        if not found:
            find(self)
            found.update(self.files)
        self.files |= found

    WhiteNoiseMiddleware.add_files_from_finders = find_once


def _wait_for_connections() -> None:
    """Let tests wait for Postgres as a command does; who serves answers 503 after 0.4 s instead."""
    from django.db import connections  # noqa: PLC0415 - settings exist only now

    from opitios.core.database import COMMAND_SECONDS  # noqa: PLC0415 - as above

    connections.settings["default"]["OPTIONS"]["pool"]["timeout"] = patient(COMMAND_SECONDS)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a new xdist worker where the servers are."""
    session = node.config.stash[SERVERS].session(node.gateway.id)
    node.workerinput["session"] = services.as_input(session)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: no worker is to be left alone with one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish() -> None:
    """Look for garbage among what tests make, not among all that was imported for them."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what this process started."""
    if SERVERS in config.stash:
        config.stash[SERVERS].stop()


def _worker(config: pytest.Config) -> str:
    return str(getattr(config, "workerinput", {}).get("workerid", "main"))


@pytest.fixture(scope="session")
def django_db_setup(
    pytestconfig: pytest.Config, django_test_environment: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Make this worker's database when the first test asks for it."""
    from django.db import connections  # noqa: PLC0415 - settings exist only now

    services.make_database(pytestconfig.stash[SESSION], _worker(pytestconfig))
    yield
    from accounts.refusals import get_refusals  # noqa: PLC0415 - as above

    with django_db_blocker.unblock():
        # Now, and not when the interpreter ends: then the servers are gone.
        get_refusals().end()
        connections.close_all()
        for connection in connections.all():
            connection.close_pool()  # type: ignore[attr-defined] # of the Postgres backend


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """What `django_db` means here: real commits on this worker's database, and no flush.

    Replaces pytest-django's, whose TRUNCATE the journal refuses and whose rollback hides the races.
    """
    from django.db import connections  # noqa: PLC0415 - settings exist only now

    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture(scope="module", autouse=True)
def _processes_unmeasured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep coverage out of what the tests of some folders start."""
    told = measured.withhold() if request.node.nodeid.startswith(UNMEASURED) else {}
    yield
    os.environ |= told


@pytest.fixture(autouse=True)
def _garbage_of_this_test() -> Iterator[None]:
    """Collect what a test left: a connection it never closed fails it, and none that comes later.

    What outlives it is not looked at again: it would be, after each of thousands.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _gate_of_this_test_alone() -> None:
    """Begin with no lists: whom one test barred, another lets in."""
    from accounts.gate import get_gate  # noqa: PLC0415 - settings exist only now

    get_gate.cache_clear()


@pytest.fixture(scope="module")
def own_database(
    pytestconfig: pytest.Config, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """A database that no other test of this worker has touched, for what concerns all of it."""
    session, name = pytestconfig.stash[SESSION], f"{_worker(pytestconfig)}_own"
    services.make_database(session, name)
    with django_db_blocker.unblock():
        _use_database(environment.settings(session, name))
        yield
        _use_database(environment.settings(session, _worker(pytestconfig)))
    services.drop_database(session, name)


def _use_database(settings: dict[str, str]) -> None:
    """Let this process, and those it starts, use another database from now on."""
    from django.db import connections  # noqa: PLC0415 - settings exist only now

    from opitios.core.bus import get_bus  # noqa: PLC0415 - as above
    from opitios.core.config import get_config  # noqa: PLC0415 - as above

    connections.close_all()
    for connection in connections.all():
        connection.close_pool()  # type: ignore[attr-defined] # of the Postgres backend
        url = settings["DATABASE_URL"]
        connections.settings[connection.alias]["NAME"] = urlsplit(url).path.lstrip("/")
    os.environ |= {name: settings[name] for name in ("DATABASE_URL", "DATABASE_OWNER_URL")}
    get_config.cache_clear()
    # A bus has its name from the database: whoever kept this one would speak to nobody.
    get_bus.cache_clear()


@pytest.fixture(scope="session")
def server_url(pytestconfig: pytest.Config) -> str:
    """A login of the session's Postgres that may create roles and databases."""
    return pytestconfig.stash[SESSION].server_url


@pytest.fixture(scope="session")
def session_folder(pytestconfig: pytest.Config) -> Path:
    """Where the session's own servers write their logs."""
    return Path(pytestconfig.stash[SESSION].folder)


@pytest.fixture
def owner_connection(django_db_setup: None) -> Iterator[psycopg.Connection[TupleRow]]:
    """The owner's connection to this worker's database, each statement its own transaction."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement this thread sends to Postgres from now on: what a caller could time.

    Other threads have work of their own: refusals are counted and told by one.
    """
    sent: list[str] = []
    here = threading.get_ident()
    execute = psycopg.Cursor.execute

    def counting(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == here:
            sent.append(query.decode() if isinstance(query, bytes) else str(query))
        return execute(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    return sent


@pytest.fixture
def tampered(owner_connection: psycopg.Connection[TupleRow]) -> Callable[[str], None]:
    """Run a statement with every guard of the two journal tables off, as an owner could.

    They stand again as they did: the start-up checks of processes look at them.
    """
    tables = ("accounts_journalentry", "accounts_journalhead")
    guards = (
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger"
        " WHERE tgrelid = ANY(%s::regclass[]) AND tgenabled = 'A'"
    )

    def run(statement: str) -> None:
        with owner_connection.transaction():
            standing = owner_connection.execute(guards, [list(tables)]).fetchall()
            for table in tables:
                owner_connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
            owner_connection.execute(statement.encode())
            for table in tables:
                owner_connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER ALL".encode())
            for table, guard in standing:
                again = f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {guard}"
                owner_connection.execute(again.encode())

    return run


@pytest.fixture
def application_connection(django_db_setup: None) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection as every process has it, each statement its own transaction."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        yield connection
