"""Two imports at once: one after the other, never a mixture of both."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import TupleRow

from accounts.models import Account, RosterVersion
from tests.accounts.rosters import entry, roster, write
from tests.matrix.nodes import Node, running
from tests.support.until import until
from tests.trading.desks import only

pytestmark = pytest.mark.django_db

# In this worker's database alone: others of the same server have waiters of their own.
_WAITING = (
    "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
    " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
)


@pytest.fixture
def ids(db: None) -> Iterator[list[str]]:
    """Ids of the test's own, on a roster of nobody else."""
    name = f"once-{uuid4().hex[:8]}"
    ids = [f"{name}-{number}" for number in range(6)]
    with only():
        yield ids
        Account.objects.filter(account_id__in=ids).update(enabled=False, closing=False)


def importing(path: Path, folder: Path) -> Node:
    """An import in a process of its own."""
    return Node("none", ("manage.py", "import_accounts", str(path), "--json"), folder, {})


def said(node: Node) -> dict[str, Any]:
    """What an import answered."""
    assert node.ended(60) == 0, node.log.read_text()
    found: dict[str, Any] = json.loads(node.log.read_text().splitlines()[-1])
    return found


def enabled(ids: list[str]) -> dict[str, str]:
    """The accounts that are in the roster, and their priorities."""
    found = Account.objects.filter(account_id__in=ids, enabled=True)
    return dict(found.values_list("account_id", "priority"))


def test_two_imports_at_once_come_one_after_the_other(
    ids: list[str], tmp_path: Path, application_connection: psycopg.Connection[TupleRow]
) -> None:
    high, low = "{priority: high}", "{priority: low}"
    files = (
        write(tmp_path, roster(*(entry(i, connection_pool=high) for i in ids[:4])), "one.yaml"),
        write(tmp_path, roster(*(entry(i, connection_pool=low) for i in ids[2:])), "two.yaml"),
    )
    application_connection.execute("SELECT pg_advisory_lock(hashtext('opitios roster'))")
    nodes = [importing(path, tmp_path) for path in files]
    with running(*nodes):
        until(lambda: application_connection.execute(_WAITING).fetchone() == (2,), seconds=60)
        application_connection.execute("SELECT pg_advisory_unlock_all()")

        first, last = sorted(map(said, nodes), key=lambda each: each["version"])

    assert (len(first["added"]), first["changed"], first["disabled"]) == (4, [], [])
    # The second compared with what the first left.
    assert len(last["added"]) == len(last["disabled"]) == len(last["changed"]) == 2
    is_two_last = ids[0] in first["added"]
    expected = dict.fromkeys(ids[2:], "low") if is_two_last else dict.fromkeys(ids[:4], "high")
    assert enabled(ids) == expected
    assert (
        RosterVersion.objects.filter(version__in=[first["version"], last["version"]]).count() == 2
    )


def test_an_import_that_waited_reads_the_file_as_it_is_then(
    ids: list[str], tmp_path: Path, application_connection: psycopg.Connection[TupleRow]
) -> None:
    path = write(tmp_path, roster(entry(ids[0])))
    application_connection.execute("SELECT pg_advisory_lock(hashtext('opitios roster'))")
    node = importing(path, tmp_path)
    with running(node):
        until(lambda: application_connection.execute(_WAITING).fetchone() == (1,), seconds=60)

        write(tmp_path, roster(entry(ids[0]), entry(ids[1])))
        application_connection.execute("SELECT pg_advisory_unlock_all()")

        assert said(node)["added"] == ids[:2]
