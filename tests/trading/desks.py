"""A desk in this process, real but for its timers, and the sandbox it trades with."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounts.models import Account
from accounts.pool import Pool
from opitios.broker.alpaca.transport import Transport, TransportTimers
from opitios.core.config import Config, get_config
from tests.support.crowd import patient
from tests.support.orders import row_of
from tests.support.until import until
from trading.desk import Desk

# As long as a crowded broker may take: one who is slow is not one who is silent.
CALLS = TransportTimers(connect=10.0, submit=60.0, other=60.0, idle=3.0)
# Where a broker is silent: a tenth of reliability.md §2.2.
SHORT = TransportTimers(connect=0.2, submit=0.8, other=0.5, idle=3.0)


class RunningDesk:
    """One desk at work, and what a test waits for."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def wait_for(self, order: Any, *statuses: str, seconds: float = 15.0) -> dict[str, Any]:
        """Wait until an order has one of these statuses; its row."""

        def look() -> dict[str, Any] | None:
            row = row_of(order)
            return row if row["status"] in statuses else None

        found = until(look, seconds=seconds)
        assert found is not None
        return found


def asking_once() -> Config:
    """The tests' settings, but for how soon a cancel that is not done is asked for again."""
    timers = get_config().timers.model_copy(update={"reconcile": 600.0})
    return get_config().model_copy(update={"timers": timers})


@contextmanager
def running_desk(
    *accounts: str, config: Config | None = None, calls: TransportTimers = CALLS
) -> Iterator[RunningDesk]:
    """Run a desk that owns exactly these accounts; everybody else's rest meanwhile."""
    with only(*accounts):
        yield from _running(accounts, config or get_config(), calls)


@contextmanager
def only(*accounts: str) -> Iterator[None]:
    """Let every other account of this worker's database rest: a desk takes all it can get.

    Those that left the roster and are not settled too: they are leased like the others.
    """
    others = Account.objects.exclude(account_id__in=accounts)
    resting = {
        word: list(others.filter(**{word: True}).values_list("account_id", flat=True))
        for word in ("enabled", "closing")
    }
    for word, ids in resting.items():
        Account.objects.filter(account_id__in=ids).update(**{word: False})
    try:
        yield
    finally:
        for word, ids in resting.items():
            Account.objects.filter(account_id__in=ids).update(**{word: True})


def _running(
    accounts: tuple[str, ...], config: Config, calls: TransportTimers
) -> Iterator[RunningDesk]:
    pool = Pool(config)
    pool._transport = Transport(timers=calls)
    pool.refresh()
    desk = Desk(config, pool)
    thread = threading.Thread(target=desk.run, name="desk")
    thread.start()
    try:
        until(lambda: desk.leased >= set(accounts), seconds=30)
        until(lambda: all_listen(*accounts), seconds=30)
        yield RunningDesk(desk)
    finally:
        desk.stop()
        thread.join(patient(30))
        pool._transport.close()
    assert not thread.is_alive()


def all_listen(*accounts: str) -> bool:
    """Whether a desk hears the stream of each of these accounts."""
    found = Account.objects.filter(
        # And have been compared: a fault of the test is not for the reads of that.
        account_id__in=accounts, state__stream_state="listening", state__reconciled_at__isnull=False
    )  # fmt: skip
    return found.count() == len(accounts)
