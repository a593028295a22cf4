"""Market data through two real web processes: one call for all of them, and an account lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from marketdata.rows import AGAIN_SHARE, FRESH_OPEN
from opitios.core import clock
from tests.marketdata.gateways import Gateway, gateway

pytestmark = [pytest.mark.journeys, pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

REQUESTS = 500
# Where the broker keeps somebody waiting who has an older answer, that is shown.
SOURCES = {"broker", "cache", "stale"}
AWAY = "redis://127.0.0.1:1/0"
QUOTES = "GET /v2/stocks/quotes/latest"


@pytest.fixture
def shared(_django_db_helper: None, tmp_path: Path) -> Iterator[Gateway]:
    with ExitStack() as stack:
        yield gateway(tmp_path, stack)


def test_500_requests_for_one_cold_symbol_make_one_call_and_an_account_may_be_lost(
    shared: Gateway,
) -> None:
    warm = shared.ask("stocks/quote/SPY", "stocks/quote/SPY")

    answers, calls, most = asked_for_a_cold_symbol(shared)

    assert {status for status, _ in (*warm, *answers)} == {200}
    assert {body["source"] for _, body in answers} <= SOURCES
    assert 1 <= calls <= most * (2 if shared.lost_redis() else 1)

    shared.sandbox.fault("401", account=shared.accounts[0], route="*", times=0)
    lost = shared.ask(*[f"stocks/quote/{symbol}" for symbol in ("F", "GM", "T", "VZ", "KO", "PEP")])
    assert {status for status, _ in lost} == {200}


def asked_for_a_cold_symbol(asked: Gateway) -> tuple[list[tuple[int, Any]], int, float]:
    """Ask so often; what was answered, how many calls that made, and how many one asker makes.

    A quote is fresh for a second, and refreshed a little before its end, whoever still sees it.
    """
    before, began = asked.calls(QUOTES), clock.monotonic()
    answers = asked.ask(*["stocks/quote/AAPL"] * REQUESTS)
    seconds = clock.monotonic() - began
    return answers, asked.calls(QUOTES) - before, 1 + seconds / (FRESH_OPEN * AGAIN_SHARE)


@pytest.mark.usefixtures("_django_db_helper")
def test_without_redis_500_requests_for_one_cold_symbol_make_one_call_a_process(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        alone = gateway(tmp_path, stack, REDIS_URL=AWAY)
        alone.ask("stocks/quote/SPY", "stocks/quote/SPY")

        answers, calls, most = asked_for_a_cold_symbol(alone)

        assert {status for status, _ in answers} == {200}
        assert {body["source"] for _, body in answers} <= SOURCES
        assert 2 <= calls <= 2 * most
