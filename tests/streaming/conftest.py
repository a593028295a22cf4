"""What the streams' tests share. Models are imported late: Django is set up after this file."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tests.streaming import market
from tests.streaming.market import Feed
from tests.streaming.stream_process import Client, StreamProcess

# Timers run at a tenth; half a second to sign in is too little for a loaded machine.
ROOMY = {"OPITIOS_TIMERS__STREAM_AUTH": "10", "OPITIOS_TIMERS__STREAM_HEARTBEAT": "0.5"}

Token = Callable[..., str]


@pytest.fixture(scope="session")
def stream(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StreamProcess]:
    """The stream process that most tests share."""
    with StreamProcess(
        tmp_path_factory.mktemp("stream"), OPITIOS_PROCESS="stream-shared", **ROOMY
    ) as process:
        market.until_heard_by(1)
        yield process


@pytest.fixture
def own_stream(django_db_setup: None, tmp_path: Path) -> Iterator[Callable[..., StreamProcess]]:
    """Start a process of the test's own, with its own settings."""
    started: list[StreamProcess] = []

    def start(**settings: str) -> StreamProcess:
        process = StreamProcess(tmp_path, **(ROOMY | {"OPITIOS_PROCESS": "stream-own"} | settings))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def account(db: None) -> Callable[..., str]:
    """Make an account with an open journal; its id."""
    from accounts.models import Account  # noqa: PLC0415
    from opitios.core import database  # noqa: PLC0415

    def make(*, enabled: bool = True) -> str:
        account_id = f"str-{uuid4().hex[:12]}"
        Account.objects.create(
            account_id=account_id, account_type="trading", environment="sandbox", enabled=enabled
        )
        database.rows("SELECT journal_open(%s)", (account_id,))
        return account_id

    return make


@pytest.fixture
def token() -> Token:
    """Make a token; one that may read orders, unless told otherwise."""
    from accounts.tokens import Grant, mint  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415

    def make(
        *accounts: str,
        everything: bool = False,
        permissions: tuple[str, ...] = ("account_read",),
        sub: str = "bot-7",
        seconds: float = 600,
    ) -> str:
        grant = Grant(
            sub=sub,
            accounts=None if everything else accounts,
            permissions=permissions,
            ttl=timedelta(seconds=seconds),
        )
        return mint(grant, now=clock.now())

    return make


@pytest.fixture
def client(stream: StreamProcess) -> Iterator[Callable[..., Client]]:
    """Open sockets that are closed after the test; `token` signs in by the header."""
    opened: list[Client] = []

    def connect(token: str | None = None, *, to: StreamProcess = stream, **headers: str) -> Client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        socket = to.client(named, token=token)
        opened.append(socket)
        assert socket.hears() == [{"T": "success", "msg": "connected"}]
        if token is not None:
            assert socket.hears() == [{"T": "success", "msg": "authenticated"}]
        return socket

    yield connect
    for socket in opened:
        socket.close()


@pytest.fixture
def feed() -> Iterator[Feed]:
    """A market process that says that all is well."""
    with market.speaking() as speaking:
        yield speaking


@pytest.fixture
def reader(client: Callable[..., Client], token: Token) -> Callable[..., Client]:
    """Open a socket that may read market data."""

    def connect(*accounts: str, **more: StreamProcess) -> Client:
        return client(token(*accounts, permissions=("market_data", "account_read")), **more)

    return connect
