"""Law 8: what is secret is shown by nothing that prints, pickles or answers (G13, H121)."""

import json
import pickle

import pytest

from accounts.models import Account, AccountState, Credential, RosterVersion
from accounts.pool import Pool, get_pool
from opitios.core.config import get_config
from tests.api.calls import Api
from tests.support.accounts import open_account, token
from tests.support.orders import entries, place, row_of
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.django_db


def secrets_of(account_id: str) -> list[str]:
    """What must never be seen: the account's pair, and the keys of this process."""
    config = get_config()
    ring = [key.key.get_secret_value() for key in config.jwt_keys]
    return [
        SandboxProcess.secret(account_id), SandboxProcess.key(account_id), *ring,
        config.secret_key.get_secret_value(), config.master_keys.get_secret_value(),
        config.database_url.get_secret_value(),
    ]  # fmt: skip


def assert_hidden(text: str, account_id: str) -> None:
    """None of the secrets stands in the text."""
    assert [secret for secret in secrets_of(account_id) if secret in text] == []


def test_nothing_that_is_printed_shows_a_key() -> None:
    """H121, H123, H127."""
    account_id = open_account()
    pool = Pool(get_config())
    pool.refresh()
    pooled = pool.get(account_id)
    assert pooled is not None
    shown = [pooled, pooled.clients, pooled.credentials, pool, get_config(),
             *Credential.objects.filter(account_id=account_id)]  # fmt: skip

    for each in shown:
        inside = vars(each) if hasattr(each, "__dict__") else ""
        assert_hidden(f"{each!r} {each} {inside}", account_id)


def test_credentials_cannot_be_pickled() -> None:
    """H127."""
    account_id = open_account()
    pool = Pool(get_config())
    pool.refresh()
    pooled = pool.get(account_id)
    assert pooled is not None

    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(pooled.credentials)


def test_no_column_of_an_account_holds_a_key_in_clear() -> None:
    """H121, H130."""
    account_id = open_account()
    for model in (Account, AccountState, Credential, RosterVersion):
        for row in model.objects.order_by("pk"):
            stored = {name: bytes(value) if isinstance(value, memoryview) else value
                      for name, value in vars(row).items()}  # fmt: skip
            assert_hidden(str(stored), account_id)
            assert_hidden(repr(stored), account_id)


def test_no_answer_shows_a_key() -> None:
    """H121, H131."""
    api = Api.open()
    api.place()
    watcher = Api(api.account, token([api.account], permissions=["monitor"]))
    get_pool().write_row()

    for response in (
        api.get(), api.get(f"/api/v1/accounts/{api.account}/journal"),
        api.get(f"/api/v1/accounts/{api.account}/account"), watcher.get("/api/v1/pool"),
        watcher.get("/api/v1/health"), api.get("/api/v1/token"), api.get("/api/v1/accounts"),
    ):  # fmt: skip
        assert_hidden(response.content.decode(), api.account)


def test_neither_journal_nor_row_nor_bus_shows_a_token() -> None:
    api = Api.open()
    api.place()
    order = place(api.account)

    shown = json.dumps(entries(api.account)) + str(row_of(order))
    assert api.token not in shown
    assert api.token.split(".")[2] not in shown
    assert_hidden(shown, api.account)


def test_the_access_log_has_neither_query_nor_token(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """H122, H124: but the user agent, which is for finding who asked."""
    api = Api.open()

    api.get("?status=all&page_token=CANARY", User_Agent="bot/7")

    logged = "".join(capfd.readouterr()) + caplog.text
    assert '"logger":"access"' in logged
    assert api.orders in logged
    assert "CANARY" not in logged
    assert "bot/7" in logged
    assert api.token not in logged
