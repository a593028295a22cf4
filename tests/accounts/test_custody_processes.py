"""A replaced key is used by every running process at once, and the quarantine ends with it."""

from pathlib import Path

import pytest
import requests

from accounts import custody
from accounts.journal import system
from accounts.models import Account, AccountState
from accounts.roster import versions
from accounts.vault import credential_of
from opitios.broker.port import Credentials
from opitios.core import clock
from tests.accounts.custodial import ME, key_of
from tests.matrix.nodes import Caller, Web, desk_node, listens, running
from tests.support.orders import kinds
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

ORDER = {
    "symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "1",
    "limit_price": "187.25",
}  # fmt: skip


def state_of(account_id: str) -> str:
    """What its desk says of the account's key."""
    return AccountState.objects.get(account_id=account_id).state


def import_wrong_key(account_id: str) -> None:
    """What an account file with a mistyped secret does."""
    from django.db import transaction  # noqa: PLC0415 - after Django's set-up

    wrong = Credentials(SandboxProcess.key(account_id), "sandbox-secret-mistyped")
    with transaction.atomic():
        versions.hold()
        account = Account.objects.get(pk=account_id)
        account.key_version = 2
        credential_of(account_id=account_id, version=2, pair=wrong).save(force_insert=True)
        versions.record_key(account, actor=system("test").name)


def test_c27_a_replaced_key_ends_the_quarantine_and_is_used_by_web_and_desk(
    trading_account: str, tmp_path: Path
) -> None:
    web, desk = Web(tmp_path), desk_node(tmp_path)
    me = Caller(trading_account)
    reads = f"{web.origin}/api/v1/accounts/{trading_account}/positions"

    def positions() -> int:
        return requests.get(reads, headers=me.headers(), timeout=60).status_code

    with only(trading_account), running(web, desk):
        web.wait_until_ready()
        listens(trading_account)
        assert me.place(web, "good", ORDER).status_code == 202
        until(lambda: state_of(trading_account) == "ready", seconds=20)
        import_wrong_key(trading_account)
        until(lambda: state_of(trading_account) == "quarantined", seconds=30)
        until(lambda: positions() == 503, seconds=10)

        custody.replace_key(trading_account, key_of(trading_account, 2), actor=ME, reason="typo")

        until(lambda: state_of(trading_account) == "ready", seconds=20)
        until(lambda: positions() == 200, seconds=10)
        until(lambda: is_accepted(me, web), seconds=10)

    told = [kind for kind in kinds(trading_account) if kind.startswith("account.")]
    assert told == ["account.quarantined", "account.key_replaced", "account.released"]


def is_accepted(me: Caller, web: Web) -> bool:
    """Whether another order is taken."""
    return me.place(web, f"again-{clock.monotonic()}", ORDER).status_code == 202
