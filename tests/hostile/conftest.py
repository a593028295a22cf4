"""What the corpus shares. Models are imported late: Django is set up after this."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_django import DjangoDbBlocker

from tests.admin.conftest import signed_in, superuser
from tests.api.conftest import api, there
from tests.broker.conftest import broker_that, credentials, transport
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

if TYPE_CHECKING:
    from tests.hostile.wire import Target
    from tests.trading.desks import RunningDesk

__all__ = [
    "api", "broker_that", "credentials", "signed_in", "superuser", "there",
    "transport",
]  # fmt: skip


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A broker whose prices stand still."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        process.pin_price("AAPL", "187.20", "187.21")
        yield process


@pytest.fixture(scope="package")
def target(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator["Target"]:
    """The web process under granian, started as an operator's is, that knows an account."""
    from tests.api import processes  # noqa: PLC0415
    from tests.api.calls import Api  # noqa: PLC0415
    from tests.hostile.wire import Target, head  # noqa: PLC0415

    with django_db_blocker.unblock():
        api = Api.open()
    with processes.web(tmp_path_factory.mktemp("web")) as origin:
        found = Target(origin, api.account, api.token)
        asked = head("GET", found.orders, found.bearer)
        until(lambda: found.exchange(asked)[0].status == 200)
        yield found


@pytest.fixture
def desk(there: object) -> Iterator["RunningDesk"]:
    """A desk at work for that account alone."""
    from tests.api.calls import Api  # noqa: PLC0415
    from tests.trading.desks import running_desk  # noqa: PLC0415

    assert isinstance(there, Api)
    with running_desk(there.account) as running:
        yield running
