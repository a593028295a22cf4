"""What the corpus shares. Models are imported late: Django is set up after this."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.api.conftest import api, statements, there
from tests.support.sandbox_process import SandboxProcess

if TYPE_CHECKING:
    from tests.trading.desks import RunningDesk

__all__ = ["api", "statements", "there"]

# What failed is told in full, there too.
pytest.register_assert_rewrite("tests.hostile.corpus")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A broker whose prices stand still."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        process.pin_price("AAPL", "187.20", "187.21")
        yield process


@pytest.fixture
def desk(there: object) -> Iterator["RunningDesk"]:
    """A desk at work for that account alone."""
    from tests.api.calls import Api  # noqa: PLC0415
    from tests.trading.desks import running_desk  # noqa: PLC0415

    assert isinstance(there, Api)
    with running_desk(there.account) as running:
        yield running
