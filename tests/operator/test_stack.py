"""The processes of a run: their commands, what they are told, and what they are not."""

from pathlib import Path

import pytest

from accounts.roster.files import accounts_in
from opitios.core.config import get_config
from opitios.management.stack import Stack, account_ids, accounts_yaml
from tests.operator.stacks import stack_of

OWN = {"DATABASE_URL": "postgresql://admin:secret@db.example:5433/postgres?sslmode=require"}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return stack_of(tmp_path, {})


def test_every_process_is_known_by_its_command_and_works_in_the_clone(stack: Stack) -> None:
    programs = [stack.sandbox(), *stack.gateway(), *stack.afterwards()]

    lines = [" ".join(program.argv) for program in programs]
    celery = "celery -A opitios --quiet"
    servers = ("-m sandbox", "manage.py desk", "uvicorn", "granian", "listen_market")
    for words in (*servers, f"{celery} worker", f"{celery} beat"):
        assert any(words in line for line in lines)
    assert {program.folder for program in programs} == {stack.run.root}
    assert not [line for line in lines if "--host " in line and "--host 127.0.0.1" not in line]


def test_web_starts_last_and_so_stops_first(stack: Stack) -> None:
    assert [program.name for program in stack.gateway()] == ["desk-1", "stream-1", "web-1"]


def test_as_many_desks_are_started_as_were_asked_for(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, {"DESKS": "3"})

    desks = [program for program in stack.gateway() if "desk" in program.argv]

    names = [f"desk-{number}" for number in (1, 2, 3)]
    assert [program.name for program in desks] == names
    assert [program.environment["OPITIOS_PROCESS"] for program in desks] == names


def test_what_starts_afterwards_knows_its_roles(stack: Stack) -> None:
    told = {program.name: program.environment for program in stack.afterwards()}

    assert {name: each["OPITIOS_ROLE"] for name, each in told.items()} == {
        "market-1": "market",
        "worker-1": "worker",
        "beat-1": "beat",
    }


def test_no_process_is_told_the_owners_login(stack: Stack) -> None:
    password = stack.secrets.owner

    programs = (*stack.servers(), *stack.gateway(), *stack.afterwards())
    told = [program.environment for program in programs]

    assert not [environment for environment in told if password in str(environment)]
    assert password in stack.database_urls()[1]


def test_the_sandbox_and_the_servers_are_told_no_secret(stack: Stack) -> None:
    told = [program.environment for program in (*stack.servers(), stack.sandbox())]

    secrets = [getattr(stack.secrets, name) for name in stack.secrets.__slots__]
    assert not [value for value in secrets for environment in told if value in str(environment)]


def test_make_and_the_operators_own_settings_do_not_leak_into_processes(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", OWN["DATABASE_URL"])
    monkeypatch.setenv("MAKEFLAGS", "j8")
    monkeypatch.setenv("ALPACA_SECRET_KEY", "the operator's own")

    told = stack.sandbox().environment

    assert not {"MAKEFLAGS", "DATABASE_URL", "ALPACA_SECRET_KEY"} & set(told)


def test_on_the_operators_postgres_the_logins_are_our_own(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, OWN)

    application, owner = stack.database_urls()

    name = f"opitios_{stack.run.key}"
    assert application.startswith(f"postgresql://{name}_app:")
    assert owner.startswith(f"postgresql://{name}_owner:")
    assert application.endswith(f"@db.example:5433/{name}?sslmode=require")
    assert [program.name for program in stack.servers()] == ["redis"]


def test_with_both_logins_given_nothing_is_made_up(tmp_path: Path) -> None:
    owner = "postgresql://o:p@db/books"
    stack = stack_of(
        tmp_path, {"DATABASE_URL": "postgresql://a:p@db/books", "DATABASE_OWNER_URL": owner}
    )

    assert stack.database_urls() == ("postgresql://a:p@db/books", owner)


def test_the_account_file_is_one_the_import_takes(tmp_path: Path) -> None:
    path = tmp_path / "accounts.yaml"
    path.write_text(accounts_yaml(12, url="http://127.0.0.1:8092"))

    accounts = accounts_in(path, config=get_config(), environ={})

    types = {account.account_id: str(account.account_type) for account in accounts}
    assert [name for name, kind in types.items() if kind == "trading"] == account_ids(12)
    assert types["account_012"] == "trading"
    assert {name: kind for name, kind in types.items() if kind != "trading"} == {
        "master": "master",
        "data_001": "data",
        "data_002": "data",
        "backup_001": "backup",
    }
    assert {account.api_key for account in accounts} == {f"SANDBOX_{name}" for name in types}


def test_the_handout_has_every_name_of_the_contract(stack: Stack) -> None:
    handout = stack.handout({"TOKEN_TRADER": "t", "TOKEN_ADMIN": "a"})

    assert handout["API_URL"] == "http://127.0.0.1:8090"
    assert handout["WS_URL"] == "ws://127.0.0.1:8091/ws/v1/stream"
    assert handout["ADMIN_URL"] == "http://127.0.0.1:8090/admin/"
    assert handout["SANDBOX_URL"] == "http://127.0.0.1:8092"
    assert set(handout) - {"API_URL", "WS_URL", "ADMIN_URL", "SANDBOX_URL"} == {
        "STAFF_USER",
        "STAFF_PASSWORD",
        "TOKEN_TRADER",
        "TOKEN_ADMIN",
    }
