"""Market data through two real web processes: one call for all of them, and an account lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.marketdata.gateways import Gateway, gateway

pytestmark = [pytest.mark.journeys, pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

REQUESTS = 500
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
    before = shared.calls(QUOTES)

    answers = shared.ask(*["stocks/quote/AAPL"] * REQUESTS)

    assert {status for status, _ in (*warm, *answers)} == {200}
    assert {body["source"] for _, body in answers} <= {"broker", "cache"}
    # A quote is fresh for a second: whoever comes later than that asks anew.
    times = {body["t"] for _, body in answers}
    assert shared.calls(QUOTES) - before == len(times)

    shared.sandbox.fault("401", account=shared.accounts[0], route="*", times=0)
    lost = shared.ask(*[f"stocks/quote/{symbol}" for symbol in ("F", "GM", "T", "VZ", "KO", "PEP")])
    assert {status for status, _ in lost} == {200}


@pytest.mark.usefixtures("_django_db_helper")
def test_without_redis_500_requests_for_one_cold_symbol_make_one_call_a_process(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        alone = gateway(tmp_path, stack, REDIS_URL=AWAY)
        alone.ask("stocks/quote/SPY", "stocks/quote/SPY")
        before = alone.calls(QUOTES)

        answers = alone.ask(*["stocks/quote/AAPL"] * REQUESTS)

        assert {status for status, _ in answers} == {200}
        # Requests go to the two in turns; each of its quotes is fresh for a second.
        seen = [{body["t"] for _, body in answers[first::2]} for first in (0, 1)]
        assert all(seen)
        # Two that asked in the same fifth of a second were told the same quote.
        assert alone.calls(QUOTES) - before == sum(map(len, seen))
