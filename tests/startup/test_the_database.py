"""A database that would break a promise ends the start: each condition is really made (G1, G11)."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.test import Client
from psycopg import sql

from accounts import checks as of_accounts
from accounts.models import Account, Credential
from opitios import checks as of_the_roof
from opitios.core import database, startup
from opitios.core.config import Config, get_config
from tests.support.accounts import open_account, token

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

APPLICATION = "application"


@pytest.fixture
def config() -> Config:
    """The settings of the tests, nothing accepted."""
    return get_config().model_copy(update={"accepted_findings": []})


@pytest.fixture
def superuser(server_url: str, own_database: None) -> Iterator[psycopg.Connection[Any]]:
    """The server's own login, in the database of these tests."""
    name = urlsplit(os.environ["DATABASE_URL"]).path
    url = urlsplit(server_url)._replace(path=name).geturl()
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def application() -> sql.Identifier:
    """The login of every process."""
    return sql.Identifier(urlsplit(os.environ["DATABASE_URL"]).username or "")


def found(check: startup.DatabaseCheck, config: Config, url: str | None = None) -> dict[str, str]:
    """What a check says, by id, asked as a process asks or through another login."""
    opened = database.unpooled() if url is None else psycopg.connect(url, autocommit=True)
    with opened as connection:
        return {str(each.id): str(each.msg) for each in check(connection, config)}


def test_the_database_of_the_tests_is_good(config: Config) -> None:
    for check in (of_accounts.check_grants, of_accounts.check_live, of_accounts.check_keys,
                  of_the_roof.check_time_limits, of_the_roof.check_clock):  # fmt: skip
        assert found(check, config) == {}


def test_g1_a_server_that_loses_commits_is_refused(
    config: Config, superuser: psycopg.Connection[Any]
) -> None:
    (fsync,) = superuser.execute("SHOW fsync").fetchone() or ("",)
    before = found(of_the_roof.check_durability, config)
    assert ("fsync" in before.get("opitios.E009", "")) is (fsync == "off")
    assert "synchronous_commit" not in before.get("opitios.E009", "")
    in_database = sql.Identifier(superuser.info.dbname)
    change = sql.SQL("ALTER ROLE {} IN DATABASE {} {} synchronous_commit").format
    superuser.execute(change(application(), in_database, sql.SQL("SET")) + sql.SQL(" = off"))
    try:
        assert "synchronous_commit" in found(of_the_roof.check_durability, config)["opitios.E009"]
    finally:
        superuser.execute(change(application(), in_database, sql.SQL("RESET")))


@pytest.mark.parametrize("limit", of_the_roof.TIME_LIMITS)
def test_a_connection_whose_limits_a_pooler_dropped_is_refused(config: Config, limit: str) -> None:
    with database.unpooled() as connection:
        connection.execute(f"SET {limit} = 0".encode())
        (finding,) = of_the_roof.check_time_limits(connection, config)

    assert (finding.id, limit in str(finding.msg)) == ("opitios.E010", True)


def test_a_pool_that_does_not_fit_is_refused(config: Config) -> None:
    greedy = config.model_copy(update={"database_pool_max": 100_000})

    assert "100000" in found(of_the_roof.check_time_limits, greedy)["opitios.E010"]


def test_g11_the_owner_and_the_superuser_are_refused(config: Config, server_url: str) -> None:
    owner = found(of_accounts.check_grants, config, os.environ["DATABASE_OWNER_URL"])
    url = urlsplit(server_url)._replace(path=urlsplit(os.environ["DATABASE_URL"]).path)
    root = found(of_accounts.check_grants, config, url.geturl())

    assert "may act as the owner of accounts_journalentry" in owner["accounts.E003"]
    assert "may TRUNCATE accounts_journalentry" in owner["accounts.E003"]
    assert "is a superuser" in root["accounts.E003"]


@pytest.mark.parametrize(
    ("grant", "says"),
    [
        ("INSERT ON accounts_journalentry", "may INSERT accounts_journalentry"),
        ("UPDATE (body) ON accounts_journalentry", "may UPDATE accounts_journalentry"),
        ("DELETE ON accounts_journalhead", "may DELETE accounts_journalhead"),
        ("TRUNCATE ON accounts_journalentry", "may TRUNCATE accounts_journalentry"),
        ("SET ON PARAMETER session_replication_role", "may set session_replication_role"),
    ],
)
def test_g11_one_right_too_many_is_refused(
    config: Config, superuser: psycopg.Connection[Any], grant: str, says: str
) -> None:
    # Undone before anybody else could see it: the login is that of every worker of the session.
    with superuser.transaction(force_rollback=True):
        superuser.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(grant), application()))
        superuser.execute(sql.SQL("SET LOCAL ROLE {}").format(application()))
        (finding,) = of_accounts.check_grants(superuser, config)

    assert (finding.id, says in str(finding.msg)) == ("accounts.E003", True)


def test_g11_a_guard_that_was_switched_off_is_refused(
    config: Config, superuser: psycopg.Connection[Any]
) -> None:
    change = "ALTER TABLE accounts_journalentry {} TRIGGER journal_entry_is_final".format
    superuser.execute(change("DISABLE").encode())
    off = found(of_accounts.check_grants, config)
    # Enabled, but not in a session that plays a replica.
    superuser.execute(change("ENABLE").encode())
    half = found(of_accounts.check_grants, config)
    superuser.execute(change("ENABLE ALWAYS").encode())

    assert "journal_entry_is_final" in off["accounts.E003"]
    assert half == off
    assert found(of_accounts.check_grants, config) == {}


def test_a_database_without_tables_is_refused(config: Config, server_url: str) -> None:
    url = urlsplit(server_url)._replace(path="/template1").geturl()

    assert found(of_accounts.check_grants, config, url) == {
        "accounts.E003": "the database has no journal"
    }
    assert found(of_accounts.check_live, config, url) == {}
    assert found(of_accounts.check_keys, config, url) == {}


def test_live_accounts_need_the_switch(config: Config) -> None:
    Account.objects.create(account_id="live-1", account_type="trading", environment="live")

    assert found(of_accounts.check_live, config) == {
        "accounts.E004": "1 live accounts are enabled without OPITIOS_ALLOW_LIVE"
    }
    assert found(of_accounts.check_live, config.model_copy(update={"allow_live": True})) == {}
    Account.objects.filter(account_id="live-1").update(enabled=False)
    assert found(of_accounts.check_live, config) == {}


def test_an_account_under_a_master_key_we_lack_is_told(config: Config) -> None:
    account_id = open_account()
    Credential.objects.filter(account_id=account_id).update(master_key_id="k9")

    assert "k9" in found(of_accounts.check_keys, config)["accounts.W001"]
    assert of_accounts.missing_master_keys() == ["k9"]
    bearer = {"Authorization": f"Bearer {token([], permissions=['monitor'])}"}
    told = Client().get("/api/v1/health", headers=bearer).json()
    assert (told["status"], told["components"]["keys"]) == ("down", "missing")
    assert Client().get("/health/ready").status_code == 503
    Account.objects.filter(account_id=account_id).update(enabled=False)
    assert found(of_accounts.check_keys, config) == {}
