"""What the trading room's tests share. Models are imported late: Django is set up after this."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from opitios.broker.alpaca.transport import TransportTimers
from tests.support.sandbox_process import SandboxProcess

if TYPE_CHECKING:
    from tests.trading.desks import RunningDesk
    from tests.trading.sending import Step


@pytest.fixture
def account(db: None) -> str:
    """An account of the test's own, whose broker nobody is."""
    from tests.support.accounts import open_account  # noqa: PLC0415

    return open_account()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A broker that fills within milliseconds."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        process.pin_price("AAPL", "187.20", "187.21")
        yield process


@pytest.fixture
def trading_account(db: None, sandbox: SandboxProcess) -> str:
    """An account of the test's own at the sandbox."""
    from tests.support.accounts import open_account  # noqa: PLC0415

    sandbox.clear_faults()
    return open_account(url=sandbox.url)


@pytest.fixture
def calls() -> TransportTimers:
    """How long the broker is waited for; a test of silence is parametrised with SHORT."""
    from tests.trading.desks import CALLS  # noqa: PLC0415

    return CALLS


@pytest.fixture
def desk(trading_account: str, calls: TransportTimers) -> Iterator["RunningDesk"]:
    """A desk at work for that account alone."""
    from tests.trading.desks import running_desk  # noqa: PLC0415

    with running_desk(trading_account, calls=calls) as running:
        yield running


@pytest.fixture
def step(trading_account: str, calls: TransportTimers) -> Iterator["Step"]:
    """Sending at the sandbox, step by step."""
    from tests.trading.sending import Rests, Step, pooled  # noqa: PLC0415

    account, transport = pooled(trading_account, calls)
    yield Step(account, Rests())
    transport.close()
