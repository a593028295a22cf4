"""`rotate_secrets`: killed in the middle it is gone on with; traders notice nothing of it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Credential, Rotation
from accounts.rotation import BATCH
from accounts.vault import open_pair
from tests.accounts.custodial import key_of, last_system_seq, system_entries
from tests.accounts.rings import committed, fresh_key
from tests.api.processes import ROOT
from tests.matrix.nodes import Caller, Web, desk_node, listens, running
from tests.support.accounts import open_accounts
from tests.support.environment import MASTER_KEY
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only
from trading import queries

pytestmark = [
    pytest.mark.usefixtures("own_database"),
    pytest.mark.django_db,
    pytest.mark.journeys,
]

# Ends itself as SIGKILL would after its first commit.
KILLED = """
import django, os, signal
django.setup()
from accounts import journal, rotation
rotation.rotate(actor=journal.Actor("staff", "jane"), reason="every quarter",
                progress=lambda done, of: os.kill(os.getpid(), signal.SIGKILL))
"""
ORDER = {
    "symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "1",
    "limit_price": "187.25",
}  # fmt: skip


@pytest.fixture
def ring(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A setting whose newest master key is a new one; in the end all is under the old one."""
    new = fresh_key("k2")
    with committed(monkeypatch, new):
        yield f"{new},{MASTER_KEY}"


def rotate(*words: str) -> dict[str, Any]:
    """The command's answer."""
    out = StringIO()
    call_command("rotate_secrets", "--json", *words, stdout=out, stderr=StringIO())
    told: dict[str, Any] = json.loads(out.getvalue())
    return told


def rotate_beside_us(ring: str) -> dict[str, Any]:
    """The answer of the command in a process of its own, as an operator runs it."""
    ended = subprocess.run(
        [sys.executable, "manage.py", "rotate_secrets", "--json"],
        cwd=ROOT,
        env=os.environ | {"OPITIOS_MASTER_KEYS": ring},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def test_a_rotation_killed_in_the_middle_is_gone_on_with_where_it_was(ring: str) -> None:
    open_accounts(BATCH + 10)
    # Those were sealed under the newest key already: let them be under the old one.
    Credential.objects.update(sealed_at="2026-01-01T00:00:00Z")
    killed = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        env=os.environ | {"OPITIOS_MASTER_KEYS": ring},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    done = {key.pk: bytes(key.sealed_api_key) for key in _done()}
    in_all = Credential.objects.count()
    assert len(done) == BATCH < in_all
    assert rotate("--dry-run")["cut_off"]
    # Half of them done: every one opens.
    assert all(open_pair(key) for key in Credential.objects.all())

    told = rotate()

    assert (told["resumed"], told["sealed"], told["broken"]) == (True, in_all - BATCH, [])
    assert told["unused_master_keys"] == ["k1"]
    for key in Credential.objects.filter(pk__in=done):
        assert bytes(key.sealed_api_key) == done[key.pk]
    assert {key.master_key_id for key in Credential.objects.all()} == {"k2"}
    assert Rotation.objects.get(pk=told["rotation"]).ended_at is not None
    assert not rotate("--dry-run")["cut_off"]


def _done() -> list[Credential]:
    began_at = Rotation.objects.get(ended_at=None).began_at
    return list(Credential.objects.filter(sealed_at__gte=began_at))


class Trader:
    """Places order after order until it is told to stop; keeps every answer."""

    def __init__(self, account_id: str, web: Web) -> None:
        self.statuses: list[int] = []
        self._caller, self._web = Caller(account_id), web
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._trade)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Place no more, and wait for the last answer."""
        self._stop.set()
        self._thread.join(60)

    def _trade(self) -> None:
        # Two and a half a second are what an account earns, however long a crowded machine takes.
        while not self._stop.wait(0.4):
            key = f"rotation-{len(self.statuses)}"
            self.statuses.append(self._caller.place(self._web, key, ORDER).status_code)


def test_orders_go_on_while_everything_is_sealed_anew_and_after(
    ring: str, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    account_ids = open_accounts(2, url=sandbox.url)
    web = Web(tmp_path, OPITIOS_MASTER_KEYS=ring)
    desk = desk_node(tmp_path, OPITIOS_MASTER_KEYS=ring)
    traders = [Trader(account_id, web) for account_id in account_ids]
    with only(*account_ids), running(web, desk):
        web.wait_until_ready()
        listens(*account_ids)
        for trader in traders:
            trader.start()
        try:
            until(lambda: all(len(trader.statuses) >= 2 for trader in traders), seconds=30)
            before = [len(trader.statuses) for trader in traders]

            told = rotate_beside_us(ring)

            until(
                lambda: all(
                    len(trader.statuses) >= count + 4
                    for trader, count in zip(traders, before, strict=True)
                ),
                seconds=30,
            )
        finally:
            for trader in traders:
                trader.stop()
        until(lambda: _states(account_ids) == {"filled"}, seconds=30)

    placed = [status for trader in traders for status in trader.statuses]
    assert set(placed) == {202}
    assert len(_orders(account_ids)) == len(placed)
    assert {row["attempts"] for row in _orders(account_ids)} == {1}
    assert told["broken"] == []
    keys = Credential.objects.filter(account_id__in=account_ids)
    assert {open_pair(key) for key in keys} == {key_of(account_id) for account_id in account_ids}


def _orders(account_ids: list[str]) -> list[dict[str, Any]]:
    return queries.orders_where("account_id = ANY(%s)", (account_ids,))


def _states(account_ids: list[str]) -> set[str]:
    return {row["status"] for row in _orders(account_ids)}


def test_a_process_with_the_old_ring_alone_is_named_and_nothing_is_changed(
    ring: str, tmp_path: Path
) -> None:
    web = Web(tmp_path)
    before = list(Credential.objects.order_by("pk").values())
    with running(web):
        web.wait_until_ready()
        # Its row is written after its accounts were loaded.
        until(lambda: rotate("--dry-run")["strangers"], seconds=30)

        with pytest.raises(CommandError, match=f"'k2' is not known to {web.name}"):
            rotate()

    assert list(Credential.objects.order_by("pk").values()) == before


def test_the_command_says_what_it_did_and_shows_no_key(ring: str) -> None:
    seq = last_system_seq()

    out = StringIO()
    call_command("rotate_secrets", "--dry-run", stdout=out, stderr=StringIO())
    call_command("rotate_secrets", "--reason", "leaver", stdout=out, stderr=StringIO())

    shown = out.getvalue()
    assert "would be sealed anew under k2" in shown
    assert "nothing stored is under master key k1 any more" in shown
    for part in ring.split(","):
        assert part.partition(":")[2] not in shown + str(system_entries(seq))
    assert {entry["reason"] for entry in system_entries(seq)} == {"leaver"}
    with pytest.raises(CommandError, match="say why"):
        call_command("rotate_secrets", "--reason", " ", stdout=out, stderr=StringIO())
