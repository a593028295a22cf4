"""`replace_key`: nothing is swapped before the broker has taken the key of the same account."""

from datetime import timedelta

import pytest

from accounts import custody, journal, vault
from accounts.custody import Refused
from accounts.models import Account, Credential, RosterVersion
from accounts.pool import Pool
from opitios.broker.alpaca.transport import TransportTimers
from opitios.broker.port import Credentials
from opitios.core import clock
from opitios.core.config import get_config
from tests.accounts.custodial import (
    ME,
    check,
    current_key,
    key_of,
    last_system_seq,
    system_entries,
)
from tests.support.accounts import NOWHERE, open_account
from tests.support.orders import entries, kinds
from tests.support.sandbox_process import SandboxProcess
from tests.trading.desks import running_desk

pytestmark = pytest.mark.django_db


def test_a_key_the_broker_takes_becomes_the_next_version(trading_account: str) -> None:
    check(trading_account)
    pool = Pool(get_config())
    pool.refresh()
    new = key_of(trading_account, 2)

    done = custody.replace_key(trading_account, new, actor=ME, reason="ninety days old")

    assert (done.version, done.was_known) == (2, True)
    key = current_key(trading_account)
    assert (key.version, key.hint) == (2, done.hint)
    assert vault.open_pair(key) == new
    assert pool.refresh()
    account = pool.get(trading_account)
    assert account is not None
    assert (account.key_version, account.credentials) == (2, new)
    # The old version stays, for the record; its age and bytes are what they were.
    assert Credential.objects.filter(account_id=trading_account).count() == 2


def test_its_entry_has_actor_reason_and_version_and_no_key(trading_account: str) -> None:
    new = key_of(trading_account, 2)

    done = custody.replace_key(trading_account, new, actor=ME, reason="ninety days old")

    [entry] = entries(trading_account)
    assert (entry["kind"], entry["reason"]) == ("account.key_replaced", "ninety days old")
    assert entry["actor"]["name"] == "jane"
    assert entry["before"] == {"key_version": 1}
    assert entry["after"] == {
        "key_version": 2, "key_hint": done.hint, "account_number": done.account_number,
    }  # fmt: skip
    assert new.key_id not in str(entry)
    assert journal.verify(trading_account).ok
    assert RosterVersion.objects.latest("version").source == "replace_key"


def refused(account_id: str, pair: Credentials, why: str) -> None:
    """Try a key that is refused: nothing changes but the system journal."""
    before, seq = current_key(account_id), last_system_seq()
    rosters = RosterVersion.objects.count()

    with pytest.raises(Refused, match=why):
        custody.replace_key(account_id, pair, actor=ME, reason="ninety days old")

    assert current_key(account_id) == before
    assert Credential.objects.filter(account_id=account_id).count() == before.version
    assert RosterVersion.objects.count() == rosters
    assert kinds(account_id) == []
    [entry] = system_entries(seq)
    assert (entry["kind"], entry["reason"]) == ("account.key_refused", "ninety days old")
    assert entry["after"]["account_id"] == account_id
    assert pair.key_id not in str(entry)
    assert pair.secret not in str(entry)


def test_a_key_the_broker_does_not_take_changes_nothing(trading_account: str) -> None:
    wrong = Credentials(SandboxProcess.key(trading_account), "sandbox-secret-of-nobody")

    refused(trading_account, wrong, "does not accept this key")


def test_the_key_of_another_account_of_ours_is_refused_without_asking(
    trading_account: str, sandbox: SandboxProcess
) -> None:
    other = open_account(url=sandbox.url)

    refused(trading_account, key_of(other), f"this is the key of {other}")


def test_a_later_key_of_another_account_of_ours_is_refused_after_asking(
    trading_account: str, sandbox: SandboxProcess
) -> None:
    other = open_account(url=sandbox.url)
    check(other)

    refused(trading_account, key_of(other, 2), f"this is a key of {other}")


def test_the_key_of_a_stranger_at_the_broker_is_refused(trading_account: str) -> None:
    check(trading_account)

    refused(trading_account, key_of(f"{trading_account}-stranger"), "belongs to .* at the broker")


def test_the_present_key_is_refused(trading_account: str) -> None:
    refused(trading_account, key_of(trading_account), "has this key already")


def test_a_broker_that_is_away_changes_nothing() -> None:
    account_id = open_account(url=NOWHERE)

    refused(account_id, key_of(account_id, 2), "could not be asked .*try again")


def test_a_pair_that_no_longer_opens_is_repaired_by_the_same_key(trading_account: str) -> None:
    Credential.objects.filter(account_id=trading_account).update(sealed_secret_key=b"\x01broken")

    done = custody.replace_key(
        trading_account, key_of(trading_account), actor=ME, reason="it was damaged"
    )

    assert (done.version, done.was_known) == (2, False)
    assert vault.open_pair(current_key(trading_account)) == key_of(trading_account)


def test_an_order_under_way_ends_with_the_old_key_and_the_next_goes_with_the_new(
    trading_account: str, sandbox: SandboxProcess
) -> None:
    from tests.support.orders import place  # noqa: PLC0415 - after Django's set-up

    # Long enough to see it on its way, and to replace the key meanwhile, on a crowded machine too.
    unhurried = TransportTimers(connect=60.0, submit=60.0, other=60.0)
    with running_desk(trading_account, calls=unhurried) as desk:
        sandbox.fault("delay", account=trading_account, route="POST /v2/orders", ms=1500, times=1)
        flying = place(trading_account)
        desk.wait_for(flying, "submitting")

        custody.replace_key(trading_account, key_of(trading_account, 2), actor=ME, reason="now")
        desk.desk._pool.refresh()

        row = desk.wait_for(flying, "filled")
        following = desk.wait_for(place(trading_account), "filled")
        account = desk.desk._pool.get(trading_account)

    assert account is not None
    assert account.key_version == 2
    assert (row["attempts"], following["attempts"]) == (1, 1)


def test_the_age_of_a_key_is_that_of_the_pair(trading_account: str) -> None:
    key, now = current_key(trading_account), clock.now()
    key.created_at, key.sealed_at = now - timedelta(days=91, hours=1), now

    assert custody.key_age_days(key, now) == 91
    assert custody.is_old(key, now)
    assert not custody.is_old(key, now - timedelta(days=1))


def test_an_account_that_does_not_exist_is_named() -> None:
    with pytest.raises(Refused, match="there is no account 'nobody'"):
        custody.replace_key("nobody", key_of("nobody"), actor=ME, reason="why not")
    assert not Account.objects.filter(pk="nobody").exists()
