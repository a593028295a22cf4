"""A sandbox process for tests that need one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox_process import SandboxProcess


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path / "books", measured=True) as process:
        yield process
