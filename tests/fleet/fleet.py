"""Many accounts and some desks, each in a process of its own, as in a run.

`FLEET=1000` in the environment makes the fleet that large, with the timers of production.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from accounts.models import Account, AccountState, DeskPresence, Lease
from opitios.core import clock, database
from opitios.core.config import Timers
from tests.matrix.nodes import Node, desk_node
from tests.support.accounts import open_accounts
from tests.support.orders import place, soon
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only

ACCOUNTS = int(os.environ.get("FLEET", "24"))
AT_SIZE = "FLEET" in os.environ
# A crowded machine starts processes and opens 1000 sockets slowly.
READY_SECONDS = 120.0
# Seconds between two orders of the flow: what a crowded machine can send.
FLOW_PAUSE = 0.02
# What the promise gives a fleet whose desk was killed; tests run its timers at a tenth.
TRADES_AGAIN_SECONDS = 5.0

_FINAL = "SELECT count(*) AS n FROM trading_order WHERE final AND id = ANY(%s)"


class Fleet:
    """Accounts at one broker, and the desks that share them."""

    def __init__(self, accounts: Sequence[str], folder: Path, stack: ExitStack) -> None:
        self.accounts = list(accounts)
        self._folder, self._stack = folder, stack
        self._desks: list[tuple[Node, Mapping[str, str]]] = []

    def start_desk(self, **settings: str) -> Node:
        """Start a desk; it is killed in the end."""
        told = {f"OPITIOS_TIMERS__{name.upper()}": str(value) for name, value in Timers()}
        node = desk_node(self._folder, **((told if AT_SIZE else {}) | settings))
        self._stack.callback(_end, node)
        self._desks.append((node, settings))
        return node

    def desks_at_work(self, count: int, **settings: str) -> list[Node]:
        """So many desks with these settings and no others, ready; what runs already is used."""
        running = [each for each in self._desks if each[0].is_running]
        kept = [node for node, told in running if told == settings][:count]
        for node in (node for node, _ in running if node not in kept):
            _end(node)
        desks = [*kept, *(self.start_desk(**settings) for _ in range(count - len(kept)))]
        self.wait_until_ready(*desks)
        return desks

    def owned_by(self, node: Node) -> list[str]:
        """The accounts it holds at this moment, in order."""
        held = Lease.objects.filter(owner__startswith=f"{node.name}/", expires_at__gt=clock.now())
        return sorted(set(held.values_list("account_id", flat=True)) & set(self.accounts))

    def is_shared_by(self, *nodes: Node) -> bool:
        """Whether these desks own every account, and none more than one above another."""
        shares = [len(self.owned_by(node)) for node in nodes]
        return sum(shares) == len(self.accounts) and max(shares) - min(shares) <= 1

    def wait_until_ready(self, *nodes: Node) -> None:
        """Wait until the desks share the accounts, all are warm, and all sockets listen."""
        until(lambda: self.is_shared_by(*nodes), seconds=READY_SECONDS)
        ready = AccountState.objects.filter(
            account_id__in=self.accounts, state="ready", stream_state="listening"
        )
        until(lambda: ready.count() == len(self.accounts), seconds=READY_SECONDS)

    def place_everywhere(self, accounts: Sequence[str]) -> list[dict[str, Any]]:
        """Accept one market order in each of these accounts; what their clients were told."""
        return [_placed(account_id) for account_id in accounts]

    @contextmanager
    def orders_flowing(self) -> Iterator[list[dict[str, Any]]]:
        """Accept orders meanwhile, in turns for all accounts, as if clients knew of no desks."""
        orders: list[dict[str, Any]] = []
        is_over = threading.Event()

        def flow() -> None:
            try:
                for account_id in cycle(self.accounts):
                    orders.append(_placed(account_id))
                    if is_over.wait(FLOW_PAUSE):
                        break
            finally:
                database.release()

        with ThreadPoolExecutor(1) as client:
            placing = client.submit(flow)
            try:
                yield orders
            finally:
                is_over.set()
                placing.result()

    def wait_until_final(self, orders: Sequence[dict[str, Any]], *, seconds: float) -> None:
        """Wait until nothing more can happen to any of these orders."""
        ids = [order["id"] for order in orders]

        def is_final() -> bool:
            found = database.row(_FINAL, (ids,))
            return found is not None and bool(found["n"] == len(ids))

        until(is_final, seconds=seconds)


def _placed(account_id: str) -> dict[str, Any]:
    # In time however crowded the machine is: what lapses says nothing about desks.
    accepted = place(account_id, type="market", limit_price=None, not_after=soon(250))
    return dict(accepted.body)


def _end(node: Node) -> None:
    """Kill a desk, and let nobody wait for its leases to run out."""
    node.kill()
    named = {"owner__startswith": f"{node.name}/"}
    DeskPresence.objects.filter(**named).delete()
    Lease.objects.filter(**named).update(expires_at=clock.now())


@contextmanager
def fleet_at(sandbox: SandboxProcess, folder: Path) -> Iterator[Fleet]:
    """Open the accounts; every other one of this database rests meanwhile."""
    sandbox.clear_faults()
    accounts = open_accounts(ACCOUNTS, url=sandbox.url)
    with only(*accounts), ExitStack() as stack:
        yield Fleet(accounts, folder, stack)
    Account.objects.filter(account_id__in=accounts).update(enabled=False)


def assert_each_once(sandbox: SandboxProcess, orders: Sequence[dict[str, Any]]) -> None:
    """The broker received each of these orders exactly once, and nothing else of the fleet."""
    wanted = {order["client_order_id"] for order in orders}
    received = Counter(
        entry["client_order_id"]
        for entry in sandbox.ledger(limit=10_000)
        if entry["client_order_id"] in wanted
    )
    assert received == dict.fromkeys(wanted, 1)
