"""What the API's tests share. Models are imported late: Django is set up after this."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.sandbox_process import SandboxProcess

if TYPE_CHECKING:
    from tests.api.calls import Api


@pytest.fixture
def api(db: None) -> "Api":
    """An account of the test's own, and a token that may trade it."""
    from tests.api.calls import Api  # noqa: PLC0415

    return Api.open()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A broker that answers."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
def there(db: None, sandbox: SandboxProcess) -> "Api":
    """An account of the test's own at that broker, which nothing is wrong with."""
    from tests.api.calls import Api  # noqa: PLC0415

    sandbox.clear_faults()
    return Api.open(url=sandbox.url)
