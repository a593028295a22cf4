"""A changed account file reaches every process in two seconds, while orders flow (R3, G22)."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from accounts.models import Account, RosterVersion
from tests.accounts.refusals import last_entry
from tests.accounts.rosters import entry, roster
from tests.matrix.nodes import Caller, Node, Web, desk_node, listens, running
from tests.support.accounts import token
from tests.support.crowd import Stopwatch
from tests.support.orders import row_of
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only
from trading import queries

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

# What a changed file may take until every process works by it.
CURRENT_SECONDS = 2.0
# For what must come at all. Seconds.
PATIENCE = 60.0
# The timers that decide it, as in production.
TIMERS = {
    "OPITIOS_TIMERS__ROSTER_POLL": "0.5",
    "OPITIOS_TIMERS__STANDING": "0.5",
    "OPITIOS_TIMERS__LEASE_RENEW": "1.0",
    "OPITIOS_TIMERS__LEASE_VALID": "3.0",
    "OPITIOS_TIMERS__POOL_ROW": "5.0",
}
ORDER = {"symbol": "AAPL", "side": "buy", "type": "limit", "limit_price": "900", "qty": "1",
         "time_in_force": "day"}  # fmt: skip


@dataclass
class Gateway:
    """Web, desk, the import that follows its file, and the sandbox they trade with."""

    sandbox: SandboxProcess
    folder: Path
    web: Web = field(init=False)
    desk: Node = field(init=False)
    importer: Node = field(init=False)
    ids: list[str] = field(init=False)

    def __post_init__(self) -> None:
        name = f"load-{uuid4().hex[:8]}"
        self.ids = [f"{name}-{number:02}" for number in range(30)]
        self.file.write_text(self.described(self.ids[:20]))
        self.web, self.desk = Web(self.folder, None, **TIMERS), desk_node(self.folder, **TIMERS)
        words = ("manage.py", "import_accounts", str(self.file), "--watch", "--json")
        self.importer = Node("none", words, self.folder, TIMERS)

    @property
    def file(self) -> Path:
        """The account file."""
        return self.folder / "accounts.yaml"

    def described(self, ids: list[str], *, later: tuple[str, ...] = ()) -> str:
        """A file of these accounts; those of `later` have their second key."""
        return roster(*(self._entry(each, ".2" if each in later else "") for each in ids))

    def _entry(self, account_id: str, later: str) -> str:
        keys = self.sandbox.key(account_id) + later, self.sandbox.secret(account_id) + later
        pair = f'{{api_key: "{keys[0]}", secret_key: "{keys[1]}"}}'
        return entry(account_id, url=f'"{self.sandbox.url}"', alpaca_credentials=pair)

    def replace_file(self, text: str) -> None:
        """Put another file in its place, as an editor does."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.file)

    def imports(self) -> list[dict[str, Any]]:
        """What the import has said so far."""
        lines = self.importer.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def import_number(self, number: int) -> dict[str, Any]:
        """Wait for so many imports, counted from 1; what the last of them said."""
        until(lambda: len(self.imports()) >= number, seconds=PATIENCE)
        return self.imports()[number - 1]

    def versions(self) -> set[int]:
        """The rosters that web and desk work by, as `GET pool` tells."""
        bearer = {"Authorization": f"Bearer {token(None, permissions=['monitor'])}"}
        pool = requests.get(
            f"{self.web.origin}/api/v1/pool", headers=bearer, timeout=PATIENCE
        ).json()
        names = (self.web.name, self.desk.name)
        told = {row["name"].partition(":")[0]: row["roster_version"] for row in pool["processes"]
                if row["name"].partition(":")[0] in names}  # fmt: skip
        return set(told.values()) if len(told) == len(names) else set()

    def status(self, account_id: str) -> int:
        """How the web server answers about an account."""
        path = f"{self.web.origin}/api/v1/accounts/{account_id}/orders"
        return requests.get(
            path, headers=Caller(account_id).headers(), timeout=PATIENCE
        ).status_code


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A broker that fills within milliseconds."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
def gateway(db: None, sandbox: SandboxProcess, tmp_path: Path) -> Iterator[Gateway]:
    """The gateway with twenty accounts, ready."""
    with only():
        made = Gateway(sandbox, tmp_path)
        with running(made.web, made.desk, made.importer):
            made.web.wait_until_ready()
            until(made.imports, seconds=PATIENCE)
            listens(*made.ids[:20])
            newest = RosterVersion.objects.latest("version").version
            until(lambda: made.versions() == {newest}, seconds=PATIENCE)
            yield made
            # Nothing of it is left to be counted as a desk by the tests that follow.
            made.desk.ask_to_end()
            made.desk.ended(PATIENCE)
        sandbox.clear_faults()
        Account.objects.filter(account_id__in=made.ids).update(enabled=False, closing=False)


