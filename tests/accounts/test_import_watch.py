"""`--watch` imports at each change, once the writer is done; what is wrong changes nothing."""

from pathlib import Path

from accounts.roster.watching import Watch
from tests.accounts.rosters import GOOD, write


def settled(watch: Watch) -> bool:
    """Look until a change could have been told: two looks."""
    return any([watch.look(), watch.look()])


def test_the_file_is_told_once_at_the_start_and_once_a_change(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    watch = Watch(path)

    assert settled(watch)
    assert not settled(watch)

    write(tmp_path, GOOD + "# more\n")
    assert settled(watch)
    assert not settled(watch)


def test_a_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    watch = Watch(path)
    settled(watch)

    for end in range(40, len(GOOD), 40):
        path.write_text(GOOD[:end])
        assert not watch.look()

    path.write_text(GOOD)
    assert settled(watch)


def test_a_replaced_file_and_a_turned_link_are_changes(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    watches = [Watch(path), Watch(link)]
    assert [settled(watch) for watch in watches] == [True, True]

    write(tmp_path, GOOD, "fresh.yaml").replace(path)
    assert [settled(watch) for watch in watches] == [True, True]

    turned = tmp_path / "turned.yaml"
    turned.symlink_to(write(tmp_path, GOOD, "other.yaml"))
    turned.replace(link)
    assert [settled(watch) for watch in watches] == [False, True]


def test_a_key_file_that_the_file_names_is_followed_too(tmp_path: Path) -> None:
    keys = '{api_key: "env:A", secret_key: "file:secrets/a"}'
    path = write(
        tmp_path, GOOD.replace('{api_key: "SANDBOX_A", secret_key: "sandbox-secret-A"}', keys)
    )
    watch = Watch(path)
    assert settled(watch)

    (tmp_path / "secrets").mkdir()
    write(tmp_path / "secrets", "first", "a")
    assert settled(watch)
    write(tmp_path / "secrets", "another", "a")
    assert settled(watch)
    assert not settled(watch)


def test_a_file_that_goes_and_comes_is_told_each_time(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    watch = Watch(path)
    settled(watch)

    path.unlink()
    assert settled(watch)
    assert not settled(watch)
    write(tmp_path, GOOD)
    assert settled(watch)


def test_a_mode_that_was_corrected_is_a_change(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    watch = Watch(path)
    settled(watch)

    path.chmod(0o600)
    assert settled(watch)


def test_what_could_not_be_done_is_told_again(tmp_path: Path) -> None:
    watch = Watch(write(tmp_path, GOOD))
    assert settled(watch)

    watch.again()

    assert watch.look()
    assert not watch.look()


def test_a_missing_file_is_told_as_one(tmp_path: Path) -> None:
    assert settled(Watch(tmp_path / "absent.yaml"))
