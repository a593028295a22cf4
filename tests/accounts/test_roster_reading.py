"""A wrong field is told with line, key and allowed values, and all of them at once."""

import pytest

from tests.accounts.rosters import GOOD, OPEN, STRICT, about, complaints, entry, read, roster


def test_a_good_file_becomes_accounts() -> None:
    (account,) = read(GOOD)

    assert (account.account_id, account.account_type, account.environment) == (
        "A",
        "trading",
        "sandbox",
    )
    assert (account.url, account.priority, account.max_connections) == (
        "http://127.0.0.1:8092",
        "normal",
        5,
    )
    assert (account.api_key, account.secret_key) == ("SANDBOX_A", "sandbox-secret-A")
    assert "SANDBOX_A" not in repr(account)
    assert "sandbox-secret" not in repr(account)


def test_a_thousand_accounts_are_read() -> None:
    assert len(read(roster(*(entry(f"account_{n:03d}") for n in range(1000))))) == 1000


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("account_type", "broker", ("master", "trading", "data", "backup")),
        ("account_type", "Trading", ("master", "trading", "data", "backup")),
        ("account_type", "[trading]", ("master", "trading", "data", "backup")),
        ("environment", "prod", ("sandbox", "paper", "live")),
        ("environment", "~", ("sandbox", "paper", "live")),
        ("connection_pool", "{priority: urgent}", ("high", "normal", "low")),
        ("connection_pool", "{max_connections: 0}", ("1 to 100",)),
        ("connection_pool", "{max_connections: 101}", ("1 to 100",)),
        ("connection_pool", "{max_connections: 0777}", ("1 to 100",)),
        ("connection_pool", "{max_connections: 0x10}", ("1 to 100",)),
        ("connection_pool", "{max_connections: 1_0}", ("1 to 100",)),
        ("connection_pool", "{max_connections: 12:30}", ("1 to 100",)),
        ("connection_pool", "{max_connections: 5.0}", ("1 to 100",)),
        ("connection_pool", "{max_connections: '5'}", ("1 to 100",)),
        ("connection_pool", "{max_connections: true}", ("1 to 100",)),
        ("data_plan", "gold", ("basic", "plus")),
        ("connection_pool", "{size: 5}", ("max_connections", "priority")),
        ("alpaca_credentials", '{api_key: "a", secret_key: "b", key: "c"}', ("api_key",)),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(
    field: str, value: str, allowed: tuple[str, ...]
) -> None:
    found = complaints(roster(entry("A", **{field: value})))

    assert len(found) == 1
    assert found[0].key.startswith(f"accounts[0].{field}")
    assert found[0].allowed[: len(allowed)] == allowed
    assert found[0].line > 1


@pytest.mark.parametrize("name", ["account_type", "environment", "url", "alpaca_credentials"])
def test_a_missing_field_is_told_at_its_account(name: str) -> None:
    found = complaints(roster(entry("A", **{name: None})))

    assert (2, f"accounts[0].{name}") in [about(complaint) for complaint in found]


@pytest.mark.parametrize(
    "value",
    ["no", "0777", "00123", "1_000", "12:30", "2026-11-20", "null", "1.5", '""', '"a b"', '"-a"',
     '"../a"', '"a/b"', '"é"', '"a\\nb"', f'"{"a" * 65}"', "[a]", "{a: b}", '"${ID}"'],
)  # fmt: skip
def test_an_account_id_that_is_not_plain_text_is_refused(value: str) -> None:
    text = roster(entry("A").replace('account_id: "A"', f"account_id: {value}"))

    assert [about(c) for c in complaints(text)] == [(2, "accounts[0].account_id")]


@pytest.mark.parametrize("text", ["a: 1", "accounts:", "accounts: []", "accounts: {}", "- a", "x"])
def test_a_file_without_a_list_of_accounts_is_refused(text: str) -> None:
    assert complaints(text)


def test_an_unknown_field_is_told_with_the_known_ones() -> None:
    (found,) = complaints(roster(entry("A", acount_type="data")))

    assert (found.key, found.message) == ("accounts[0].acount_type", "unknown field")
    assert "account_type" in found.allowed


def test_an_account_that_is_no_mapping_is_told_once() -> None:
    assert [about(c) for c in complaints(roster("  - A\n"))] == [(2, "accounts[0]")]


def test_two_accounts_of_one_id_or_one_key_are_refused_and_the_key_is_not_shown() -> None:
    shared = '{api_key: "CANARYKEY", secret_key: "s"}'
    text = roster(
        entry("A", alpaca_credentials=shared), entry("B", alpaca_credentials=shared), entry("A")
    )

    found = complaints(text)

    assert [about(c) for c in found] == [
        (11, "accounts[1].alpaca_credentials.api_key"),
        (12, "accounts[2].account_id"),
    ]
    assert "accounts[0], line 2" in found[0].message
    assert "CANARYKEY" not in str(found)


def test_every_complaint_comes_at_once_in_the_order_of_lines() -> None:
    text = roster(
        entry("A", account_type="x", environment="y"),
        entry("B", url='"http://example.com"', connection_pool="{max_connections: 0}"),
        entry("C", extra="1"),
    )

    found = complaints(text, STRICT)

    assert [c.key for c in found] == [
        "accounts[0].account_type",
        "accounts[0].environment",
        "accounts[1].url",
        "accounts[1].connection_pool.max_connections",
        "accounts[2].extra",
    ]
    assert found[0].sentence("f.yaml").startswith("f.yaml:3: accounts[0].account_type: ")
    assert found[0].sentence("f.yaml").endswith("; allowed: master, trading, data, backup")


def test_the_older_flag_reads_as_paper_or_live() -> None:
    older = '{{api_key: "k{0}", secret_key: "s", paper_trading: {1}}}'
    text = roster(
        entry("A", environment=None, url=None, alpaca_credentials=older.format(1, "true")),
        entry("B", environment=None, url=None, alpaca_credentials=older.format(2, "false")),
    )

    assert [account.environment for account in read(text, OPEN)] == ["paper", "live"]


@pytest.mark.parametrize("value", ['"false"', "no", "off", "FALSE", "0", "~", "False"])
def test_the_older_flag_is_a_bare_true_or_false(value: str) -> None:
    flag = f'{{api_key: "k", secret_key: "s", paper_trading: {value}}}'
    text = roster(entry("A", environment="paper", url=None, alpaca_credentials=flag))

    assert "accounts[0].alpaca_credentials.paper_trading" in [c.key for c in complaints(text, OPEN)]


@pytest.mark.parametrize(
    ("environment", "flag"), [("paper", "false"), ("live", "true"), ("sandbox", "true")]
)
def test_the_older_flag_may_not_contradict_the_environment(environment: str, flag: str) -> None:
    keys = f'{{api_key: "k", secret_key: "s", paper_trading: {flag}}}'
    url = '"http://127.0.0.1:1"' if environment == "sandbox" else None
    text = roster(entry("A", environment=environment, url=url, alpaca_credentials=keys))

    (found,) = complaints(text, OPEN)

    assert "contradicts" in found.message