class Clients:
    """One client an account, each placing one order after the other until stopped."""

    def __init__(self, gateway: Gateway, account_ids: list[str]) -> None:
        self.statuses: list[tuple[str, int]] = []
        self.orders: list[dict[str, Any]] = []
        self._gateway = gateway
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._place, args=(each,)) for each in account_ids]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        until(lambda: len(self.orders) >= len(self._threads), seconds=PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _place(self, account_id: str) -> None:
        caller = Caller(account_id)
        while not self._closing.wait(0.1):
            answer = caller.place(self._gateway.web, uuid4().hex, ORDER)
            self.statuses.append((account_id, answer.status_code))
            if answer.status_code == 202:
                self.orders.append(answer.json())


def noted_about(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """The newest entry of the system journal, where it is about these errors."""
    newest = last_entry()
    return newest if newest["after"].get("errors") == errors else {}


def filled(order: dict[str, Any]) -> dict[str, Any]:
    """The row of an order, once it is filled."""
    return until(
        lambda: row if (row := row_of(order))["status"] == "filled" else {}, seconds=PATIENCE
    )


def test_g22_a_changed_file_is_known_everywhere_in_two_seconds_and_disturbs_no_order(
    gateway: Gateway,
) -> None:
    stay, change, go, come = (gateway.ids[a:b] for a, b in ((0, 10), (10, 15), (15, 20), (20, 30)))
    gateway.sandbox.fault("delay", account=change[0], route="POST /v2/orders", ms=3000, times=1)
    slow = Caller(change[0]).place(gateway.web, uuid4().hex, ORDER).json()
    until(lambda: row_of(slow)["status"] == "submitting", seconds=PATIENCE)
    with Clients(gateway, stay[:4] + change[1:2]) as clients:
        with Stopwatch() as took:
            gateway.replace_file(gateway.described(stay + change + come, later=tuple(change)))
            version = gateway.import_number(2)["version"]
            until(lambda: gateway.versions() == {version}, seconds=PATIENCE)

        assert {gateway.status(each) for each in stay + change + come} == {200}
        assert {gateway.status(each) for each in go} == {404}
        # While it was sent, its account got another key: it ends with the answer to the first.
        row = filled(slow)

    told = gateway.imports()[-1]
    assert (told["added"], told["disabled"]) == (come, go)
    assert [each["fields"] for each in told["changed"]] == [["key"]] * 5
    assert {status for _, status in clients.statuses} == {202}
    assert row["attempts"] == 1
    assert {filled(order)["attempts"] for order in clients.orders} == {1}
    # The accounts that came trade, those with another key go on trading.
    listens(*come)
    for account_id in (come[0], come[9], change[0], change[4]):
        filled(Caller(account_id).place(gateway.web, uuid4().hex, ORDER).json())
    assert took.is_within(CURRENT_SECONDS), took


def test_c26_a_broken_file_changes_nothing_says_where_and_the_last_good_one_stays(
    gateway: Gateway,
) -> None:
    good = gateway.described(gateway.ids[:20])
    before = RosterVersion.objects.latest("version").version
    broken = {
        good.replace("trading", "boss", 1): 3,
        good + good.removeprefix("accounts:\n").splitlines()[0] + "\n": 102,
        good[: len(good) // 2 - 7] + '\n    "open': len(good[: len(good) // 2 - 7].splitlines())
        + 1,
        "": 1,
        good.replace("environment: sandbox", "environment: live", 1): 4,
    }
    with Clients(gateway, gateway.ids[:4]) as clients:
        for number, (text, line) in enumerate(broken.items(), start=1):
            gateway.replace_file(text)
            errors = gateway.import_number(1 + number)["errors"]

            assert line in [each["line"] for each in errors], errors
            # It is noted after it was said: until then the newest entry is another file's.
            said = until(partial(noted_about, errors[:10]), seconds=20)
            assert (said["kind"], said["reason"]) == ("roster.refused", "the file changed")
        assert gateway.versions() == {before}
        assert {gateway.status(each) for each in gateway.ids[:20]} == {200}

        again = good.replace("environment: sandbox", "environment: sandbox\n    data_plan: plus", 1)
        gateway.replace_file(again)

        until(lambda: "version" in gateway.imports()[-1], seconds=PATIENCE)
        newer = gateway.imports()[-1]["version"]
        until(lambda: gateway.versions() == {newer}, seconds=PATIENCE)

    assert {status for _, status in clients.statuses} == {202}
    for order in clients.orders:
        filled(order)


def test_an_account_that_leaves_is_followed_until_its_open_orders_are_final(
    gateway: Gateway,
) -> None:
    gone = gateway.ids[19]
    gateway.sandbox.hold_fills(gone)
    working = Caller(gone).place(gateway.web, uuid4().hex, ORDER).json()
    until(lambda: row_of(working)["status"] == "new", seconds=PATIENCE)
    gateway.sandbox.fault("delay", account=gone, route="POST /v2/orders", ms=3000, times=1)
    body = {**ORDER, "symbol": "MSFT"}
    sending = Caller(gone).place(gateway.web, uuid4().hex, body).json()
    until(lambda: row_of(sending)["status"] == "submitting", seconds=PATIENCE)
    waiting = Caller(gone).place(gateway.web, uuid4().hex, body).json()

    gateway.replace_file(gateway.described(gateway.ids[:19]))

    # What waited is never sent and says why; what was under way is followed.
    until(lambda: gateway.status(gone) == 404, seconds=PATIENCE)
    until(lambda: row_of(waiting)["final"], seconds=PATIENCE)
    assert (row_of(waiting)["status"], row_of(waiting)["attempts"]) == ("denied", 0)
    until(lambda: row_of(sending)["status"] == "new", seconds=PATIENCE)
    assert Account.objects.get(pk=gone).closing
    gateway.sandbox.release_fills(gone)
    for order in (working, sending):
        assert filled(order)["attempts"] == 1
    until(lambda: not Account.objects.get(pk=gone).closing, seconds=PATIENCE)
    assert queries.orders_where("account_id = %s AND NOT final", (gone,)) == []
