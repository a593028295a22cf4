"""The broker's books beside ours, on a page: asked now, and nothing changed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


@pytest.fixture
def pool(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A pool of this test's own, which the page asks."""
    from accounts.pool import Pool  # noqa: PLC0415
    from opitios.core.config import get_config  # noqa: PLC0415
    from trading import accountcards  # noqa: PLC0415

    found = Pool(get_config())
    monkeypatch.setattr(accountcards, "get_pool", lambda: found)
    yield found
    found.stop()


def drift(client: Client, account: str) -> str:
    """The page's HTML."""
    answer = client.get(f"/admin/trading/order/drift/{account}/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_books_that_agree_and_books_that_differ(
    superuser: Client, sandbox: SandboxProcess, pool: Any
) -> None:
    from tests.support.accounts import open_account  # noqa: PLC0415
    from trading.models import Order  # noqa: PLC0415

    account = open_account(url=sandbox.url)
    pool.refresh()
    assert "The books agree." in drift(superuser, account)
    order = {
        "symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day", "qty": "3",
        "limit_price": "1.5",
    }  # fmt: skip
    there = sandbox.trade(account, "POST", "/v2/orders", json=order).json()

    page = drift(superuser, account)

    assert "The books differ." in page
    assert f"?q={there['id']}" in page
    assert not Order.objects.filter(account_id=account).exists()


def test_a_broker_that_is_away_is_said(superuser: Client, account: str, pool: Any) -> None:
    assert "The accounts are being loaded." in drift(superuser, account)
    pool.refresh()

    assert "The broker could not be read" in drift(superuser, account)


def test_only_who_may_see_both_may_compare(signed_in: Callable[..., Client], account: str) -> None:
    for rights in (("view_order",), ("view_account",)):
        page = f"/admin/trading/order/drift/{account}/"
        assert signed_in(*rights).get(page).status_code == 403
    assert (
        signed_in("view_order", "view_account")
        .get("/admin/trading/order/drift/nobody/")
        .status_code
        == 404
    )
