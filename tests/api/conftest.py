"""What the API's tests share. Models are imported late: Django is set up after this."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

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


@pytest.fixture
def still(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process count its limits alone, by a clock that stands still.

    However long a test takes, it earns no permit meanwhile: Redis' clock would give it some.
    """
    from opitios.core import clock  # noqa: PLC0415 - Django is set up after this file
    from opitios.core.admission import get_admission  # noqa: PLC0415
    from opitios.core.permits import Permits, RedisStore  # noqa: PLC0415
    from tests.support.manage import NOWHERE  # noqa: PLC0415

    instant = clock.monotonic()
    nobody = RedisStore(NOWHERE.redis_url, namespace="still")
    monkeypatch.setattr(get_admission(), "permits", Permits(nobody, now=lambda: instant))


@pytest.fixture
def process(db: None) -> Iterator[Any]:
    """Write the row of a process of the test's own; all of them go with the test."""
    from accounts.models import ProcessRow  # noqa: PLC0415 - Django is set up after this file
    from opitios.core import clock  # noqa: PLC0415

    made: list[str] = []

    def write(role: str, snapshot: dict[str, Any], *, seconds_ago: float = 0.0) -> str:
        name = f"{role}-{uuid4().hex[:8]}"
        now = clock.now()
        ProcessRow.objects.create(
            name=name, role=role, pid=7, started_at=now - timedelta(hours=2),
            seen_at=now - timedelta(seconds=seconds_ago), snapshot=snapshot,
        )  # fmt: skip
        made.append(name)
        return name

    yield write
    ProcessRow.objects.filter(name__in=made).delete()
