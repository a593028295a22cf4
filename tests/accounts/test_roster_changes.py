"""What a file changes is decided on values alone."""

from typing import Any

import pytest

from accounts.roster.changes import Stored, diff
from accounts.roster.document import BadRoster
from accounts.roster.reading import RosterAccount
from tests.accounts.rosters import entry, read, roster


def stored(account: RosterAccount, **changed: Any) -> dict[str, Stored]:
    """The same account as it would be stored, but for what is changed."""
    row: dict[str, Any] = {
        name: getattr(account, name)
        for name in ("account_id", "account_type", "environment", "url", "priority", "data_plan")
    }
    row |= {
        "max_connections": account.max_connections,
        "enabled": True,
        "key_version": 3,
        "api_key": account.api_key,
        "secret_key": account.secret_key,
    }
    return {account.account_id: Stored(**row | changed)}


ONE, TWO = read(roster(entry("A"), entry("B")))


def test_the_same_file_again_changes_nothing() -> None:
    found = diff([ONE, TWO], stored(ONE) | stored(TWO))

    assert found.is_empty
    assert found.unchanged == ("A", "B")


def test_a_new_account_is_added() -> None:
    found = diff([ONE, TWO], stored(ONE))

    assert found.added == (TWO,)
    assert found.unchanged == ("A",)


def test_an_account_that_left_the_file_is_disabled_once() -> None:
    assert diff([ONE], stored(ONE) | stored(TWO)).disabled == ("B",)
    assert diff([ONE], stored(ONE) | stored(TWO, enabled=False)).is_empty


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"account_type": "data"}, ("account_type",)),
        ({"url": "http://127.0.0.1:1"}, ("url",)),
        ({"priority": "high", "max_connections": 9}, ("priority", "max_connections")),
        ({"data_plan": "plus"}, ("data_plan",)),
        ({"api_key": "other"}, ("key",)),
        ({"secret_key": "other"}, ("key",)),
        ({"api_key": None, "secret_key": None}, ("key",)),
        ({"enabled": False}, ("enabled",)),
        ({"enabled": False, "api_key": "other"}, ("key", "enabled")),
    ],
)
def test_what_differs_is_named(changed: dict[str, Any], fields: tuple[str, ...]) -> None:
    (change,) = diff([ONE], stored(ONE, **changed)).changed

    assert change.fields == fields
    assert change.replaces_key == ("key" in fields)
    assert change.key_version == 3


@pytest.mark.parametrize("enabled", [True, False])
def test_an_account_never_changes_its_environment(enabled: bool) -> None:
    with pytest.raises(BadRoster) as caught:
        diff([TWO, ONE], stored(ONE, environment="paper", enabled=enabled))

    (complaint,) = caught.value.complaints
    assert (complaint.line, complaint.key) == (ONE.lines.environment, "accounts[0].environment")
    assert complaint.allowed == ("paper",)


def test_a_summary_holds_ids_and_fields_but_no_value() -> None:
    before = stored(ONE, secret_key="CANARY")  # noqa: S106 - not a password of anything

    found = diff([ONE, TWO], before)

    assert found.summary() == {
        "added": ["B"],
        "changed": [{"account_id": "A", "fields": ["key"]}],
        "disabled": [],
        "unchanged": 0,
        "kept_keys": [],
    }
    assert "CANARY" not in repr(found)
