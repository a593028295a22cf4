"""A data account's calls are counted against its plan; nobody is told 429 for it (R4, R21)."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from opitios.broker.budget import Budget, Lane
from opitios.core import clock
from tests.marketdata.brokers import quoting

QUOTING = quoting("A", "B", "C", "D")


def allow(fleet: Any, account_id: str, calls: int) -> None:
    """Let an account make so many calls a minute, all of which it has now."""
    [account] = [each for each in fleet.accounts if each.account_id == account_id]
    account.guard.data_budget = Budget(per_minute=calls, reserve=0)


def symbols_of(target: str) -> list[str]:
    """Whom a call asked for."""
    [symbols] = parse_qs(urlsplit(target).query)["symbols"]
    return symbols.split(",")


def test_an_account_that_has_used_up_its_calls_is_asked_last(
    fleet_of: Callable[..., Any],
) -> None:
    fleet = fleet_of(data_001=[QUOTING], data_002=[QUOTING])
    allow(fleet, "data_001", 1)
    allow(fleet, "data_002", 100)
    sources = fleet.sources()

    told = [fleet.quote(symbol, sources=sources)["source"] for symbol in "ABCD"]

    assert told == ["broker"] * 4
    assert fleet.asked() == {"data_001": 1, "data_002": 3}


def test_used_up_calls_fail_over_to_the_backup(fleet_of: Callable[..., Any]) -> None:
    fleet = fleet_of(data_001=[QUOTING], backup_001=[QUOTING])
    allow(fleet, "data_001", 1)
    sources = fleet.sources()

    for symbol in "AB":
        fleet.quote(symbol, sources=sources)

    assert fleet.asked() == {"data_001": 1, "backup_001": 1}


def test_a_call_that_is_free_in_a_moment_is_waited_for(fleet_of: Callable[..., Any]) -> None:
    fleet = fleet_of(data_001=[QUOTING])
    allow(fleet, "data_001", 240)
    sources = fleet.sources()
    budget = fleet.accounts[0].guard.data_budget
    while budget.take(Lane.DATA, clock.monotonic()) == 0.0:
        pass

    assert fleet.quote("A", sources=sources)["source"] == "broker"


def test_when_all_calls_are_used_up_the_last_answer_is_shown_else_it_is_503(
    fleet_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from marketdata import rows  # noqa: PLC0415 - Django is set up by now
    from opitios.core.errors import Problem  # noqa: PLC0415

    fleet = fleet_of(data_001=[QUOTING])
    allow(fleet, "data_001", 1)
    monkeypatch.setattr(rows, "FRESH_OPEN", 0.0)
    sources = fleet.sources()
    first = fleet.quote("A", sources=sources)

    again = fleet.quote("A", sources=sources)
    with pytest.raises(Problem) as refused:
        fleet.quote("B", sources=sources)

    assert (first["source"], again["source"], again["bp"]) == ("broker", "stale", first["bp"])
    assert refused.value.status == 503
    assert "used up its calls" in refused.value.detail
    assert refused.value.retry_after_seconds is not None
    assert 1 <= refused.value.retry_after_seconds <= 60
    assert fleet.asked() == {"data_001": 1}


def test_what_is_asked_for_all_the_time_is_refreshed_in_one_call(
    later: Callable[[float], None], fleet_of: Callable[..., Any]
) -> None:
    from marketdata import kinds  # noqa: PLC0415 - Django is set up by now

    fleet = fleet_of(data_001=[QUOTING])
    latest = fleet.sources().latest(kinds.QUOTES)
    latest.many(["A", "B", "C"], "iex")

    for _ in range(5):
        later(0.6)
        for symbol in "ABC":
            latest.one(symbol, "iex")

    targets = [request.target for request in fleet.brokers["data_001"].requests]
    # Fresh for a second: at 0, 1.2 and 2.4 s one of the three is old, and takes the others along.
    assert [sorted(symbols_of(target)) for target in targets] == [["A", "B", "C"]] * len(targets)
    assert len(targets) == 3
