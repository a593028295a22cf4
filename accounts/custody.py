"""What an operator does to an account: suspend it, resume it, replace its key. Each with its entry.

The commands and the admin's actions call these functions; every refusal says why in a sentence and
has changed nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts import journal, vault
from accounts.journal import Actor
from accounts.models import SYSTEM_JOURNAL, Account, AccountState, Credential
from accounts.pool import endpoint_of
from accounts.roster import versions
from opitios.broker.alpaca.clients import clients_for
from opitios.broker.alpaca.transport import Transport
from opitios.broker.errors import AccessDenied, BrokerError
from opitios.broker.guard import Bulkhead, Guard
from opitios.broker.port import Answer, Credentials
from opitios.core import clock, database

# The columns that keep it hold so many characters.
LONGEST_REASON = 200
# A key that was not replaced for longer should be (requirements.md, seed 003).
OLD_KEY_DAYS = 90


class Refused(Exception):
    """Nothing was changed; the message says why and what to do, and holds no secret."""


def reason_of(text: str) -> str:
    """Trim an operator's reason. Raises Refused where it is empty, too long or not one line."""
    reason = text.strip()
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise Refused(f"say why, in one line of 1 to {LONGEST_REASON} characters")
    return reason


# Those who accept orders hear of it with what the desks tell (standings.py).
_SUSPEND = """
WITH marked AS (
    UPDATE accounts_account SET suspended_at = clock_timestamp(), suspended_reason = %(reason)s
    WHERE account_id = %(account)s AND suspended_at IS NULL RETURNING account_id, suspended_at
), told AS (
    UPDATE accounts_accountstate s SET told_at = clock_timestamp()
    FROM marked WHERE s.account_id = marked.account_id
)
SELECT suspended_at FROM marked
"""

_RESUME = """
WITH before AS (
    SELECT account_id, suspended_at, suspended_reason FROM accounts_account
    WHERE account_id = %(account)s AND suspended_at IS NOT NULL FOR UPDATE
), marked AS (
    UPDATE accounts_account a SET suspended_at = NULL, suspended_reason = NULL
    FROM before WHERE a.account_id = before.account_id
), told AS (
    UPDATE accounts_accountstate s SET told_at = clock_timestamp()
    FROM before WHERE s.account_id = before.account_id
)
SELECT suspended_at, suspended_reason FROM before
"""


def suspend(account_id: str, *, actor: Actor, reason: str) -> datetime:
    """Let an account send nothing new from now on; since when. Cancels and reads pass.

    1. Mark the account. 2. Append `account.suspended`, which its trader may read.
    What is queued ends as `denied` (trading/sweeps.py). Raises Refused.
    """
    about = {"account": account_id, "reason": reason_of(reason)}
    with transaction.atomic():
        marked = database.row(_SUSPEND, about)
        if marked is None:
            account = account_of(account_id)
            raise Refused(f"{account_id} is suspended already: {account.suspended_reason}")
        since: datetime = marked["suspended_at"]
        before, after = _suspension(None, None), _suspension(since, about["reason"])
        _append(account_id, "account.suspended", actor, about["reason"], before, after)
    return since


def resume(account_id: str, *, actor: Actor, reason: str) -> datetime:
    """Let a suspended account send orders again; since when it was suspended.

    1. Take the mark away. 2. Append `account.resumed`. Raises Refused.
    """
    said = reason_of(reason)
    with transaction.atomic():
        before = database.row(_RESUME, {"account": account_id})
        if before is None:
            raise Refused(f"{account_of(account_id)} is not suspended")
        since: datetime = before["suspended_at"]
        was = _suspension(since, before["suspended_reason"])
        _append(account_id, "account.resumed", actor, said, was, _suspension(None, None))
    return since


def _suspension(at: datetime | None, reason: str | None) -> dict[str, Any]:
    told = None if at is None else clock.rfc3339(at)
    return {"suspended_at": told, "suspended_reason": reason}


def _append(
    account_id: str,
    kind: str,
    actor: Actor,
    reason: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
) -> None:
    entry = journal.body(actor=actor, reason=reason, before=before, after=after)
    journal.append(account_id, kind, entry)


def account_of(account_id: str) -> Account:
    """Find an account. Raises Refused."""
    account = Account.objects.filter(pk=account_id).first()
    if account is None:
        raise Refused(f"there is no account {account_id!r}")
    return account


@dataclass(frozen=True, slots=True)
class Replaced:
    """What replacing a key did. `account_number` is the broker's, as the new key's probe told.

    was_known: whether the broker had told before which account ours is, so that it was compared.
    """

    account_id: str
    version: int
    hint: str
    account_number: str | None
    was_known: bool


