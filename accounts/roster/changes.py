"""What an account file changes, compared with what is stored. Pure: nothing is read or written."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from accounts.roster.document import BadRoster, Complaint
from accounts.roster.reading import RosterAccount

# Fields of the account row a file may change; `environment` is for ever.
CHANGEABLE = ("account_type", "url", "priority", "max_connections", "data_plan")


@dataclass(frozen=True, slots=True)
class Stored:
    """An account as it is stored. Keys are None where they can no longer be opened."""

    account_id: str
    account_type: str
    environment: str
    url: str
    priority: str
    max_connections: int
    data_plan: str
    enabled: bool
    key_version: int
    api_key: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)

    @property
    def opens(self) -> bool:
        """Whether the stored pair can be opened."""
        return self.api_key is not None

    def has_keys_of(self, account: RosterAccount) -> bool:
        """Say whether the stored pair is the file's."""
        return (self.api_key, self.secret_key) == (account.api_key, account.secret_key)


@dataclass(frozen=True, slots=True)
class Change:
    """An account whose row, key or both change. `fields` names them, `key` and `enabled` too."""

    account: RosterAccount
    fields: tuple[str, ...]
    key_version: int

    @property
    def replaces_key(self) -> bool:
        """Whether a new version of the key pair is sealed."""
        return "key" in self.fields


@dataclass(frozen=True, slots=True)
class Diff:
    """The four groups of an import. An account that left the file is disabled, never deleted.

    kept_keys: those that keep a newer key than the file's, which replace_key took out of use. They
    stand in one of the groups besides.
    """

    added: tuple[RosterAccount, ...]
    changed: tuple[Change, ...]
    disabled: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept_keys: tuple[RosterAccount, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the file says what is stored already."""
        return not (self.added or self.changed or self.disabled)

    def warnings(self) -> tuple[Complaint, ...]:
        """Say of each key that was not taken where it stands, and what to do."""
        return tuple(
            Complaint(
                account.lines.api_key,
                account.account_id,
                "replace_key took this key out of use: the newer one stays. Correct the account"
                " file, or bring this one back with replace_key",
            )
            for account in self.kept_keys
        )

    def summary(self) -> dict[str, Any]:
        """Ids and names of fields, never a value: for the journal, the version and the table."""
        return {
            "added": [account.account_id for account in self.added],
            "changed": [
                {"account_id": change.account.account_id, "fields": list(change.fields)}
                for change in self.changed
            ],
            "disabled": list(self.disabled),
            "unchanged": len(self.unchanged),
            "kept_keys": [account.account_id for account in self.kept_keys],
        }


def diff(
    parsed: Sequence[RosterAccount],
    stored: Mapping[str, Stored],
    retired: Set[str] = frozenset(),
) -> Diff:
    """Compare a file with what is stored, by account_id.

    retired: the accounts whose key in the file is one that replace_key took out of use. Their
    present key stays; one that opens no more is repaired by the file's all the same.
    Raises BadRoster where an account would change its environment: orders, journal and keys of the
    id belong to the first one.
    """
    _refuse_other_environment(parsed, stored)
    known = [
        (account, stored[account.account_id]) for account in parsed if account.account_id in stored
    ]
    kept = {
        account.account_id
        for account, row in known
        if account.account_id in retired and row.opens and not row.has_keys_of(account)
    }
    changes = [_change(account, row, kept) for account, row in known]
    named = {account.account_id for account in parsed}
    return Diff(
        added=tuple(account for account in parsed if account.account_id not in stored),
        changed=tuple(change for change in changes if change.fields),
        disabled=tuple(sorted(i for i, row in stored.items() if row.enabled and i not in named)),
        unchanged=tuple(change.account.account_id for change in changes if not change.fields),
        kept_keys=tuple(account for account, _ in known if account.account_id in kept),
    )


def _change(account: RosterAccount, row: Stored, kept: Set[str]) -> Change:
    fields = [name for name in CHANGEABLE if getattr(account, name) != getattr(row, name)]
    if account.account_id not in kept and not row.has_keys_of(account):
        fields.append("key")
    if not row.enabled:
        fields.append("enabled")
    return Change(account, tuple(fields), row.key_version)


def _refuse_other_environment(
    parsed: Sequence[RosterAccount], stored: Mapping[str, Stored]
) -> None:
    complaints = [
        Complaint(
            account.lines.environment,
            f"{account.path}.environment",
            "an account never changes its environment: use a new account_id",
            (stored[account.account_id].environment,),
        )
        for account in parsed
        if account.account_id in stored
        and stored[account.account_id].environment != account.environment
    ]
    if complaints:
        raise BadRoster(complaints)
