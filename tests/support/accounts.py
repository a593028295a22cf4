"""Accounts of a test's own, as an import leaves them, and tokens for them.

Import late from a conftest: Django is set up after conftests are read.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from django.db import transaction

from accounts import journal
from accounts.roster import importing
from accounts.roster.changes import Diff
from accounts.roster.reading import Lines, RosterAccount
from accounts.tokens import Grant, mint
from opitios.core import clock, database
from tests.support.sandbox_process import SandboxProcess

# Nobody listens there: port 9 is "discard".
NOWHERE = "http://127.0.0.1:9"

TRADER = ("account_read", "trade")


def open_accounts(
    count: int, *, url: str = NOWHERE, account_type: str = "trading", secret: str | None = None
) -> list[str]:
    """Import so many sandbox accounts under ids nobody has, leaving all others alone.

    secret: where it is not their own, and the sandbox refuses them.
    """
    ids = [f"t-{uuid4().hex[:12]}" for _ in range(count)]
    added = tuple(_described(each, url, account_type, secret) for each in ids)
    asked = importing.Import(journal.system("test"), "accounts of a test")
    with transaction.atomic():
        importing.apply(Diff(added, (), (), ()), asked, lambda _done: None)
    return [account.account_id for account in added]


def open_account(*, url: str = NOWHERE) -> str:
    """Import one sandbox account under an id nobody has."""
    return open_accounts(1, url=url)[0]


def _described(
    account_id: str, url: str, account_type: str, secret: str | None = None
) -> RosterAccount:
    return RosterAccount(
        account_id=account_id,
        account_type=account_type,
        environment="sandbox",
        url=url,
        priority="normal",
        max_connections=5,
        api_key=SandboxProcess.key(account_id),
        secret_key=secret or SandboxProcess.secret(account_id),
        path="accounts[0]",
        lines=Lines(1, 1, 1, 1),
    )


def lease(account_id: str, owner: str, *, seconds: float = 3600.0) -> None:
    """Let an owner hold an account, whoever held it before; for longer than a test can last."""
    database.rows(
        "INSERT INTO accounts_lease (account_id, owner, fence, expires_at)"
        " VALUES (%s, %s, 1, clock_timestamp() + %s * interval '1 second')"
        " ON CONFLICT (account_id) DO UPDATE SET owner = excluded.owner,"
        " fence = accounts_lease.fence + 1, expires_at = excluded.expires_at",
        (account_id, owner, seconds),
    )


def token(
    accounts: Sequence[str] | None, *, permissions: Sequence[str] = TRADER, sub: str = "bot-7"
) -> str:
    """A token for these accounts (None: all of them), valid for an hour."""
    grant = Grant(sub, accounts, permissions, timedelta(hours=1))
    return mint(grant, now=clock.now())
