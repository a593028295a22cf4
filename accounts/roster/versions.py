"""Numbered versions of the roster: who may make one, what each made of the accounts, the way back.

Every process looks for the newest number and loads the accounts that carry a newer one than it
knows (pool.py).
"""

from typing import Any

from django.db import OperationalError, transaction

from accounts import vault
from accounts.models import Account, Credential, RosterVersion
from accounts.roster.reading import Lines, RosterAccount
from opitios.core import clock, database

# A version changed few of the accounts: the others are as the version before left them.
_AT = """
SELECT * FROM (
    SELECT DISTINCT ON (r.account_id) r.account_id, a.environment, r.account_type, r.url,
        r.priority, r.max_connections, r.data_plan, r.enabled, r.key_version
    FROM accounts_accountrevision r JOIN accounts_account a USING (account_id)
    WHERE r.version_id <= %s ORDER BY r.account_id, r.version_id DESC
) last WHERE enabled ORDER BY account_id
"""

_KEEP = """
INSERT INTO accounts_accountrevision (account_id, version_id, account_type, url, priority,
    max_connections, data_plan, enabled, key_version)
SELECT account_id, roster_version, account_type, url, priority, max_connections, data_plan,
    enabled, key_version
FROM accounts_account WHERE roster_version = %s
"""


# Two changes at once would compare with rows the other is changing.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('opitios roster'))"
# A file of a thousand accounts takes a while to read, and the transaction waits for it.
_PATIENCE = "SELECT set_config('idle_in_transaction_session_timeout', '60s', true)"
_LOCK_NOT_AVAILABLE = "55P03"


class ImportRunning(Exception):
    """Another change holds the roster; nothing was changed, and a later try may succeed."""


class CannotRollBack(Exception):
    """The version cannot be brought back; nothing was changed. The text says why."""


def hold(*, patience_seconds: float = 20.0) -> None:
    """Be the only one who changes the roster, until the caller's transaction ends.

    What an earlier change left is seen from here on. Raises ImportRunning where that one is not
    done in so many seconds.
    """
    give_up_at = clock.monotonic() + patience_seconds
    while not _is_held():
        if clock.monotonic() >= give_up_at:
            raise ImportRunning("another import is running: try again when it is done")
    database.rows(_PATIENCE)


def _is_held() -> bool:
    # One try lasts as long as the session waits for a lock: half a second (core/database.py).
    try:
        with transaction.atomic():
            database.rows(_LOCK)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True


def record_key(row: Account, *, actor: str) -> int:
    """Save an account with its new `key_version` as a roster version of its own; its number.

    For the holder of the roster (`hold`).
    """
    change = {"account_id": row.account_id, "fields": ["key"]}
    summary = {"added": [], "changed": [change], "disabled": []}
    version = RosterVersion.objects.create(actor=actor, source="replace_key", summary=summary)
    row.roster_version = version.version
    row.save()
    keep(version.version)
    return version.version


def keep(version: int) -> None:
    """Store what a version made of the accounts it changed, in the caller's transaction."""
    database.rows(_KEEP, (version,))


def accounts_at(version: int, *, allow_live: bool) -> list[RosterAccount]:
    """Read the accounts as a version left them, their keys in clear.

    Raises CannotRollBack: there is no such version, it holds live accounts where they are not
    allowed, or a key of it does not open any more.
    """
    if not RosterVersion.objects.filter(version=version).exists():
        raise CannotRollBack(f"there is no roster version {version}: see --versions")
    rows = database.rows(_AT, (version,))
    live = [row["account_id"] for row in rows if row["environment"] == "live"]
    if live and not allow_live:
        raise CannotRollBack(f"{live[0]} is live: live accounts need OPITIOS_ALLOW_LIVE=true")
    wanted = {row["account_id"]: row.pop("key_version") for row in rows}
    keys = {
        credential.account_id: credential
        for credential in Credential.objects.filter(account_id__in=wanted)
        if credential.version == wanted[credential.account_id]
    }
    return [_account(row, keys.get(row["account_id"]), version) for row in rows]


def _account(row: dict[str, Any], credential: Credential | None, version: int) -> RosterAccount:
    account_id = row["account_id"]
    try:
        if credential is None:
            raise CannotRollBack(f"the key of {account_id} in version {version} is gone")
        pair = vault.open_pair(credential)
    except vault.SealBroken as error:
        raise CannotRollBack(f"{error}: import the account file instead") from error
    about = {name: value for name, value in row.items() if name != "enabled"}
    path = f"version {version}, {account_id}"
    nowhere = Lines(0, 0, 0, 0)
    return RosterAccount(
        **about, api_key=pair.key_id, secret_key=pair.secret, path=path, lines=nowhere
    )
