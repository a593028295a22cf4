"""A run is ready when the pool says so: every client warm, every trade socket listening."""

from typing import Any

import pytest

from opitios.management.readiness import Expected, judge

EXPECTED = Expected(accounts=3, trading=frozenset({"account_001", "account_002"}), web_workers=1)


def row(account_id: str, state: str = "ready", stream: str | None = "listening") -> dict[str, Any]:
    return {"account_id": account_id, "state": state, "stream": stream and {"state": stream}}


def pool(*rows: dict[str, Any], web: int = 3) -> dict[str, Any]:
    processes = [{"name": "desk-1", "warm": 3}, {"name": "web-1:4711", "warm": web}]
    return {"accounts": list(rows), "processes": processes}


GOOD = (row("account_001"), row("account_002"), row("master", stream=None))


def test_all_warm_and_listening_is_ready() -> None:
    assert judge(pool(*GOOD), EXPECTED).is_ready


@pytest.mark.parametrize(
    "answer",
    [
        pool(),
        pool(*GOOD[:2]),
        pool(row("account_001", state="warming"), *GOOD[1:]),
        pool(row("account_001", state="quarantined"), *GOOD[1:]),
        pool(row("account_001", stream="connecting"), *GOOD[1:]),
        pool(row("account_001", stream=None), *GOOD[1:]),
        pool(*GOOD, web=2),
        {**pool(*GOOD), "processes": [{"name": "desk-1", "warm": 3}]},
    ],
    ids=[
        "nothing yet",
        "an account is missing",
        "a client is not warm",
        "a key is refused",
        "a socket connects",
        "an account has no socket",
        "web holds fewer clients",
        "no web process",
    ],
)
def test_anything_less_is_not_ready(answer: dict[str, Any]) -> None:
    assert not judge(answer, EXPECTED).is_ready


def test_accounts_of_an_earlier_larger_run_do_not_count() -> None:
    left = row("account_003", state="disabled", stream=None)

    found = judge(pool(*GOOD, left), EXPECTED)

    assert found.is_ready
    assert found.ready == 3


def test_what_is_missing_is_said_in_numbers() -> None:
    found = judge(pool(row("account_001", stream="connecting"), *GOOD[1:], web=2), EXPECTED)

    assert str(found) == (
        "3 of 3 accounts warm, 1 of 2 trade sockets listening, 0 of 1 web workers warm"
    )
