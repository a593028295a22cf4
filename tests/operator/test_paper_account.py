"""The operator's own paper account joins a run: never live, its keys nowhere in clear (issue 4)."""

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from rich.console import Console

from accounts.roster.files import accounts_in
from opitios.core.config import get_config
from opitios.management import paper, screen
from opitios.management.asked import Asked, BadSettingError
from opitios.management.readiness import Expected, judge
from opitios.management.stack import accounts_yaml
from tests.operator.stacks import stack_of

KEYS = {"ALPACA_API_KEY": "PKCANARY", "ALPACA_SECRET_KEY": "secret-canary"}
STARTED = "2026-11-21T12:00:00.000000Z"


def pool(state: str, checked_at: str | None = None) -> dict[str, Any]:
    """What the pool tells of the account."""
    row = {"account_id": "paper_001", "state": state, "checked_at": checked_at, "stream": None}
    return {"accounts": [row], "processes": [{"name": "desk-1", "role": "desk", "warm": 1,
                                              "started_at": STARTED}]}  # fmt: skip


def test_with_both_keys_the_account_file_names_paper_001(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, {"ACCOUNTS": "2", **KEYS})

    path = Path(stack.write_accounts())

    assert path == stack.accounts_file
    assert "CANARY" not in path.read_text().upper()
    found = {a.account_id: a for a in accounts_in(path, config=get_config(), environ=KEYS)}
    own = found["paper_001"]
    assert (own.environment, own.account_type, own.url) == ("paper", "trading", "")
    assert (own.api_key, own.secret_key) == tuple(KEYS.values())
    assert stack.settings()["OPITIOS_ACCOUNTS_FILE"] == str(path)


def test_without_keys_there_is_no_such_account(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, {"ACCOUNTS": "2"})

    assert "paper" not in Path(stack.write_accounts()).read_text()
    assert stack.asked.alpaca_keys == {}
    assert "paper_001" not in accounts_yaml(200, url="http://127.0.0.1:1")


def test_the_file_of_a_run_is_sealed_and_then_needs_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stack_of(tmp_path, {"ACCOUNTS": "1", **KEYS}).write_accounts()
    with monkeypatch.context() as patch:
        for name, key in KEYS.items():
            patch.setenv(name, key)
        call_command("seal", "--all", path, stdout=StringIO())

    found = accounts_in(Path(path), config=get_config(), environ={})

    assert found[-1].api_key == "PKCANARY"
    assert "CANARY" not in Path(path).read_text().upper()


def test_no_lasting_process_is_told_the_keys(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, KEYS)

    programs = (*stack.servers(), stack.sandbox(), *stack.gateway(), *stack.afterwards())

    told = [json.dumps(dict(program.environment)) for program in programs]
    assert not [each for each in told for key in KEYS.values() if key in each]


@pytest.mark.parametrize("given", [{"ALPACA_API_KEY": "PK"}, {"ALPACA_SECRET_KEY": "s"}])
def test_half_a_pair_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(BadSettingError, match="both ALPACA_API_KEY and ALPACA_SECRET_KEY"):
        Asked.read(given)


@pytest.mark.parametrize("key", ["two words", "line\n", "ключ", "x" * 257])
def test_what_is_no_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(BadSettingError, match="ALPACA_SECRET_KEY is no key") as caught:
        Asked.read({"ALPACA_API_KEY": "PK", "ALPACA_SECRET_KEY": key})

    assert key not in str(caught.value)


def test_keys_are_compared_without_being_stored_or_shown() -> None:
    asked = Asked.read(KEYS)

    assert "canary" not in str(asked.shown()).lower() + repr(asked).lower()
    said = Asked.read({}).differences(asked.shown())
    assert len(said) == 2
    assert "canary" not in str(said).lower()
    assert asked.differences(Asked.read(KEYS).shown()) == []


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (pool("ready", "2026-11-21T12:00:01.000000Z"), "ready", "is connected"),
        (pool("suspect"), "suspect", "does not accept"),
        (pool("quarantined"), "quarantined", "does not accept"),
        (pool("warming"), "warming", "set HTTPS_PROXY"),
        (pool("ready", "2026-11-20T12:00:01.000000Z"), "warming", "does not answer from here"),
        (pool("ready", None), "warming", "does not answer from here"),
        ({"accounts": [], "processes": []}, "warming", "does not answer from here"),
    ],
)
def test_what_became_of_it_is_one_sentence(answer: dict[str, Any], state: str, says: str) -> None:
    found = paper.state_in(answer)

    assert found == state
    assert paper.is_settled(found) == (state != "warming")
    assert says in paper.sentence(found)


@pytest.mark.parametrize("state", ["warming", "ready"])
def test_a_run_is_ready_without_it_and_not_by_it(state: str) -> None:
    expected = Expected(accounts=2, trading=frozenset(), web_workers=0, desks=1)
    answer = pool(state)
    answer["accounts"][0]["stream"] = {"state": "lost", "owner": "desk-1"}
    owned = {"stream": {"state": "listening", "owner": "desk-1"}, "state": "ready"}
    others = [{"account_id": each, **owned} for each in ("account_001", "master")]

    assert judge({**answer, "accounts": answer["accounts"] + others}, expected).is_ready
    assert not judge({**answer, "accounts": answer["accounts"] + others[:1]}, expected).is_ready


def test_the_sentence_stands_by_itself_and_nothing_is_printed_without_one() -> None:
    page = StringIO()
    console = Console(file=page, width=40)

    screen.remark(console, "")
    assert page.getvalue() == ""
    screen.remark(console, paper.sentence("warming"))
    assert page.getvalue() == f"\n{paper.sentence('warming')}{os.linesep}"
