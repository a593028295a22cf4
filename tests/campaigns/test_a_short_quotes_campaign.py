"""The quotes campaign's short case: users on hot symbols while data accounts die one by one (R21).

A real web process and a real broker; its judge, too.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.campaigns.quotes import Kill, Minute, judge
from tests.campaigns.users import Crowd, Told, ask_all
from tests.marketdata.gateways import Gateway, gateway
from tests.support.accounts import token
from tests.support.until import until

pytestmark = [pytest.mark.journeys, pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

SECONDS_EACH = 2.0
FAULTS = ("401", "reset", "hang")


@pytest.fixture
def market(_django_db_helper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with ExitStack() as stack:
        yield gateway(tmp_path_factory.mktemp("market"), stack, webs=1)


def strike(market: Gateway, began: list[float]) -> None:
    """Let the accounts die in turns, one after the other came back."""
    pause = threading.Event()
    for number, fault in enumerate(FAULTS):
        victim = market.accounts[number % 2]
        pause.wait(SECONDS_EACH / 2)
        began.append(time.time())
        market.sandbox.fault(fault, account=victim, route="*", times=0)
        pause.wait(SECONDS_EACH)
        market.sandbox.clear_faults()


def test_accounts_die_under_users_and_nobody_fails(market: Gateway) -> None:
    began: list[float] = []
    crowd = Crowd(
        origin=market.origins[0],
        token=token([], permissions=["market_data"]),
        users=40,
        seconds=len(FAULTS) * SECONDS_EACH * 1.5 + 1,
        seed=11,
        think_seconds=0.2,
        cold_every=0.5,
    )
    before = sum(market.calls(f"GET /v2/stocks/{what}/latest") for what in ("quotes", "trades"))
    killer = threading.Thread(target=strike, args=(market, began))
    killer.start()
    told = asyncio.run(ask_all(crowd))
    killer.join()

    after = sum(market.calls(f"GET /v2/stocks/{what}/latest") for what in ("quotes", "trades"))
    late = [each for each in told.failures if each[0] > began[0]]
    assert late == []
    assert told.statuses["200"] > 100
    assert told.sources["cache"] > told.sources["broker"] > 0
    assert after - before < told.statuses["200"] / 5
    until(lambda: "opitios_market_data_failovers_total{" in metrics(market), seconds=30)
    for outcome in ("access-denied", "unknown", "answered"):
        assert f'outcome="{outcome}"' in metrics(market)


def metrics(market: Gateway) -> str:
    """What is scraped."""
    monitor = {"Authorization": f"Bearer {token(None, permissions=['monitor'])}"}
    return market.session.get(f"{market.origins[0]}/metrics", headers=monitor, timeout=60).text


# The judge itself

TOLD = Told(statuses=Counter({"200": 1000}), sources=Counter({"cache": 1000}))
MINUTE = Minute(TOLD, {"data_001": 90, "data_002": 95}, 60.0)
IN_FLIGHT = (99.0, 104.0, "503", "broker-unavailable")
KILL = Kill(
    fault="hang",
    began=100.0,
    ended=109.0,
    told=Told(statuses=Counter({"200": 500, "503": 1}), failures=[IN_FLIGHT]),
    seen_resting=True,
    failovers=2,
    failed_calls=3,
    back_after=12.0,
)


def test_the_judge_is_content_where_only_what_was_in_flight_failed() -> None:
    assert judge(MINUTE, [KILL]) == []


@pytest.mark.parametrize(
    ("minute", "kill", "word"),
    [
        (replace(MINUTE, calls={"data_001": 201}), KILL, "was asked 201 times"),
        (replace(MINUTE, told=Told(statuses=Counter({"200": 9, "429": 1}))), KILL, "answered 429"),
        (replace(MINUTE, told=Told()), KILL, "nobody was answered"),
        (MINUTE, replace(KILL, told=replace(TOLD, failures=[(100.1, 105.0, "503", "x")])),
         "0.10 s after the death"),
        (MINUTE, replace(KILL, told=Told()), "nobody was answered"),
        (MINUTE, replace(KILL, seen_resting=False), "never showed"),
        (MINUTE, replace(KILL, failovers=0), "no failover"),
        (MINUTE, replace(KILL, failed_calls=0), "no failover"),
        (MINUTE, replace(KILL, back_after=None), "not asked again"),
    ],
)  # fmt: skip
def test_the_judge_sees_what_is_wrong(minute: Minute, kill: Kill, word: str) -> None:
    assert any(word in each for each in judge(minute, [kill]))
