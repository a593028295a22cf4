"""A start that cannot succeed says why, exits with an error, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operator.clone import Clone

pytestmark = [pytest.mark.journeys, pytest.mark.timeout(1800)]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    clone = Clone(tmp_path, ACCOUNTS="1")
    yield clone
    clone.remove()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"ACCOUNTS": "1001"}, "ACCOUNTS='1001' is not a whole number from 1 to 1000"),
        ({"DATABASE_URL": "mysql://u:pass-word@h/d"}, "DATABASE_URL does not begin with"),
        ({"DATABASE_OWNER_URL": "postgresql://h/d"}, "DATABASE_OWNER_URL is set without"),
    ],
)
def test_a_bad_setting_starts_nothing(clone: Clone, settings: dict[str, str], why: str) -> None:
    code, said = clone.do("quickstart up", **settings)

    assert code == 1
    assert why in said
    assert "pass-word" not in said
    assert not clone.run.path.exists()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"REDIS_URL": "redis://:pass-word@127.0.0.1:9/0"}, "the Redis of REDIS_URL does not"),
        ({"DATABASE_URL": "postgresql://u:pass-word@127.0.0.1:9/d"}, "does not answer"),
    ],
)
def test_a_server_that_does_not_answer_is_named(
    clone: Clone, settings: dict[str, str], why: str
) -> None:
    code, said = clone.do("quickstart up", **settings)

    assert code == 1
    assert why in said
    assert "pass-word" not in said
    assert clone.left() == []
    assert not clone.run.handout.exists()


def test_a_step_that_fails_shows_the_end_of_its_log(clone: Clone) -> None:
    broken = clone.run.root / "accounts" / "models.py"
    broken.write_text("raise RuntimeError('broken on purpose')\n")

    code, said = clone.do("quickstart up")

    assert code == 1
    assert "prepare failed (exit code 1)" in said
    assert "broken on purpose" in said
    assert clone.left() == []


def test_a_broken_gateway_can_still_be_stopped_and_examined(clone: Clone) -> None:
    (clone.run.root / "opitios" / "settings.py").write_text("raise RuntimeError\n")

    assert clone.do("quickstart down") == (0, "Nothing runs here.\n")
    assert clone.do("doctor")[0] == 0
