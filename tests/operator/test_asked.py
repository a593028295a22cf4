"""What an operator may ask of a run, and what is said of the rest."""

import pytest

from opitios.management.asked import Asked, BadSettingError

SECRET_URL = "postgresql://admin:pass-word@db/postgres"  # noqa: S105 - made up


def test_the_defaults_are_those_of_the_contract() -> None:
    asked = Asked.read({})

    assert (asked.accounts, asked.api_port, asked.ws_port, asked.sandbox_port) == (
        100,
        8090,
        8091,
        8092,
    )
    assert asked.desks == 1
    assert (asked.database_url, asked.database_owner_url, asked.redis_url) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCOUNTS", "0"),
        ("ACCOUNTS", "-1"),
        ("ACCOUNTS", "1001"),
        ("ACCOUNTS", "ten"),
        ("ACCOUNTS", "1_0"),
        ("ACCOUNTS", "１０"),
        ("DESKS", "0"),
        ("DESKS", "5"),
        ("API_PORT", "65536"),
        ("WS_PORT", "0"),
        ("SANDBOX_PORT", "8092.0"),
    ],
)
def test_an_odd_number_is_refused_with_its_name_and_range(name: str, value: str) -> None:
    with pytest.raises(BadSettingError, match=rf"{name}=.* is not a whole number from 1 to \d+"):
        Asked.read({name: value})


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_an_odd_url_is_refused_without_being_repeated(name: str) -> None:
    with pytest.raises(BadSettingError, match=name) as refusal:
        Asked.read({name: "http://admin:pass-word@host"})

    assert "pass-word" not in str(refusal.value)


def test_an_owner_without_an_application_is_refused() -> None:
    with pytest.raises(BadSettingError, match="without DATABASE_URL"):
        Asked.read({"DATABASE_OWNER_URL": SECRET_URL})


def test_equal_settings_do_not_differ() -> None:
    settings = {"ACCOUNTS": "3", "DATABASE_URL": SECRET_URL}

    assert Asked.read(settings).differences(Asked.read(settings).shown()) == []


def test_a_difference_names_both_values_and_no_password() -> None:
    running = Asked.read({"ACCOUNTS": "3", "DATABASE_URL": SECRET_URL})

    said = Asked.read({}).differences(running.shown())

    assert said[0] == "ACCOUNTS is 3 there and 100 here"
    assert said[1].startswith("DATABASE_URL is set")
    assert "pass-word" not in str(said) + str(running.shown())
