"""Keys of the sandbox: the first and later ones of an account, and no other."""

import pytest

from sandbox.keys import account_of


@pytest.mark.parametrize("name", ["account_001", "account_001.2", "account_001.9999"])
def test_the_first_and_later_keys_of_an_account_are_its_own(name: str) -> None:
    assert account_of(f"SANDBOX_{name}", f"sandbox-secret-{name}") == "account_001"


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("SANDBOX_account_001.2", "sandbox-secret-account_001"),
        ("SANDBOX_account_001", "sandbox-secret-account_001.2"),
        ("SANDBOX_account_001.2", "sandbox-secret-account_001.3"),
        ("SANDBOX_account_001.0", "sandbox-secret-account_001.0"),
        ("SANDBOX_account_001.12345", "sandbox-secret-account_001.12345"),
        ("SANDBOX_account_001.2.2", "sandbox-secret-account_001.2.2"),
        ("SANDBOX_account_001.2\n", "sandbox-secret-account_001.2\n"),
        ("SANDBOX_.2", "sandbox-secret-.2"),
        ("account_001", "sandbox-secret-account_001"),
        (None, None),
    ],
)
def test_no_other_pair_is_taken(key: object, secret: object) -> None:
    assert account_of(key, secret) is None
