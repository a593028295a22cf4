"""Both shapes of the account file describe the same accounts (R1)."""

import pytest

from accounts.roster.reading import Policy, RosterAccount
from tests.accounts.rosters import OPEN, STRICT, about, complaints, read

SEED_002 = """\
master_account:
  api_key: "PKMASTER"
  secret_key: "master-secret"
  paper_trading: true

trading_accounts:
  - account_id: "account_001"
    api_key: "PKONE"
    secret_key: "one-secret"
    paper_trading: true
  - account_id: "account_002"
    api_key: "PKTWO"
    secret_key: "two-secret"
    paper_trading: false
"""

SEED_000 = """\
accounts:
  - account_id: "ACC001"
    account_type: "master"
    alpaca_credentials:
      api_key: "PKMASTER"
      secret_key: "master-secret"
      paper_trading: false
    connection_pool:
      max_connections: 10
      priority: "high"

  - account_id: "ACC002"
    account_type: "trading"
    alpaca_credentials:
      api_key: "PKONE"
      secret_key: "one-secret"
      paper_trading: false
    connection_pool:
      max_connections: 5
      priority: "normal"
"""


def short(account: RosterAccount) -> tuple[str, str, str, str, str]:
    """What tells an account from another."""
    keys = account.api_key, account.secret_key
    return account.account_id, account.account_type, account.environment, *keys


def test_the_master_and_its_trading_accounts_are_read() -> None:
    assert [short(account) for account in read(SEED_002, OPEN)] == [
        ("master", "master", "paper", "PKMASTER", "master-secret"),
        ("account_001", "trading", "paper", "PKONE", "one-secret"),
        ("account_002", "trading", "live", "PKTWO", "two-secret"),
    ]


def test_the_accounts_with_their_types_are_read() -> None:
    first, second = read(SEED_000, OPEN)

    assert short(first) == ("ACC001", "master", "live", "PKMASTER", "master-secret")
    assert (first.max_connections, first.priority, first.data_plan) == (10, "high", "basic")
    assert short(second) == ("ACC002", "trading", "live", "PKONE", "one-secret")


def test_the_flat_shape_takes_the_other_fields_too() -> None:
    text = SEED_002.replace(
        "    paper_trading: false\n",
        '    environment: sandbox\n    url: "http://127.0.0.1:8092"\n    data_plan: plus\n'
        "    connection_pool: {max_connections: 9, priority: low}\n",
    ).replace("master_account:\n", "master_account:\n  account_id: the-master\n")

    accounts = read(text, OPEN)

    assert accounts[0].account_id == "the-master"
    last = accounts[2]
    assert (last.environment, last.url) == ("sandbox", "http://127.0.0.1:8092")
    assert (last.max_connections, last.priority, last.data_plan) == (9, "low", "plus")


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("account_id:", "id:", 7, "trading_accounts[0].account_id"),
        ('"account_002"', '"account_001"', 11, "trading_accounts[1].account_id"),
        ('"account_002"', '"master"', 11, "trading_accounts[1].account_id"),
        ('"PKTWO"', '"PKONE"', 12, "trading_accounts[1].api_key"),
        ('"PKMASTER"', "no", 2, "master_account.api_key"),
        ("  paper_trading: true\n\n", '  paper_trading: "true"\n\n', 4,
         "master_account.paper_trading"),
        ("  paper_trading: true\n\n", "  paper_trading: true\n  account_type: data\n\n", 5,
         "master_account.account_type"),
        ("trading_accounts:", "accounts: []\ntrading_accounts:", 6, "accounts"),
        ("master_account:", "master_accounts:", 1, "master_accounts"),
        ("trading_accounts:", "others:", 1, "trading_accounts"),
    ],
)  # fmt: skip
def test_a_fault_of_the_flat_shape_is_told_at_its_line(
    old: str, new: str, line: int, key: str
) -> None:
    text = SEED_002.replace(old, new, 1)

    assert (line, key) in [about(complaint) for complaint in complaints(text, OPEN)]


def test_the_rules_of_safety_hold_for_both_shapes() -> None:
    strict = [about(complaint) for complaint in complaints(SEED_002, STRICT)]
    sealed = SEED_002.replace('"PK', '"env:PK').replace("-secret", "").replace('y: "', 'y: "env:')

    assert {(2, "master_account.api_key"), (8, "trading_accounts[0].api_key")} <= set(strict)
    assert (14, "trading_accounts[1].environment") in strict
    sealed = sealed.replace("env:env:", "env:")
    assert [
        about(complaint)
        for complaint in complaints(sealed, Policy(allow_live=False, plain_refused="no"))
    ] == [(14, "trading_accounts[1].environment")]