def replace_key(account_id: str, pair: Credentials, *, actor: Actor, reason: str) -> Replaced:
    """Give an account another key pair, after the broker has taken it.

    1. Refuse a key that is known here already.
    2. Ask the broker for the account with the new key, holding no database connection.
    3. Refuse the key of another account at the broker.
    4. Store it sealed as the next version, with its entry, in one transaction: every process
       builds its clients anew within a second; what is under way ends with the old key.
    Raises Refused, which leaves an entry in the system journal.
    """
    said = reason_of(reason)
    account = account_of(account_id)
    try:
        return _replace_key(account, pair, actor, said)
    except Refused as refusal:
        # Whoever tries keys is seen; the account's trader is not concerned.
        after = {"account_id": account_id, "why": str(refusal)}
        _append(SYSTEM_JOURNAL, "account.key_refused", actor, said, None, after)
        raise


def _replace_key(account: Account, pair: Credentials, actor: Actor, reason: str) -> Replaced:
    _refuse_known_key(account, pair)
    database.release()
    told = probe(account, pair).body
    was_known = _refuse_other_account(account, told)
    sealed = _store(account, pair, actor, reason, told)
    number = told.get("account_number")
    return Replaced(account.account_id, sealed.version, sealed.hint, number, was_known)


def _refuse_known_key(account: Account, pair: Credentials) -> None:
    held = Credential.objects.filter(fingerprint=vault.fingerprint_of_pair(pair))
    current = [key for key in held.select_related("account") if _is_current(key)]
    for key in current:
        if key.account_id != account.account_id:
            raise Refused(f"this is the key of {key.account_id}")
        if _opens_to(key, pair):
            raise Refused(f"{account} has this key already")


def _is_current(key: Credential) -> bool:
    return key.version == key.account.key_version


def _opens_to(key: Credential, pair: Credentials) -> bool:
    try:
        return vault.open_pair(key) == pair
    except vault.SealBroken:
        # Storing it anew repairs it.
        return False


def probe(account: Account, pair: Credentials) -> Answer:
    """Ask the broker for the account as the holder of this pair. Raises Refused."""
    transport = Transport()
    clients = clients_for(
        credentials=pair,
        endpoint=endpoint_of(account),
        transport=transport,
        guard=Guard(process=Bulkhead(1)),
    )
    try:
        return clients.trading.account()
    except AccessDenied as error:
        raise Refused("the broker does not accept this key; nothing was changed") from error
    except BrokerError as error:
        raise Refused(
            f"the broker could not be asked ({error.outcome}); nothing was changed, try again"
        ) from error
    finally:
        transport.close()


def _refuse_other_account(account: Account, told: Mapping[str, Any]) -> bool:
    """Compare who answered with who answered before; False where nobody ever did."""
    state = AccountState.objects.filter(account=account).first()
    known = (state.broker_account if state else None) or {}
    if known.get("id") is not None and known["id"] != told.get("id"):
        raise Refused(
            f"this key belongs to {told.get('account_number')} at the broker,"
            f" {account} is {known.get('account_number')}; nothing was changed"
        )
    twin = (
        AccountState.objects.filter(
            account__environment=account.environment,
            account__url=account.url,
            broker_account__id=told.get("id"),
        )
        .exclude(account=account)
        .first()
    )
    if twin is not None:
        raise Refused(f"this is a key of {twin.account_id}; nothing was changed")
    return known.get("id") is not None


def _store(
    account: Account, pair: Credentials, actor: Actor, reason: str, told: Mapping[str, Any]
) -> Credential:
    """Write the next version of an account's key.

    1. One change of the roster at a time; refuse where somebody else replaced the key meanwhile.
    2. The pair before it is out of use: an import of the file that still has it must not bring it
    back. 3. The sealed pair. 4. A version of the roster, by which every process notices.
    5. The entry.
    Raises Refused.
    """
    with transaction.atomic():
        row = _held(account)
        before = {"key_version": row.key_version}
        Credential.objects.filter(account=row, version=row.key_version).update(retired_at=Now())
        row.key_version += 1
        row.updated_at = Now()
        sealed = vault.credential_of(account_id=row.pk, version=row.key_version, pair=pair)
        sealed.save(force_insert=True)
        versions.record_key(row, actor=actor.name)
        after = {"key_version": sealed.version, "key_hint": sealed.hint}
        after |= {"account_number": told.get("account_number")}
        _append(row.account_id, "account.key_replaced", actor, reason, before, after)
    return sealed


def _held(account: Account) -> Account:
    try:
        versions.hold()
    except versions.ImportRunning as error:
        raise Refused("an import is running: try again when it is done") from error
    row = Account.objects.select_for_update().get(pk=account.pk)
    if row.key_version != account.key_version:
        raise Refused("somebody else replaced its key at this moment: look again")
    return row


def key_age_days(key: Credential, now: datetime) -> int:
    """Whole days since the key pair came; sealing it anew does not make it younger."""
    return (now - key.created_at).days


def is_old(key: Credential, now: datetime) -> bool:
    """Whether the key should be replaced."""
    return key_age_days(key, now) > OLD_KEY_DAYS
