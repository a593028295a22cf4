"""What a start sees of the pool while it waits: words for the screen, and whether it is ready."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from opitios.management import readiness, startup
from tests.operator.loopback import saying
from tests.operator.stacks import stack_of

WARM = {"summary": {"ready": 5, "accounts": 5}, "processes": [{"streams": 1}]}
LOADING = {"reason": "unavailable", "detail": "The lists of denied tokens are being loaded."}


def seen(root: Path, summary: tuple[int, Any], pool: tuple[int, Any]) -> tuple[str, bool]:
    """Look once at a gateway that answers so."""
    answers = {("GET", readiness.SUMMARY): [summary], ("GET", readiness.POOL): [pool]}
    with saying(answers) as gateway:
        stack = stack_of(root, {"ACCOUNTS": "1"}, api=urlsplit(gateway.url).port or 0)
        return startup.look(stack, "a-token")


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_pool_that_does_not_tell_yet_is_waited_for(tmp_path: Path, status: int) -> None:
    told, is_ready = seen(tmp_path, (200, WARM), (status, LOADING))

    assert (told, is_ready) == (f"the pool answers {status}", False)


def test_sums_that_are_not_told_yet_are_shown_with_the_reason(tmp_path: Path) -> None:
    told, is_ready = seen(tmp_path, (503, LOADING), (200, {}))

    assert told.startswith("the pool answers 503: ")
    assert "being loaded" in told
    assert not is_ready


def test_a_gateway_that_says_no_json_does_not_answer(tmp_path: Path) -> None:
    assert seen(tmp_path, (200, WARM), (200, b"<html>")) == ("the gateway does not answer", False)
