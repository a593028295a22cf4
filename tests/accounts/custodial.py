"""What the tests of custody share: broker keys, and what must be nowhere."""

import json
from typing import Any

from accounts import denials, gate
from accounts.journal import Actor
from accounts.models import SYSTEM_JOURNAL, Account, AccountNetworks, Credential, JournalEntry
from accounts.pool import Pool
from opitios.broker.port import Credentials
from opitios.core.config import get_config
from tests.support.orders import entries
from tests.support.sandbox_process import SandboxProcess
from trading import watch

ME = Actor("staff", "jane")


def key_of(account_id: str, number: int = 1) -> Credentials:
    """The account's first key at the sandbox, or a later one."""
    name = account_id if number == 1 else f"{account_id}.{number}"
    return Credentials(SandboxProcess.key(name), SandboxProcess.secret(name))


def lines_of(pair: Credentials) -> str:
    """The pair as standard input has it."""
    return f"{pair.key_id}\n{pair.secret}\n"


def reach_from_everywhere() -> None:
    """Let every account be reached from anywhere, those that other tests barred among them."""
    for barred in AccountNetworks.objects.values_list("account_id", flat=True):
        denials.set_networks(barred, [], actor=ME, reason="a test is over")
    gate.get_gate().refresh()


def check(account_id: str) -> None:
    """Let the broker tell once which account this is, as its desk would ask."""
    pool = Pool(get_config())
    pool.refresh()
    account = pool.get(account_id)
    assert account is not None
    watch.check_account(account)
    pool.stop()


def current_key(account_id: str) -> Credential:
    """The stored pair that is in use."""
    version = Account.objects.get(pk=account_id).key_version
    return Credential.objects.get(account_id=account_id, version=version)


def system_entries(since: int = 0) -> list[dict[str, Any]]:
    """The system journal past an entry."""
    found = JournalEntry.objects.filter(account_id=SYSTEM_JOURNAL, seq__gt=since).order_by("seq")
    return [{"kind": entry.kind, **json.loads(entry.body)} for entry in found]


def last_system_seq() -> int:
    """The number of the newest entry of the system journal, 0 where it is empty."""
    found = JournalEntry.objects.filter(account_id=SYSTEM_JOURNAL).order_by("seq").last()
    return 0 if found is None else found.seq


def everything_stored(account_id: str, since: int = 0) -> str:
    """Both journals and every row about an account, as text; of the system's what is past `since`.

    What other tests made the system journal tell is theirs to judge.
    """
    rows = [vars(Account.objects.get(pk=account_id))]
    rows += [vars(key) for key in Credential.objects.filter(account_id=account_id)]
    stored = [_plain(value) for row in rows for value in row.values()]
    return json.dumps(entries(account_id)) + json.dumps(system_entries(since)) + repr(stored)


def _plain(value: object) -> object:
    # A memoryview shows nothing of what is in it.
    return bytes(value) if isinstance(value, memoryview) else value
