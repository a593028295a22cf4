"""A run is ready when the pool says so: every client warm, every trade socket listening."""

from typing import Any

import pytest

from opitios.management.readiness import Expected, Glance, judge

EXPECTED = Expected(accounts=3, trading=frozenset({"account_001", "account_002"}), web_workers=1)


def row(
    account_id: str,
    state: str = "ready",
    stream: str | None = "listening",
    owner: str | None = "desk-1",
) -> dict[str, Any]:
    told = stream and {"state": stream, "owner": owner}
    return {"account_id": account_id, "state": state, "stream": told}


def pool(*rows: dict[str, Any], web: int = 3) -> dict[str, Any]:
    processes = [{"name": "desk-1", "warm": 3}, {"name": "web-1:4711", "warm": web}]
    return {"accounts": list(rows), "processes": processes}


GOOD = (row("account_001"), row("account_002"), row("master", stream="connecting"))


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
        pool(*(row(each["account_id"], owner=None) for each in GOOD)),
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
        "no desk owns anything",
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


@pytest.mark.parametrize(
    ("owners", "ready"),
    [
        (("desk-1", "desk-1", "desk-1", "desk-1"), False),
        (("desk-1", "desk-1", "desk-1", "desk-2"), False),
        (("desk-1", "desk-1", "desk-2", None), False),
        (("desk-1", "desk-1", "desk-2", "desk-2"), True),
    ],
    ids=["one has all", "one has more", "one is nobody's", "shared"],
)
def test_two_desks_are_ready_when_they_share_evenly(
    owners: tuple[str | None, ...], *, ready: bool
) -> None:
    names = [f"account_{number:03d}" for number in range(1, 5)]
    rows = [row(name, owner=owner) for name, owner in zip(names, owners, strict=True)]
    expected = Expected(accounts=4, trading=frozenset(names), web_workers=1, desks=2)

    found = judge(pool(*rows, web=4), expected)

    assert found.is_ready is ready
    assert "of 2 desks at work, " in str(found)


def test_a_glance_reads_the_sums_alone() -> None:
    processes = [
        {"name": "desk-1", "streams": 3},
        {"name": "desk-2", "streams": 2},
        {"name": "web"},
    ]
    glance = Glance.of({"summary": {"ready": 4, "accounts": 6}, "processes": processes})

    assert glance.ready == 4
    assert str(glance) == "4 of 6 accounts warm, 5 trade sockets"


def test_a_glance_tells_of_the_live_feed_where_somebody_listens() -> None:
    standing_by = {"name": "market-2", "feed": feed(0, 0, None)}
    processes = [{"name": "market-1", "feed": feed(4, 12, 250)}, standing_by]
    summary = {"ready": 4, "accounts": 6}

    told = str(Glance.of({"summary": summary, "processes": processes}))

    assert told.endswith(", 4 data sockets with 12 symbols, last tick 0.2 s ago")
    assert "data" not in str(Glance.of({"summary": summary, "processes": [standing_by]}))


def feed(sockets: int, symbols: int, age: int | None) -> dict[str, int | None]:
    return {"sockets": sockets, "symbols": symbols, "last_tick_age_ms": age}
