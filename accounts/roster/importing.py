"""Applies an account file: everything it says, or nothing."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts import journal, vault
from accounts.models import SYSTEM_JOURNAL, Account, AccountState, Credential, RosterVersion
from accounts.roster import versions
from accounts.roster.changes import CHANGEABLE, Change, Diff, Stored, diff
from accounts.roster.document import BadRoster
from accounts.roster.reading import RosterAccount
from opitios.broker.port import Credentials
from opitios.core import database

# Rows of one INSERT.
BATCH = 500
# The first lines of a file say what is wrong with it.
NOTED_COMPLAINTS = 10

Progress = Callable[[int], None]
Source = Callable[[], list[RosterAccount]]

NOT_IN_ROSTER = "not in the roster"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `version` is None where nothing changed, or nothing was to be written."""

    diff: Diff
    version: int | None


@dataclass(frozen=True, slots=True)
class Import:
    """One import: who asks and why, and the file's name as the journal shall show it.

    kind: the entry it leaves in the system journal; `about`: what the entry says besides.
    patience_seconds: how long another import is waited for. request: the journal's, of a call.
    """

    actor: journal.Actor
    source: str
    reason: str | None = None
    dry_run: bool = False
    kind: str = "roster.imported"
    about: Mapping[str, Any] = field(default_factory=dict)
    patience_seconds: float = 20.0
    request: Mapping[str, Any] | None = None

    def run(self, read: Source, progress: Progress = lambda _done: None) -> Imported:
        """Read, compare and apply in one transaction. `progress` is told of each key pair sealed.

        1. Wait for an import that runs already: what it left is what this one is compared with.
        2. Read: a file that changed while we waited is read as it is now.
        3. Compare and apply. A refused file leaves an entry, and changes nothing; so do keys that
        were not taken (changes.diff), beside what is applied.
        Raises BadRoster, ImportRunning, what `read` raises, and django.db.OperationalError.
        """
        try:
            with transaction.atomic():
                versions.hold(patience_seconds=self.patience_seconds)
                accounts = read()
                found = diff(accounts, stored_accounts(), with_retired_keys(accounts))
                if self.dry_run:
                    return Imported(found, None)
                version = None if found.is_empty else apply(found, self, progress)
                self._note_kept_keys(found, version)
                return Imported(found, version)
        except BadRoster as refusal:
            if not self.dry_run:
                self._note_refusal(refusal)
            raise

    def _note_refusal(self, refusal: BadRoster) -> None:
        errors = [complaint.as_json() for complaint in refusal.complaints[:NOTED_COMPLAINTS]]
        after = {"errors": errors, "errors_in_all": len(refusal.complaints)}
        self.note("roster.refused", after)

    def _note_kept_keys(self, found: Diff, version: int | None) -> None:
        if found.kept_keys:
            kept = [
                {"account_id": account.account_id, "line": account.lines.api_key or None}
                for account in found.kept_keys
            ]
            entry = self.entry({"version": version, "kept": kept})
            journal.append(SYSTEM_JOURNAL, "roster.kept_keys", entry)

    def note(self, kind: str, after: Mapping[str, Any]) -> None:
        """Write an entry into the system journal."""
        entry = self.entry(dict(after))
        with transaction.atomic():
            journal.append(SYSTEM_JOURNAL, kind, entry)

    def entry(self, after: dict[str, Any]) -> dict[str, Any]:
        """Write the body of an entry: actor, reason, and the file as a note."""
        told: dict[str, Any] = {"reason": self.reason, "note": self.source, "request": self.request}
        return journal.body(actor=self.actor, after=after, **told)


def with_retired_keys(accounts: Sequence[RosterAccount]) -> set[str]:
    """Name the accounts whose pair here is one that replace_key took out of use."""
    retired: dict[str, list[Credential]] = defaultdict(list)
    for key in Credential.objects.filter(retired_at__isnull=False):
        retired[key.account_id].append(key)
    return {
        account.account_id
        for account in accounts
        if any(_is_pair_of(key, account) for key in retired[account.account_id])
    }


def _is_pair_of(key: Credential, account: RosterAccount) -> bool:
    pair = Credentials(key_id=account.api_key, secret=account.secret_key)
    try:
        return vault.open_pair(key) == pair
    except vault.SealBroken:
        # Its master key is gone; the digest of the api key is not.
        return key.fingerprint == vault.fingerprint_of_pair(pair)


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
    journal; 3. changed rows, 4. disabled ones; 5. sealed pairs of new and replaced keys; 6. what
    the version made of each of them; 7. the entries: last, for an order waits for its account's.
    """
    summary = found.summary() | dict(asked.about)
    version = RosterVersion.objects.create(
        actor=asked.actor.name, source=asked.source, summary=summary
    ).version
    _add(found.added, version)
    _change_all(found.changed, version)
    _disable(found.disabled, version)
    _seal_all(found, progress)
    versions.keep(version)
    journal.append_each(_account_entries(found, asked, version))
    journal.append(SYSTEM_JOURNAL, asked.kind, asked.entry(summary | {"version": version}))
    return version


def _account_entries(
    found: Diff, asked: Import, version: int
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Write what an account's own journal tells: its key was replaced, it went, it came back."""
    told: dict[str, tuple[str, dict[str, Any]]] = {}
    for change in found.changed:
        after = {"roster_version": version, "key_version": _key_version(change)}
        if "enabled" in change.fields:
            entry = asked.entry(after | {"enabled": True}) | {"note": "in the roster again"}
            told[change.account.account_id] = "account.resumed", entry
        elif change.replaces_key:
            told[change.account.account_id] = "account.key_replaced", asked.entry(after)
    for account_id in found.disabled:
        entry = asked.entry({"roster_version": version, "enabled": False})
        told[account_id] = "account.suspended", entry | {"note": NOT_IN_ROSTER}
    return told


def _key_version(change: Change) -> int:
    return change.key_version + change.replaces_key


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
    rows = [_row(change.account, version, _key_version(change)) for change in changed]
    fields = [*CHANGEABLE, "enabled", "closing", "key_version", "roster_version", "updated_at"]
    Account.objects.bulk_update(rows, fields, batch_size=BATCH)
    back = [change.account.account_id for change in changed if "enabled" in change.fields]
    _set_state(back, AccountState.State.WARMING, None)


def _disable(disabled: tuple[str, ...], version: int) -> None:
    Account.objects.filter(account_id__in=disabled).update(
        enabled=False, closing=True, roster_version=version, updated_at=Now()
    )
    _set_state(disabled, AccountState.State.DISABLED, NOT_IN_ROSTER)


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
    pair = Credentials(key_id=account.api_key, secret=account.secret_key)
    return vault.credential_of(account_id=account.account_id, version=version, pair=pair)
