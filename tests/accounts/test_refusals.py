"""Refused attempts are counted as api.md §8 says, and cost no more than the capped entries."""

import json
import os
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from accounts import refusals
from accounts.models import SYSTEM_JOURNAL, JournalEntry
from accounts.refusals import KIND, MOST_KEYS, Refusals, RefusedAttempt, source_of
from accounts.tokens import Principal
from opitios.core import clock
from opitios.core.config import get_config
from tests.api.calls import Api, problem
from tests.support.accounts import open_account, token
from tests.support.orders import entries
from tests.support.until import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Refusals:
    """The books of a process of its own, whose window does not end within a test."""
    config = get_config()
    roomy = config.model_copy(
        update={"timers": config.timers.model_copy(update={"refusal_window": 1e9})}
    )
    own = Refusals(roomy)
    monkeypatch.setattr(refusals, "get_refusals", lambda: own)
    return own


def told_of(name: str) -> list[dict[str, Any]]:
    """The entries about a subject or a source, oldest first."""
    found = JournalEntry.objects.filter(
        account_id=SYSTEM_JOURNAL, kind=KIND, body__contains=json.dumps(name)
    )
    bodies = [json.loads(entry.body) for entry in found.order_by("seq")]
    return [body for body in bodies if body["actor"]["name"] == name]


def somebody() -> str:
    """An address that no other test comes from."""
    return f"10.{'.'.join(str(byte) for byte in os.urandom(3))}"


def known(sub: str) -> Principal:
    """A principal that holds nothing."""
    now = clock.now()
    return Principal(
        sub=sub,
        accounts=frozenset(),
        permissions=frozenset(),
        issued_at=now,
        expires_at=now + timedelta(hours=1),
        key_id="test",
    )


def test_a_flood_of_one_source_is_one_entry_with_its_count(counted: Refusals) -> None:
    address = somebody()
    for _ in range(10_000):
        counted.note(RefusedAttempt("unauthorized", address, "req_first"))

    counted.flush()

    (entry,) = told_of(address)
    assert entry["actor"] == {"kind": "unknown", "name": address, "on_behalf_of": None}
    assert (entry["after"]["count"], entry["reason"]) == (10_000, "unauthorized")
    assert entry["request"]["request_id"] == "req_first"
    assert counted.totals() == {"unauthorized": 10_000}


def test_a_flood_of_ten_thousand_sources_costs_at_most_the_capped_entries(
    counted: Refusals,
) -> None:
    mark = uuid4().hex
    before = JournalEntry.objects.filter(account_id=SYSTEM_JOURNAL, kind=KIND).count()
    for number in range(10_000):
        subject = known(f"{mark}-{number}")
        counted.note(RefusedAttempt("not-found", "10.0.0.1", "req_x", subject, f"a-{number}"))

    assert len(counted._open) == MOST_KEYS + 1
    counted.flush()

    after = JournalEntry.objects.filter(account_id=SYSTEM_JOURNAL, kind=KIND).count()
    assert after - before == MOST_KEYS + 1
    (rest,) = [
        body
        for body in told_of(refusals.OTHERS)
        if f"a-{MOST_KEYS}" in body["after"]["account_ids"]
    ]
    assert rest["after"]["count"] == 10_000 - MOST_KEYS
    assert len(rest["after"]["account_ids"]) == refusals.NAMED


def test_a_known_principal_is_one_entry_a_reason_and_names_the_accounts(
    counted: Refusals,
) -> None:
    mine, theirs, sub = Api.open(), open_account(), f"curious-{uuid4().hex}"
    mine.token = token([mine.account], sub=sub, permissions=["account_read"])
    address = somebody()

    for account_id in (theirs, theirs, "no-such-account", "../etc/passwd%0a"):
        path = f"/api/v1/accounts/{account_id}/orders"
        answered = mine.client.get(
            path, headers={"Authorization": f"Bearer {mine.token}"}, REMOTE_ADDR=address
        )
        assert answered.status_code == 404
    problem(mine.place(), 403, "missing-permission")
    counted.flush()

    by_reason = {entry["reason"]: entry for entry in told_of(sub)}
    assert set(by_reason) == {"not-found", "missing-permission"}
    foreign = by_reason["not-found"]["after"]
    assert (foreign["count"], foreign["sources"]) == (3, [address])
    assert foreign["account_ids"] == [theirs, "no-such-account"]
    assert by_reason["missing-permission"]["after"]["account_ids"] == [mine.account]
    # Nothing in any account's own chain: not in theirs, not in the caller's.
    assert (entries(theirs), entries(mine.account)) == ([], [])


def test_a_wrong_token_is_told_by_its_source(counted: Refusals) -> None:
    address = somebody()
    api = Api.open()
    for header in ("Bearer x.y.z", "Basic abc", None):
        headers = {} if header is None else {"Authorization": header}
        answered = api.client.get(api.orders, headers=headers, REMOTE_ADDR=address)
        assert answered.status_code == 401
    counted.flush()

    (entry,) = told_of(address)
    assert (entry["after"]["count"], entry["after"]["reasons"]) == (3, {"unauthorized": 3})
    assert entry["after"]["account_ids"] == [api.account]
    assert entries(api.account) == []


@pytest.mark.parametrize("body", [b"{", b"[]", {"symbol": "AAPL"}, b"\xff"])
def test_a_malformed_body_of_a_rightful_principal_is_only_logged(
    counted: Refusals, body: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    api = Api.open()

    answered = api.place(body)

    assert answered.status_code in {400, 422}
    assert counted.totals() == {}
    assert entries(api.account) == []
    # Other threads of this process may have said something, too.
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line[:1] == "{"]
    [line] = [line for line in said if line.get("path", "").startswith(api.orders)]
    assert (line["logger"], line["status"]) == ("access", answered.status_code)
    assert line["reason"] in {"malformed-body", "invalid-order"}


def test_a_refusal_waits_for_nobody_and_is_written_when_postgres_takes_it(
    counted: Refusals,
) -> None:
    address = somebody()

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as holder:
        holder.execute("SELECT journal_lock('_system')")
        counted.note(RefusedAttempt("unauthorized", address, "req_x"))
        counted.flush()
        assert told_of(address) == []
    counted.flush()

    (entry,) = told_of(address)
    assert entry["after"]["count"] == 1


def test_windows_end_by_themselves() -> None:
    config = get_config()
    brief = config.timers.model_copy(update={"refusal_window": 0.2})
    own = Refusals(config.model_copy(update={"timers": brief}))
    address = somebody()
    own.note(RefusedAttempt("unauthorized", address, "req_x"))

    until(lambda: told_of(address), seconds=10)


def test_addresses_of_one_line_are_one_source() -> None:
    assert source_of("2001:db8:1:2::1") == source_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert source_of("::ffff:10.1.2.3") == source_of("10.1.2.3") == "10.1.2.3"
    assert source_of("") == source_of("\x1b[2J") == "unknown"
