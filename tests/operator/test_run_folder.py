"""`.run` keeps what a run needs, readable by its user alone."""

import os
from pathlib import Path

import pytest

from opitios.core.embedded.runfolder import (
    RunFolder,
    RunFolderError,
    env_text,
    read_env,
    write_private,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.prepare()
    return folder


def test_secrets_are_made_once_and_kept(run: RunFolder) -> None:
    first = run.secrets()

    assert run.secrets() == first
    assert len({*first.__slots__}) == len({getattr(first, name) for name in first.__slots__})


def test_secrets_and_settings_are_readable_by_their_user_alone(run: RunFolder) -> None:
    run.secrets()
    write_private(run.settings, "A=1\n")

    modes = [path.stat().st_mode & 0o777 for path in (run.path / "secrets.json", run.settings)]

    assert modes == [0o600, 0o600]
    assert run.logs.stat().st_mode & 0o777 == 0o700


def test_a_damaged_file_is_named_and_left_alone(run: RunFolder) -> None:
    path = run.path / "secrets.json"
    path.write_text('{"owner": ')

    with pytest.raises(RunFolderError, match=r"secrets\.json is damaged"):
        run.secrets()

    assert path.read_text() == '{"owner": '


def test_the_folder_of_another_user_is_refused(run: RunFolder, as_root: None) -> None:
    os.chown(run.path, 65534, 65534)

    with pytest.raises(RunFolderError, match="belongs to user 65534"):
        run.prepare()


def test_a_replaced_file_is_whole_and_leaves_nothing_beside_it(run: RunFolder) -> None:
    write_private(run.handout, "A=1\n")

    write_private(run.handout, "A=2\n")

    assert run.handout.read_text() == "A=2\n"
    assert [path.name for path in run.path.iterdir() if "opitios.env" in path.name] == [
        "opitios.env"
    ]


def test_settings_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    values = {"PLAIN": "abc-1", "URL": "postgresql://a:b@/c?host=/tmp", "JSON": '[{"kid":"$x #y"}]'}
    path = tmp_path / "some.env"
    path.write_text(env_text(values))

    assert read_env(path) == values


@pytest.mark.parametrize("value", ["two\nlines", "a quote'", "nul\0"])
def test_a_value_an_env_file_cannot_carry_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="NAME"):
        env_text({"NAME": value})


def test_two_clones_have_two_keys(tmp_path: Path) -> None:
    keys = {RunFolder(tmp_path / name).key for name in ("a", "b")}

    assert len(keys) == 2
    assert all(len(key) == 12 and int(key, 16) >= 0 for key in keys)
