"""A rotation seals every pair anew: the old master key opens nothing, and no value may move."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from accounts import journal, rotation, vault
from accounts.apps import SERVING
from accounts.custody import Refused
from accounts.models import SYSTEM_JOURNAL, Credential, ProcessRow, Rotation
from accounts.rotation import Rotated, rotate
from accounts.vault import SealBroken, open_pair
from opitios.core import clock
from tests.accounts.custodial import ME, key_of, last_system_seq, system_entries
from tests.accounts.rings import forget_processes, fresh_key, use_ring
from tests.support.accounts import open_accounts
from tests.support.environment import MASTER_KEY

pytestmark = [pytest.mark.usefixtures("own_database"), pytest.mark.django_db]

SEALED = ("wrapped_data_key", "sealed_api_key", "sealed_secret_key")


@pytest.fixture(autouse=True)
def _rolled_back(db: None) -> Iterator[None]:
    with transaction.atomic():
        forget_processes()
        yield
        transaction.set_rollback(True)


@pytest.fixture
def accounts() -> list[str]:
    """Two accounts of the test's own, the first with an older version of its key."""
    one, two = open_accounts(2)
    older = vault.credential_of(account_id=one, version=2, pair=key_of(one, 2))
    older.save(force_insert=True)
    return [one, two]


