"""An import that must be refused: what it says, and that it changed nothing."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts import journal
from accounts.models import (
    SYSTEM_JOURNAL,
    Account,
    AccountRevision,
    Credential,
    JournalEntry,
    RosterVersion,
)


def written() -> tuple[object, ...]:
    """Everything an import writes; of the accounts, what they are."""
    tables = (Credential, RosterVersion, AccountRevision)
    counts = tuple(table.objects.count() for table in tables)
    about_accounts = JournalEntry.objects.exclude(account_id=SYSTEM_JOURNAL).count()
    accounts = list(Account.objects.order_by("pk").values_list("pk", "enabled", "roster_version"))
    return (*counts, about_accounts, accounts)


def refused(path: Path, *options: str) -> tuple[str, str]:
    """Output and errors of a command that must exit with 1, having changed nothing."""
    out, err = StringIO(), StringIO()
    before = written()
    with pytest.raises(SystemExit) as caught:
        call_command("import_accounts", str(path), *options, stdout=out, stderr=err)
    assert caught.value.code == 1
    assert written() == before
    return out.getvalue(), err.getvalue()


def last_entry() -> dict[str, Any]:
    """The newest entry of the system journal, as the API shows it."""
    return journal.entry_json(JournalEntry.objects.filter(account_id=SYSTEM_JOURNAL).latest("seq"))


def noted() -> int:
    """How many entries the system journal has."""
    return JournalEntry.objects.filter(account_id=SYSTEM_JOURNAL).count()
