"""Celery is dead, or alive and stuck: what is unknown resolves all the same (C21)."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.orders import entries, place
from tests.support.sandbox_process import SandboxProcess
from tests.trading.desks import RunningDesk
from tests.trading.retry_path import retry_path
from tests.trading.searches import at_broker

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]


def test_c21_with_a_worker_that_is_stuck_and_a_beat_that_was_killed_unknown_orders_resolve(
    sandbox: SandboxProcess, trading_account: str, desk: RunningDesk, tmp_path: Path
) -> None:
    with retry_path(tmp_path) as (worker, beat):
        worker.process.send_signal(signal.SIGSTOP)
        beat.process.kill()
        # One that arrived, and one that did not: adopted, and sent again under its id.
        sandbox.fault("504_after_accept", account=trading_account, route="POST /v2/orders")
        arrived = desk.wait_for(place(trading_account), "filled", seconds=20)
        sandbox.fault("html_502", account=trading_account, route="POST /v2/orders")
        lost = desk.wait_for(place(trading_account), "filled", seconds=20)
        os.kill(worker.process.pid, signal.SIGCONT)

    assert (arrived["attempts"], lost["attempts"]) == (1, 2)
    assert len(at_broker(sandbox, lost)) == 2
    names = {entry["actor"]["name"].partition("@")[0] for entry in entries(trading_account)}
    assert names == {"bot-7", "desk"}
