"""Every hostile account file is refused with its line, and nothing is changed (H091-H105)."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.roster.document import MAX_BYTES
from tests.accounts.refusals import last_entry, refused
from tests.accounts.rosters import entry, roster, write

pytestmark = pytest.mark.django_db

COUNT = 12
FLAT = """\
master_account:
  api_key: "env:HOME"
  secret_key: "env:HOME"
  paper_trading: true
trading_accounts:
"""


@pytest.fixture
def dice() -> random.Random:
    """The same cases each time."""
    return random.Random(91)  # noqa: S311 - repeatable


def lines() -> list[str]:
    """A good file of a dozen accounts: what follows spoils one line of it."""
    return roster(*(entry(f"h-{n:02}") for n in range(COUNT))).splitlines()


def flat_lines() -> list[str]:
    """The same in the other shape."""
    accounts = (
        f'  - account_id: "f-{n:02}"\n    environment: sandbox\n    url: "http://127.0.0.1:9"\n'
        f'    api_key: "SANDBOX_f{n}"\n    secret_key: "s{n}"\n'
        for n in range(COUNT)
    )
    return (FLAT + "".join(accounts)).splitlines()


def field(name: str, dice: random.Random, text: list[str]) -> int:
    """The place of such a field of one of the accounts."""
    return dice.choice([n for n, line in enumerate(text) if line.strip("- ").startswith(name)])


def told(folder: Path, text: list[str] | bytes) -> list[tuple[int, str]]:
    """Import a file that must be refused; line and message of every complaint."""
    path = folder / "hostile.yaml"
    path.write_bytes(text if isinstance(text, bytes) else "\n".join([*text, ""]).encode())
    out, _ = refused(path, "--json")
    found: list[dict[str, Any]] = json.loads(out)["errors"]
    entry_ = last_entry()
    assert entry_["kind"] == "roster.refused"
    assert entry_["after"]["errors"] == found[:10]
    return [(each["line"], each["message"]) for each in found]


def replaced(text: list[str], place: int, value: str) -> list[str]:
    """The file with another value in one line."""
    name = text[place].partition(":")[0]
    return [*text[:place], f"{name}: {value}", *text[place + 1 :]]


def test_h091_a_key_that_stands_twice_is_refused_at_its_second_line(
    tmp_path: Path, dice: random.Random
) -> None:
    for text in (lines(), flat_lines()) * 4:
        place = field(dice.choice(["environment", "url"]), dice, text)

        found = told(tmp_path, [*text[: place + 1], text[place], *text[place + 1 :]])

        assert found == [(place + 2, f"this key stands twice, first in line {place + 1}")]


def test_h092_two_accounts_of_one_id_are_refused(tmp_path: Path, dice: random.Random) -> None:
    for text in (lines(), flat_lines()) * 3:
        places = [n for n, line in enumerate(text) if "account_id" in line]
        first, second = sorted(dice.sample(places, 2))

        found = told(tmp_path, [*text[:second], text[first], *text[second + 1 :]])

        assert [line for line, _ in found] == [second + 1]
        assert "the same value as in" in found[0][1]


def test_h092_two_accounts_of_one_api_key_are_refused_and_the_key_is_not_shown(
    tmp_path: Path, dice: random.Random
) -> None:
    for text in (lines(), flat_lines()) * 3:
        places = [n for n, line in enumerate(text) if "SANDBOX_" in line]
        first, second = sorted(dice.sample(places, 2))

        found = told(tmp_path, [*text[:second], text[first], *text[second + 1 :]])

        assert [line for line, _ in found] == [second + 1]
        assert "SANDBOX" not in str(found)


def test_h092_two_references_to_one_key_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEY_A", "KEY_B"):
        monkeypatch.setenv(name, "PKTHESAME")
    keys = '{{api_key: "env:{}", secret_key: "env:KEY_A"}}'
    paper = {"environment": "paper", "url": None}
    text = roster(
        *(entry(n, **paper, alpaca_credentials=keys.format(f"KEY_{n}")) for n in ("A", "B"))
    )

    found = told(tmp_path, text.splitlines())

    assert [line for line, _ in found] == [9]
    assert "PKTHESAME" not in str(found)


def test_h093_aliases_anchors_and_bombs_are_refused(tmp_path: Path, dice: random.Random) -> None:
    text = lines()
    place = field("account_type", dice, text)
    bomb = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    cases = {
        "&name": replaced(text, place, "&t trading"),
        "*name": replaced(text, place, "*t"),
        "&me": replaced(text, place, "&me [*me]"),
        "": ["a0: &a0 [x, x]", *bomb],
    }

    for case in cases.values():
        assert told(tmp_path, case)[0][1].startswith(("an anchor", "an alias"))
    assert told(tmp_path, cases["*name"])[0][0] == place + 1


def test_h094_a_deep_document_is_refused(tmp_path: Path) -> None:
    for deep in ("[" * 5000, "{a: " * 5000, "accounts: " + "[" * 100_000, "- " * 3000 + "x"):
        line, message = told(tmp_path, [deep])[0]
        assert (line, "deeper" in message) == (1, True)


def test_h095_tags_of_every_kind_are_refused(tmp_path: Path, dice: random.Random) -> None:
    tags = ("!!python/object/apply:os.system [id]", "!!python/name:os.system", "!custom x",
            "!!str trading", "!!binary aGk=", "!<tag:yaml.org,2002:str> trading")  # fmt: skip
    for tag in tags:
        text = lines()
        place = field("account_type", dice, text)
        assert (place + 1, "a tag (!name) is not allowed") in told(
            tmp_path, replaced(text, place, tag)
        )


@pytest.mark.parametrize("name", ["- account_id", "account_type", "environment", "url"])
def test_h096_a_word_that_yaml_takes_for_something_else_is_refused(
    tmp_path: Path, dice: random.Random, name: str
) -> None:
    for word in ("no", "on", "0777", "00123", "1_000", "12:30", "2026-11-20", "~", "1.5", "NULL"):
        text = lines()
        place = field(name.strip("- "), dice, text)

        found = told(tmp_path, replaced(text, place, word))

        assert {line for line, _ in found} == {place + 1}


def test_h096_numbers_and_flags_are_plain_ones(tmp_path: Path, dice: random.Random) -> None:
    for word in ("no", "0777", "12:30", "1_0", "0x10", "5.0", "'5'", "-1", "+5", "101", "1e1"):
        text = lines()
        place = field("url", dice, text)
        pool = f"    connection_pool: {{max_connections: {word}}}"

        found = told(tmp_path, [*text[: place + 1], pool, *text[place + 1 :]])

        assert found == [(place + 2, "it must be a whole number")]


def test_h097_tabs_marks_and_other_encodings_are_refused(
    tmp_path: Path, dice: random.Random
) -> None:
    text = lines()
    place = field("url", dice, text)
    good = "\n".join([*text, ""])
    tabbed = [*text[:place], "\t" + text[place].strip(), *text[place + 1 :]]

    assert told(tmp_path, tabbed)[0][0] == place + 1
    for raw, says in (
        (b"\xef\xbb\xbf" + good.encode(), "byte order mark"),
        (good.encode("utf-16"), "byte order mark"),
        (good.encode("utf-16-le"), "control character"),
        (good.encode("utf-32"), "byte order mark"),
    ):
        line, message = told(tmp_path, raw)[0]
        assert (line, says in message) == (1, True)
    for hidden in ("\x00", "\x1b", "\u202e", "\u200b", "\x85", "\ufeff"):
        spoiled = [*text[:place], text[place] + f" # {hidden}", *text[place + 1 :]]
        assert told(tmp_path, spoiled) == [(place + 1, "this line holds a control character")]
    latin = [line.encode() for line in text]
    latin[place] += b" # \xe9"
    assert told(tmp_path, b"\n".join(latin)) == [(place + 1, "this line is not UTF-8")]


def test_h098_a_second_document_and_directives_are_refused(tmp_path: Path) -> None:
    text = lines()

    assert told(tmp_path, [*text, "---", *text])[-1][0] == len(text) + 1
    assert "directives" in told(tmp_path, ["%YAML 1.1", "---", *text])[0][1]


def test_h099_merge_keys_are_refused(tmp_path: Path, dice: random.Random) -> None:
    text = lines()
    place = field("url", dice, text)
    merged = "    <<: {account_type: data}"

    found = told(tmp_path, [*text[:place], merged, *text[place:]])

    assert found == [(place + 1, "merge keys (<<) are not allowed: write the values out")]


def test_h100_a_huge_file_is_refused_before_it_is_understood(tmp_path: Path) -> None:
    good = "\n".join([*lines(), ""]).encode()

    for size in (MAX_BYTES + 1, 10 * 1024 * 1024):
        line, message = told(tmp_path, good + b"#" * (size - len(good)))[0]
        assert (line, "larger" in message) == (1, True)


def test_h101_variables_and_templates_are_not_filled_in(
    tmp_path: Path, dice: random.Random
) -> None:
    for word in ("${HOME}", "$HOME", "{{ id }}", "%(id)s", "$(id)", "`id`", "<%= id %>"):
        text = lines()
        place = field("account_id", dice, text)

        found = told(tmp_path, replaced(text, place, f'"{word}"'))

        assert [line for line, _ in found] == [place + 1]


def test_h102_a_link_leads_to_its_target_and_to_nothing_else(tmp_path: Path) -> None:
    bad = write(tmp_path, "accounts: []\n", "bad.yaml")
    link = tmp_path / "link.yaml"
    link.symlink_to(bad)

    _, err = refused(link)

    assert f"{link}:1: accounts: a list" in err
    device = tmp_path / "device.yaml"
    device.symlink_to(os.devnull)
    assert f"{device}:1: this is not a plain file" in refused(device)[1]


@pytest.mark.parametrize(("mode", "says"), [(0o602, "chmod o-w"), (0o666, "chmod o-w")])
def test_h103_a_file_that_everybody_may_write_is_refused(
    tmp_path: Path, mode: int, says: str
) -> None:
    path = write(tmp_path, "\n".join([*lines(), ""]))
    path.chmod(mode)

    assert says in refused(path)[1]


def test_h103_keys_in_clear_outside_the_sandbox_are_refused_at_their_lines(tmp_path: Path) -> None:
    for environment in ("paper", "live"):
        keys = '{api_key: "CANARYKEY", secret_key: "CANARYSECRET"}'
        text = roster(entry("A", environment=environment, url=None, alpaca_credentials=keys))

        found = told(tmp_path, text.splitlines())

        assert [line for line, message in found if "manage.py seal" in message] == [5, 5]
        assert "CANARY" not in str(found)


def halves() -> Iterator[list[str]]:
    """The file cut within a line: what a writer that is not done leaves."""
    text = "\n".join([*lines(), ""])
    dice = random.Random(104)  # noqa: S311 - repeatable
    for _ in range(10):
        cut = dice.choice([n for n in range(40, len(text)) if text[n - 1] in ":{\"',"])
        yield text[:cut].splitlines()


def test_h104_half_a_file_is_refused_at_its_last_lines(tmp_path: Path) -> None:
    for text in halves():
        found = told(tmp_path, text)

        assert found[-1][0] >= len(text) - 5


def test_h105_live_or_paper_is_a_bare_flag_and_live_needs_leave(tmp_path: Path) -> None:
    flags = {'"false"': 8, "no": 8, "off": 8, "FALSE": 8, "0": 8, "false": 8}
    for flag, line in flags.items():
        text = [*FLAT.splitlines(), '  - account_id: "A"', '    api_key: "env:USER"',
                f"    paper_trading: {flag}", '    secret_key: "env:HOME"']  # fmt: skip

        found = told(tmp_path, text)

        assert line in [at for at, _ in found]
        assert ("OPITIOS_ALLOW_LIVE" in str(found)) == (flag == "false")


def test_h105_an_unknown_field_is_refused_with_the_known_ones(
    tmp_path: Path, dice: random.Random
) -> None:
    for name in ("acount_type", "Account_Type", "environment ", "live", "api_key"):
        text = lines()
        place = field("url", dice, text)
        spoiled = [*text[:place], f'    "{name}": "x"', *text[place:]]

        assert told(tmp_path, spoiled) == [(place + 1, "unknown field")]