@pytest.fixture
def new_key(accounts: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A ring whose newest key is a new one."""
    new = fresh_key("k2")
    use_ring(monkeypatch, new, MASTER_KEY)
    return new


def rotated(**changed: Any) -> Rotated:
    """Rotate everything."""
    return rotate(**{"actor": ME, "reason": "every quarter", **changed})


def of(accounts: list[str]) -> list[Credential]:
    """The stored pairs of these accounts."""
    return list(Credential.objects.filter(account_id__in=accounts).order_by("pk"))


def sealed(key: Credential) -> list[bytes]:
    """What stands sealed in a row."""
    return [bytes(getattr(key, name)) for name in SEALED]


def every_value(keys: list[Credential]) -> set[bytes]:
    """Everything that stands sealed in these rows."""
    return {value for key in keys for value in sealed(key)}


def test_every_pair_is_sealed_anew_old_versions_too_and_opens_to_what_it_was(
    accounts: list[str], new_key: str
) -> None:
    before = of(accounts)
    pairs = [open_pair(key) for key in before]
    told: list[tuple[int, int]] = []

    done = rotated(progress=lambda sealed, of: told.append((sealed, of)))

    after = of(accounts)
    assert [open_pair(key) for key in after] == pairs
    assert {key.master_key_id for key in after} == {"k2"}
    assert not every_value(before) & every_value(after)
    for name in ("version", "hint", "fingerprint", "created_at"):
        assert [getattr(key, name) for key in after] == [getattr(key, name) for key in before]
    assert not Credential.objects.exclude(master_key_id="k2").exists()
    assert (done.unused, done.resumed, done.broken) == (("k1",), False, {})
    assert done.sealed == Credential.objects.count()
    assert told[-1] == (done.sealed, done.sealed)


def test_the_old_master_key_opens_nothing_any_more(
    accounts: list[str], new_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotated()

    use_ring(monkeypatch, MASTER_KEY)
    for key in of(accounts):
        with pytest.raises(SealBroken, match="'k2' is not in the ring"):
            open_pair(key)
        key.master_key_id = "k1"
        with pytest.raises(SealBroken, match="sealed under another key"):
            open_pair(key)
    use_ring(monkeypatch, new_key)
    assert all(open_pair(key) for key in of(accounts))


@pytest.mark.parametrize("name", SEALED)
def test_no_value_opens_in_another_account_or_version_after_a_rotation(
    accounts: list[str], new_key: str, name: str
) -> None:
    rotated()
    first, second_version, other = of([accounts[0]]) + of([accounts[1]])

    for stranger in (second_version, other):
        row = of([accounts[0]])[0]
        setattr(row, name, getattr(stranger, name))
        with pytest.raises(SealBroken, match="changed, moved"):
            open_pair(row)
    # All three values together do not open either, nor one in the other's field.
    for field in SEALED:
        setattr(first, field, getattr(other, field))
    with pytest.raises(SealBroken):
        open_pair(first)
    other.sealed_secret_key = other.sealed_api_key
    with pytest.raises(SealBroken, match="secret_key"):
        open_pair(other)


def test_without_a_new_master_key_the_data_keys_are_fresh(accounts: list[str]) -> None:
    before = of(accounts)

    done = rotated()

    after = of(accounts)
    assert {key.master_key_id for key in after} == {"k1"}
    assert not every_value(before) & every_value(after)
    assert [open_pair(key) for key in after] == [open_pair(key) for key in before]
    assert done.unused == ()


def test_each_batch_has_its_entry_with_actor_and_reason(accounts: list[str], new_key: str) -> None:
    seq = last_system_seq()

    done = rotated()

    told = system_entries(seq)
    assert [told[0]["kind"], told[-1]["kind"]] == [
        "secrets.rotation_began", "secrets.rotation_ended",
    ]  # fmt: skip
    assert {entry["kind"] for entry in told[1:-1]} == {"secrets.rotated"}
    assert {(entry["actor"]["name"], entry["reason"]) for entry in told} == {
        ("jane", "every quarter")
    }
    pairs = [pair for entry in told[1:-1] for pair in entry["after"]["key_pairs"]]
    assert len(pairs) == done.sealed
    assert {"account_id": accounts[0], "key_version": 2, "was_under": "k1"} in pairs
    assert journal.verify(SYSTEM_JOURNAL).ok
    assert Rotation.objects.get(pk=done.rotation).ended_at is not None


def process_row(name: str, marks: dict[str, str], role: str = "web") -> None:
    """A living process that has this ring."""
    now = clock.now()
    ProcessRow.objects.create(
        name=name, role=role, pid=1, started_at=now, seen_at=now, snapshot={"master_keys": marks}
    )


def test_nothing_is_sealed_with_a_key_that_a_running_process_lacks(
    accounts: list[str], new_key: str
) -> None:
    marks = vault.ring_marks()
    process_row("web-1", marks)
    process_row("desk-1", {"k1": marks["k1"]}, "desk")
    process_row("web-2", marks | {"k2": "another key of that name"})
    process_row("beat-1", {}, "beat")
    before, seq = of(accounts), last_system_seq()

    with pytest.raises(Refused, match="'k2' is not known to desk-1, web-2: give it"):
        rotated()

    assert [sealed(key) for key in of(accounts)] == [sealed(key) for key in before]
    assert last_system_seq() == seq
    assert rotation.outlook().strangers == ("desk-1", "web-2")
    assert "beat" not in SERVING


def test_a_pair_that_does_not_open_is_left_alone_and_keeps_the_rotation_open(
    accounts: list[str], new_key: str
) -> None:
    [broken] = of([accounts[1]])
    whole = broken.sealed_api_key
    Credential.objects.filter(pk=broken.pk).update(sealed_api_key=b"\x01broken")

    done = rotated()

    assert list(done.broken) == [broken.pk]
    assert f"{accounts[1]} v1: api_key" in done.broken[broken.pk]
    assert rotation.outlook().is_open
    assert done.unused == ()
    Credential.objects.filter(pk=broken.pk).update(sealed_api_key=whole)
    again = rotated()
    assert (again.rotation, again.resumed, again.sealed) == (done.rotation, True, 1)
    assert again.unused == ("k1",)
    assert not rotation.outlook().is_open


def test_an_older_version_that_does_not_open_is_told_and_stops_nothing(
    accounts: list[str], new_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_ring(monkeypatch, fresh_key("lost"), MASTER_KEY)
    replaced = vault.credential_of(account_id=accounts[1], version=7, pair=key_of(accounts[1]))
    replaced.save(force_insert=True)
    use_ring(monkeypatch, new_key, MASTER_KEY)

    done = rotated()

    assert (done.broken, list(done.lost)) == ({}, [replaced.pk])
    assert "'lost' is not in the ring" in done.lost[replaced.pk]
    assert not rotation.outlook().is_open


def test_a_newer_master_key_that_comes_meanwhile_is_the_one_in_the_end(
    accounts: list[str], new_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = fresh_key("k3")

    def cut_off(_done: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotated(progress=cut_off)
    use_ring(monkeypatch, newest, new_key, MASTER_KEY)

    done = rotated()

    assert done.resumed
    assert {key.master_key_id for key in of(accounts)} == {"k3"}
    assert done.unused == ("k1", "k2")


def test_a_mark_tells_equal_keys_and_nothing_of_them(
    new_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = vault.ring_marks()
    use_ring(monkeypatch, MASTER_KEY)

    assert vault.ring_marks() == {"k1": marks["k1"]}
    assert marks["k2"] not in new_key
    assert len(set(marks.values())) == 2


def test_digests_made_under_an_older_secret_are_made_anew(accounts: list[str]) -> None:
    Credential.objects.filter(account_id__in=accounts).update(fingerprint="of another SECRET_KEY")

    rotated()

    for key in of(accounts):
        assert key.fingerprint == vault.fingerprint_of_pair(open_pair(key))
