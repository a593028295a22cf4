"""Applies an account file: everything it says, or nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts import journal, vault
from accounts.models import SYSTEM_JOURNAL, Account, AccountState, Credential, RosterVersion
from accounts.roster.changes import CHANGEABLE, Change, Diff, Stored, diff
from accounts.roster.reading import RosterAccount
from opitios.core import database

# Rows of one INSERT.
BATCH = 500
# Two imports at once would compare with rows the other is changing.
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('opitios roster')) AS held"

Progress = Callable[[int], None]


class ImportRunning(Exception):
    """Another import holds the roster; nothing was changed, and a later try may succeed."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `version` is None where nothing changed, or nothing was to be written."""

    diff: Diff
    version: int | None


@dataclass(frozen=True, slots=True)
class Import:
    """One import: who asks, and the file's name as the journal shall show it."""

    actor: journal.Actor
    source: str
    dry_run: bool = False

    def run(self, parsed: list[RosterAccount], progress: Progress = lambda _done: None) -> Imported:
        """Compare and apply in one transaction. `progress` is told of each key pair sealed.

        Raises BadRoster (an environment changed), ImportRunning, and django.db.OperationalError.
        """
        with transaction.atomic():
            held = database.row(_LOCK)
            if held is None or not held["held"]:
                raise ImportRunning("another import is running: try again when it is done")
            found = diff(parsed, stored_accounts())
            if self.dry_run or found.is_empty:
                return Imported(found, None)
            return Imported(found, apply(found, self, progress))


def stored_accounts() -> dict[str, Stored]:
    """Read every account with its present key pair opened."""
    current = Credential.objects.filter(version=F("account__key_version"))
    credentials = {credential.account_id: credential for credential in current}
    return {row.account_id: _stored(row, credentials) for row in Account.objects.all()}


def _stored(row: Account, credentials: dict[str, Credential]) -> Stored:
    api_key = secret_key = None
    try:
        pair = vault.open_pair(credentials[row.account_id])
        api_key, secret_key = pair.key_id, pair.secret
    except (KeyError, vault.SealBroken):
        # An import is how a pair that no longer opens is repaired: it counts as changed.
        pass
    names = ("account_id", "environment", *CHANGEABLE, "enabled", "key_version")
    return Stored(
        **{name: getattr(row, name) for name in names}, api_key=api_key, secret_key=secret_key
    )


def apply(found: Diff, asked: Import, progress: Progress) -> int:
    """Write a difference inside the caller's transaction, and return the roster's new version.

    1. a version row, whose number the changed accounts carry; 2. new accounts with their state and
    journal; 3. changed rows, 4. disabled ones; 5. sealed pairs of new and replaced keys; 6. the
    entry in the system journal.
    """
    summary = found.summary()
    version = RosterVersion.objects.create(
        actor=asked.actor.name, source=asked.source, summary=summary
    ).version
    _add(found.added, version)
    _change_all(found.changed, version)
    _disable(found.disabled, version)
    _seal_all(found, progress)
    entry = journal.body(actor=asked.actor, note=asked.source, after=summary | {"version": version})
    journal.append(SYSTEM_JOURNAL, "roster.imported", entry)
    return version


def _add(added: tuple[RosterAccount, ...], version: int) -> None:
    rows = [_row(account, version) for account in added]
    Account.objects.bulk_create(rows, batch_size=BATCH)
    AccountState.objects.bulk_create([AccountState(account=row) for row in rows], batch_size=BATCH)
    ids = [account.account_id for account in added]
    database.rows("SELECT journal_open(id) FROM unnest(%s::text[]) AS id", (ids,))


def _row(account: RosterAccount, version: int, key_version: int = 1) -> Account:
    return Account(
        account_id=account.account_id,
        environment=account.environment,
        **{name: getattr(account, name) for name in CHANGEABLE},
        enabled=True,
        key_version=key_version,
        roster_version=version,
        updated_at=Now(),
    )


def _change_all(changed: tuple[Change, ...], version: int) -> None:
    rows = [
        _row(change.account, version, change.key_version + change.replaces_key)
        for change in changed
    ]
    fields = [*CHANGEABLE, "enabled", "key_version", "roster_version", "updated_at"]
    Account.objects.bulk_update(rows, fields, batch_size=BATCH)
    back = [change.account.account_id for change in changed if "enabled" in change.fields]
    _set_state(back, AccountState.State.WARMING, None)


def _disable(disabled: tuple[str, ...], version: int) -> None:
    Account.objects.filter(account_id__in=disabled).update(
        enabled=False, roster_version=version, updated_at=Now()
    )
    _set_state(disabled, AccountState.State.DISABLED, "not in the roster")


def _set_state(
    account_ids: tuple[str, ...] | list[str], state: AccountState.State, reason: str | None
) -> None:
    AccountState.objects.filter(account_id__in=account_ids).update(
        state=state, state_reason=reason, state_since=Now()
    )


def _seal_all(found: Diff, progress: Progress) -> None:
    wanted = [(account, 1) for account in found.added]
    wanted += [(c.account, c.key_version + 1) for c in found.changed if c.replaces_key]
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        Credential.objects.bulk_create([_sealed(*pair) for pair in batch])
        progress(len(batch))


def _sealed(account: RosterAccount, version: int) -> Credential:
    sealed = vault.seal_pair(
        account_id=account.account_id,
        version=version,
        api_key=account.api_key,
        secret_key=account.secret_key,
    )
    return Credential(
        account_id=account.account_id,
        version=version,
        master_key_id=sealed.master_key_id,
        wrapped_data_key=sealed.wrapped_data_key,
        sealed_api_key=sealed.sealed_api_key,
        sealed_secret_key=sealed.sealed_secret_key,
        hint=sealed.hint,
        fingerprint=sealed.fingerprint,
    )
