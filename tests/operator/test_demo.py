"""The demonstration order: placed once, followed to its end, told in milliseconds."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from opitios.core.embedded import processes
from opitios.demo import COMMAND, ORDERS, Demo, DemoError, drawn
from opitios.management.gateway import Gateway, NoAnswerError
from tests.operator.loopback import saying
from tests.support.crowd import patient

POST = ("POST", f"{ORDERS}/stocks")
GET = ("GET", f"{ORDERS}/o-1")

QUEUED = {"id": "o-1", "status": "queued", "final": False}
FILLED = {
    **QUEUED,
    "status": "filled",
    "final": True,
    "account_id": "account_001",
    "side": "buy",
    "qty": "1",
    "symbol": "AAPL",
    "type": "market",
    "filled_avg_price": "187.21",
    "timeline": [
        {"stage": "received", "at": "2026-11-20T14:30:00.120331Z", "ms": 0.0},
        {"stage": "stored", "ms": 2.4},
        {"stage": "final", "ms": 55.25},
    ],
}


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    return processes.wait_for(condition, patient(seconds))


def wait_in_vain(condition: Callable[[], bool], seconds: float) -> bool:
    return processes.wait_for(condition, min(seconds, 0.5))


def test_it_is_placed_once_and_followed_until_it_is_final() -> None:
    with saying({POST: [(202, QUEUED)], GET: [(200, QUEUED), (200, QUEUED), (200, FILLED)]}) as it:
        order = Demo(Gateway(it.url, "token-1"), wait).run()

        posts = [heard for heard in it.heard if heard[0] == "POST"]
    assert order == FILLED
    assert len(posts) == 1
    assert json.loads(posts[0][3]) == COMMAND
    assert posts[0][2]["Authorization"] == "Bearer token-1"
    assert posts[0][2]["Idempotency-Key"].startswith("demo-")


def test_a_refusal_is_told_and_nothing_is_asked_again() -> None:
    with saying({POST: [(403, {"reason": "no-permission"})]}) as it:
        with pytest.raises(DemoError, match=r"403 .*no-permission"):
            Demo(Gateway(it.url, "t"), wait).run()

        assert len(it.heard) == 1


def test_an_order_that_never_ends_is_told_with_its_last_state() -> None:
    with (
        saying({POST: [(202, QUEUED)], GET: [(200, QUEUED)]}) as it,
        pytest.raises(DemoError, match=r"not final .*queued"),
    ):
        Demo(Gateway(it.url, "t"), wait_in_vain).run()


@pytest.mark.parametrize("body", [b"<html>", b""])
def test_an_answer_that_is_no_json_counts_as_none(body: bytes) -> None:
    with saying({POST: [(502, body)]}) as it, pytest.raises(NoAnswerError):
        Demo(Gateway(it.url, "t"), wait).run()


def test_its_way_is_drawn_with_the_milliseconds_of_each_stage() -> None:
    page = io.StringIO()

    Console(file=page, width=80).print(drawn(FILLED))

    told: list[Any] = [line.split() for line in page.getvalue().splitlines()]
    assert page.getvalue().startswith("account_001: buy 1 AAPL market → filled at 187.21")
    assert ["stored", "│", "2.4", "│", "+2.4"] in told
    assert ["final", "│", "55.2", "│", "+52.9"] in told
