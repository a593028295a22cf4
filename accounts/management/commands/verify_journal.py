"""Prove the journals: recompute every hash, and name the first entry that does not hold."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from accounts import journal
from accounts.journal import Verdict
from accounts.models import Account, JournalHead
from opitios.core import database

# One step in the index (account_id, seq) per journal, where DISTINCT would read every entry.
_WITH_ENTRIES = """
WITH RECURSIVE known AS (
    SELECT min(account_id) AS id FROM accounts_journalentry
    UNION ALL
    SELECT (SELECT min(account_id) FROM accounts_journalentry WHERE account_id > known.id)
    FROM known WHERE known.id IS NOT NULL
)
SELECT id FROM known WHERE id IS NOT NULL
"""


class Command(BaseCommand):
    """`verify_journal [--account ID] [--json]`; exit code 1 where a journal does not hold."""

    help = "Recompute every journal's hashes and name the first entry that does not hold."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--account", help="one journal only (_system for the system's own)")
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Walk the journals, then say what was found."""
        account_ids = sorted(journals())
        if options["account"] is not None:
            if options["account"] not in account_ids:
                raise CommandError(f"there is no journal of {options['account']}")
            account_ids = [options["account"]]
        verdicts = list(self._walked(account_ids))
        bad = [verdict for verdict in verdicts if not verdict.ok]
        show = self._show_json if options["json"] else self._show
        show(verdicts, bad)
        if bad:
            raise SystemExit(1)

    def _walked(self, account_ids: list[str]) -> Iterator[Verdict]:
        with Progress(console=Console(stderr=True), disable=not self.stderr.isatty()) as bar:
            yield from bar.track(
                map(journal.verify, account_ids), len(account_ids), description="journals"
            )

    def _show(self, verdicts: list[Verdict], bad: list[Verdict]) -> None:
        for verdict in bad:
            self.stderr.write(f"{verdict.account_id} entry {verdict.first_bad_seq}: {verdict.why}")
        entries = sum(verdict.entries for verdict in verdicts)
        state = f"{len(bad)} do not hold" if bad else "all hold"
        self.stdout.write(f"{len(verdicts)} journals, {entries} good entries: {state}")

    def _show_json(self, verdicts: list[Verdict], bad: list[Verdict]) -> None:
        about = {
            "ok": not bad,
            "journals": len(verdicts),
            "entries": sum(verdict.entries for verdict in verdicts),
            "bad": [
                {"account_id": v.account_id, "first_bad_seq": v.first_bad_seq, "why": v.why}
                for v in bad
            ],
        }
        self.stdout.write(json.dumps(about))


def journals() -> Iterable[str]:
    """Every journal that exists or should: a deleted head must not hide its entries, or an account.

    Returns account ids, `_system` among them.
    """
    heads = set(JournalHead.objects.values_list("account_id", flat=True))
    accounts = set(Account.objects.values_list("account_id", flat=True))
    return heads | accounts | {row["id"] for row in database.rows(_WITH_ENTRIES)}
