"""`paper_001` where the network reaches Alpaca: connected, listened to, traded (issue 4, R12).

Alpaca's place is taken on the wire: the production hosts and code, an outbound proxy as R12 has it,
TLS under Alpaca's own name with an authority of the test's, and the sandbox behind it.
"""

from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from django.db import transaction

from accounts import journal
from accounts.models import Account
from accounts.roster import importing
from accounts.roster.changes import Diff
from accounts.roster.files import accounts_in
from opitios.broker.alpaca.endpoints import PAPER
from opitios.core.config import get_config
from opitios.management import paper
from tests.operator.stacks import stack_of
from tests.operator.tls_door import TlsDoor
from tests.support.orders import asked, command
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.conftest import sandbox
from tests.trading.desks import running_desk
from trading import orders

__all__ = ["sandbox"]

pytestmark = pytest.mark.django_db

HOST = "paper-api.alpaca.markets"


@pytest.fixture
def alpaca(
    db: None, sandbox: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TlsDoor]:
    """Alpaca's stand-in behind the proxy of the environment."""
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with TlsDoor(tmp_path, host=HOST, leads_to=int(sandbox.url.rpartition(":")[2])) as door:
        monkeypatch.setenv("HTTPS_PROXY", door.url)
        monkeypatch.setattr(certifi, "where", lambda: str(door.authority))
        yield door
    Account.objects.filter(pk=paper.ACCOUNT).update(enabled=False, closing=False)


def imported(folder: Path) -> None:
    """Import the account as a run with both variables does, beside the accounts of other tests."""
    keys = {
        "ALPACA_API_KEY": SandboxProcess.key(paper.ACCOUNT),
        "ALPACA_SECRET_KEY": SandboxProcess.secret(paper.ACCOUNT),
    }
    path = Path(stack_of(folder, {"ACCOUNTS": "1", **keys}).write_accounts())
    read = accounts_in(path, config=get_config(), environ=keys)
    own = tuple(account for account in read if account.account_id == paper.ACCOUNT)
    asked_for = importing.Import(journal.system("test"), str(path))
    with transaction.atomic():
        importing.apply(Diff(own, (), (), ()), asked_for, lambda _done: None)


def ready() -> Account | None:
    """The account once it is ready, with what its desk tells of it."""
    found = Account.objects.select_related("state").get(pk=paper.ACCOUNT)
    return found if found.state.state == "ready" else None


def test_with_good_keys_it_is_ready_listened_to_and_its_order_fills(
    alpaca: TlsDoor, tmp_path: Path
) -> None:
    assert PAPER.trading_url == f"https://{HOST}"
    imported(tmp_path)

    with running_desk(paper.ACCOUNT) as desk:
        order = orders.place_order(
            command(), account_id=paper.ACCOUNT, environment="paper", asked=asked()
        )
        row = desk.wait_for(order, "filled")
        # An order may be filled before the desk's first look at the account is written down.
        account = until(ready)

    assert row["broker_order_id"]
    assert account
    assert account.environment == "paper"
    assert account.state.stream_state == "listening"
    assert set(alpaca.asked) == {f"{HOST}:443"}
    assert "your Alpaca paper account is connected" in paper.sentence(account.state.state)
