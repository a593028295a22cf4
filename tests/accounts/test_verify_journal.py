"""`verify_journal` names the first entry that does not hold, even one changed behind the guards."""

import json
from collections.abc import Callable
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from psycopg.rows import TupleRow

from accounts import journal
from opitios.core import database

pytestmark = pytest.mark.django_db

ENTRIES, HEADS = "accounts_journalentry", "accounts_journalhead"

Owner = psycopg.Connection[TupleRow]


def a_journal(account_id: str, entries: int = 3) -> None:
    """Open a journal and fill it."""
    database.rows("SELECT journal_open(%s)", (account_id,))
    for number in range(entries):
        entry = journal.body(actor=journal.system("test"), note=f"entry {number}")
        journal.append(account_id, "account.resumed", entry)


def verify(*options: str) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_journal", *options, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_a_good_journal_holds() -> None:
    a_journal("ver-good")

    assert verify("--account", "ver-good") == (0, "1 journals, 3 good entries: all hold\n", "")


def test_every_journal_is_walked_when_none_is_named() -> None:
    a_journal("ver-all")

    code, out, _err = verify("--json")

    answer = json.loads(out)
    assert (code == 0) == answer["ok"]
    assert answer["journals"] >= 2


EDIT = "UPDATE {entries} SET body = replace(body, 'entry 1', 'entry 7') WHERE {it} AND seq = 2"


@pytest.mark.parametrize(
    ("account_id", "sql", "seq", "why"),
    [
        ("ver-body", EDIT, 2, "hashed"),
        ("ver-kind", "UPDATE {entries} SET kind = 'x.y' WHERE {it} AND seq = 3", 3, "hashed"),
        ("ver-time", "UPDATE {entries} SET recorded_at = now() WHERE {it}", 1, "hashed"),
        ("ver-gone", "DELETE FROM {entries} WHERE {it} AND seq = 2", 2, "missing"),
        ("ver-last", "DELETE FROM {entries} WHERE {it} AND seq = 3", 3, "head says 3"),
        ("ver-none", "DELETE FROM {entries} WHERE {it}", 1, "head says 3"),
        ("ver-head", "DELETE FROM {heads} WHERE {it}", 4, "head is gone"),
        ("ver-hash", "UPDATE {heads} SET hash = sha256('x') WHERE {it}", 4, "head"),
    ],
)
def test_what_was_changed_behind_the_guards_is_named(
    tampered: Callable[[str], None], account_id: str, sql: str, seq: int, why: str
) -> None:
    a_journal(account_id)

    tampered(sql.format(entries=ENTRIES, heads=HEADS, it=f"account_id = '{account_id}'"))

    code, out, err = verify("--account", account_id)
    assert code == 1
    assert err.startswith(f"{account_id} entry {seq}: ")
    assert why in err
    assert out.endswith("1 do not hold\n")
    assert code == verify("--account", account_id, "--json")[0]


def test_an_unknown_journal_is_told() -> None:
    with pytest.raises(CommandError, match="no journal of nobody"):
        verify("--account", "nobody")
