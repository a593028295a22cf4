"""Data accounts take turns; one that does not answer is passed over."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from opitios.broker.errors import (
    AccessDenied,
    BrokerError,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Refused,
    Throttled,
)
from tests.broker.loopback import Behaviour, answering, http, resetting
from tests.marketdata.brokers import DENIED, quoting

SYMBOLS = ["A", "B", "C", "D", "E", "F"]
QUOTING = quoting(*SYMBOLS)
THROTTLED = answering(http(429, {"message": "too many requests."}))
BROKEN = answering(http(502, b"<html>Bad Gateway</html>"))
NO_PLAN = answering(http(403, {"message": "subscription does not permit querying recent SIP data"}))


def read(fleet: Any, *symbols: str) -> list[str]:
    """Ask for each symbol; where each answer came from."""
    sources = fleet.sources()
    return [fleet.quote(symbol, sources=sources)["source"] for symbol in symbols]


def test_data_accounts_take_turns_and_the_others_are_left_alone(
    fleet_of: Callable[..., Any],
) -> None:
    fleet = fleet_of(data_001=[QUOTING], data_002=[QUOTING], master=[QUOTING], backup_001=[QUOTING])

    read(fleet, *SYMBOLS)

    assert fleet.asked() == {"data_001": 3, "data_002": 3, "master": 0, "backup_001": 0}


def test_without_data_accounts_the_master_serves(fleet_of: Callable[..., Any]) -> None:
    fleet = fleet_of(master=[QUOTING], backup_001=[QUOTING])

    read(fleet, *SYMBOLS)

    assert fleet.asked() == {"master": 6, "backup_001": 0}


@pytest.mark.parametrize("failing", [DENIED, THROTTLED, BROKEN, resetting, NO_PLAN])
def test_an_account_that_fails_is_passed_over(
    fleet_of: Callable[..., Any], failing: Behaviour
) -> None:
    fleet = fleet_of(data_001=[failing], backup_001=[QUOTING])

    assert read(fleet, "A") == ["broker"]

    assert fleet.asked() == {"data_001": 1, "backup_001": 1}


def test_an_account_that_is_not_reached_is_passed_over(fleet_of: Callable[..., Any]) -> None:
    fleet = fleet_of(data_001=[QUOTING], data_002=[QUOTING])
    fleet.brokers["data_001"].close()

    assert read(fleet, "A", "B") == ["broker", "broker"]

    assert fleet.asked() == {"data_001": 0, "data_002": 2}


def test_a_refused_key_is_not_tried_at_every_question(fleet_of: Callable[..., Any]) -> None:
    fleet = fleet_of(data_001=[DENIED], data_002=[QUOTING])

    read(fleet, *SYMBOLS)

    assert fleet.asked() == {"data_001": 1, "data_002": 6}


def test_resting_accounts_are_still_asked_when_there_are_no_others(
    fleet_of: Callable[..., Any],
) -> None:
    fleet = fleet_of(data_001=[THROTTLED, QUOTING])

    sources = fleet.sources()
    with pytest.raises(Exception, match="throttled"):
        fleet.quote("A", sources=sources)

    assert fleet.quote("A", sources=sources)["source"] == "broker"


def test_what_no_account_would_answer_is_asked_once(fleet_of: Callable[..., Any]) -> None:
    malformed = answering(http(400, {"message": "code=400, message=bad request"}))
    fleet = fleet_of(data_001=[malformed], data_002=[malformed])

    with pytest.raises(Exception, match="bad request"):
        read(fleet, "A")

    assert sum(fleet.asked().values()) == 1


def test_sandbox_prices_are_never_taken_where_a_real_account_is(
    fleet_of: Callable[..., Any],
) -> None:
    fleet = fleet_of(data_001=[QUOTING])
    paper = fleet.add("backup_001", [BROKEN], environment="paper")

    try:
        with pytest.raises(Exception, match="No data account got a quote"):
            read(fleet, "A")
    finally:
        paper.close()

    assert fleet.asked() == {"data_001": 0, "backup_001": 1}


def test_while_the_accounts_are_loaded_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from marketdata import routing  # noqa: PLC0415
    from opitios.core.errors import Problem, Reason  # noqa: PLC0415

    monkeypatch.setattr(routing, "get_pool", lambda: SimpleNamespace(is_loaded=False))

    with pytest.raises(Problem) as caught:
        routing.Router(routing.pool_accounts).in_turn()

    assert caught.value.reason is Reason.UNAVAILABLE


def _error(kind: type[BrokerError], status: int | None, **more: Any) -> BrokerError:
    return kind(message="no", http_status=status, **more)


@pytest.mark.parametrize(
    ("error", "another"),
    [
        (_error(AccessDenied, 401), True),
        (_error(Throttled, 429), True),
        (_error(NotSent, None, reason="no-connection"), True),
        (_error(NotSent, None, reason="no-slot"), True),
        (_error(OutcomeUnknown, 502, reason="http-5xx"), True),
        (_error(OutcomeUnknown, None, reason="timeout"), True),
        (_error(Refused, 403), True),
        (_error(Refused, 400), False),
        (_error(Refused, 422), False),
        (_error(NotFound, 404), False),
    ],
)
def test_which_failures_are_the_accounts(error: BrokerError, another: bool) -> None:
    from marketdata.routing import may_another_answer  # noqa: PLC0415

    assert may_another_answer(error) is another
