"""What a file may not do: live without leave, keys in clear, a sandbox that is not here."""

import pytest

from accounts.roster.reading import Policy, is_loopback
from tests.accounts.rosters import OPEN, STRICT, complaints, entry, read, roster

PLAIN = '{api_key: "CANARYKEY", secret_key: "CANARYSECRET"}'
NAMED = '{api_key: "env:KEY_A", secret_key: "file:secrets/a"}'


def test_a_live_account_needs_the_operator_s_leave() -> None:
    text = roster(entry("A", environment="live", url=None, alpaca_credentials=NAMED))

    (found,) = complaints(text, STRICT)

    assert (found.line, found.key) == (4, "accounts[0].environment")
    assert "OPITIOS_ALLOW_LIVE" in found.message
    assert found.allowed == ("sandbox", "paper")
    assert read(text, Policy(allow_live=True, plain_refused="no"))[0].environment == "live"


def test_the_older_flag_needs_the_same_leave() -> None:
    keys = '{api_key: "env:A", secret_key: "env:B",\n      paper_trading: false}'
    text = roster(entry("A", environment=None, url=None, alpaca_credentials=keys))

    (found,) = complaints(text, STRICT)

    assert found.line == 5
    assert "OPITIOS_ALLOW_LIVE" in found.message


@pytest.mark.parametrize("environment", ["paper", "live"])
def test_keys_in_clear_are_for_the_sandbox(environment: str) -> None:
    text = roster(entry("A", environment=environment, url=None, alpaca_credentials=PLAIN))

    found = complaints(text, Policy(allow_live=True, plain_refused="not in clear"))

    assert [c.key.rpartition(".")[2] for c in found] == ["api_key", "secret_key"]
    assert {c.allowed for c in found} == {("sealed:… (manage.py seal)", "env:NAME", "file:PATH")}
    assert "CANARY" not in str(found)
    assert read(text, OPEN)[0].api_key == "CANARYKEY"


@pytest.mark.parametrize(
    "value",
    ['""', '"a b"', '"${KEY}"', '"sealed:abc"', '"sealed:k1:"', '"sealed:k1:a b"', '"vault:x"',
     '"env:"', '"env:A-B"', '"env:1A"',
     '"file:"', '"k\\n"', '"k\\0"', f'"{"k" * 129}"', '"ключ"', "12345678", "[k]", "~", "true"],
)  # fmt: skip
def test_a_value_that_is_neither_key_nor_reference_is_refused(value: str) -> None:
    keys = f'{{api_key: {value}, secret_key: "s"}}'

    found = complaints(roster(entry("A", alpaca_credentials=keys)), OPEN)

    assert [c.key for c in found] == ["accounts[0].alpaca_credentials.api_key"]
    assert (value.strip('"') or "?") not in found[0].message


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8092", "http://127.0.0.1:8092/", "http://localhost:1", "http://[::1]:8092",
     "http://127.0.0.2", "http://localhost"],
)  # fmt: skip
def test_a_sandbox_on_this_machine_is_accepted(url: str) -> None:
    (account,) = read(roster(entry("A", url=f'"{url}"')))

    assert account.url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8092", "https://127.0.0.1:8092", "file:///etc/passwd", "ftp://127.0.0.1",
     "http://paper-api.alpaca.markets", "http://169.254.169.254", "http://0.0.0.0:8092",
     "http://[::]:8092", "http://10.0.0.1", "http://2130706433", "http://0x7f000001",
     "http://127.1", "http://localhost.evil.example", "http://127.0.0.1.nip.io",
     "http://user:pass@127.0.0.1", "http://127.0.0.1@evil.example", "http://127.0.0.1:8092/v2",
     "http://127.0.0.1:8092?x=1", "http://127.0.0.1:8092#x", "http://127.0.0.1:99999",
     "http://127.0.0.1:", "http://127.0.0.1:8o92", "http://127.0.0.1\\\\@evil.example",
     "HTTP://127.0.0.1:8092", "http://[::1", "http://LOCALHOST:1", " http://localhost:1"],
)  # fmt: skip
def test_a_url_elsewhere_is_refused(url: str) -> None:
    found = complaints(roster(entry("A", url=f'"{url}"')))

    assert [c.key for c in found] == ["accounts[0].url"]
    assert not is_loopback(url)


@pytest.mark.parametrize("environment", ["paper", "live"])
def test_only_a_sandbox_has_a_url(environment: str) -> None:
    text = roster(entry("A", environment=environment, alpaca_credentials=NAMED))

    (found,) = complaints(text, OPEN)

    assert (found.line, found.key) == (5, "accounts[0].url")
