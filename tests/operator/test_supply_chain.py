"""What comes from others is known: advisories, licences, and a list of what is shipped."""

import json
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support import advisories
from tests.support.advisories import Accepted, judged

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TODAY = date(2026, 11, 21)
BIN = Path(sys.executable).parent


def known(**changed: Any) -> Accepted:
    """An acceptance that holds today."""
    told = {"id": "GHSA-1", "package": "a", "reason": "we do not call it"}
    return Accepted(**told | {"accepted": date(2026, 11, 1), "until": date(2026, 12, 1)} | changed)


def clean(name: str) -> dict[str, Any]:
    """A package nothing is known about."""
    return {"name": name, "version": "1.0", "vulns": []}


def hit(name: str, *, fixed: tuple[str, ...] = ("1.1",)) -> dict[str, Any]:
    """A package an advisory of two names is about."""
    vuln = {"id": "PYSEC-1", "aliases": ["GHSA-1"], "fix_versions": list(fixed)}
    return {"name": name, "version": "1.0", "vulns": [vuln]}


def unknown(name: str) -> dict[str, Any]:
    """A package the service does not have."""
    return {"name": name, "skip_reason": "not found"}


def test_nothing_known_is_said_with_how_many_were_asked_about() -> None:
    assert judged([clean("a"), clean("b")], [], TODAY) == (
        ["advisories: 2 packages asked about, 0 to be mended"],
        False,
    )


@pytest.mark.parametrize(
    ("fixed", "todo"),
    [(("1.1", "2.0"), "fixed in 1.1: make lock U='--upgrade-package a'"), ((), "accept it in")],
)
def test_a_finding_fails_and_says_what_to_do(fixed: tuple[str, ...], todo: str) -> None:
    lines, failed = judged([hit("a", fixed=fixed), clean("b")], [], TODAY)

    assert failed
    assert lines[0].startswith("a 1.0: GHSA-1, PYSEC-1; ")
    assert todo in lines[0]


@pytest.mark.parametrize("id_", ["GHSA-1", "PYSEC-1"])
def test_an_accepted_one_is_shown_with_its_reason_under_either_name(id_: str) -> None:
    lines, failed = judged([hit("a")], [known(id=id_)], TODAY)

    assert not failed
    assert lines[0] == f"{id_} of a is accepted until 2026-12-01: we do not call it"


@pytest.mark.parametrize("changed", [{"until": date(2026, 11, 20)}, {"package": "b"}])
def test_an_acceptance_ends_and_is_of_one_package(changed: dict[str, Any]) -> None:
    assert judged([hit("a")], [known(**changed)], TODAY)[1]


def test_an_acceptance_that_nothing_needs_is_told() -> None:
    lines, failed = judged([clean("a")], [known()], TODAY)

    assert (lines[0], failed) == (
        "GHSA-1 of a is accepted and not found any more: take it out",
        False,
    )


def test_a_service_that_knows_nothing_is_not_taken_for_good_news() -> None:
    lines, failed = judged([unknown("a"), unknown("b")], [known()], TODAY)

    assert not failed
    assert lines == ["advisories not checked: the service knows none of the packages (a mirror?)"]


def test_what_the_service_does_not_know_is_named() -> None:
    lines, _ = judged([clean("a"), unknown("b")], [], TODAY)

    assert lines[-1] == "advisories not checked for b: not known there"


def test_without_a_way_to_the_service_it_says_so_and_does_not_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody listens there.
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    code = advisories.main()

    assert code == 0
    said = capsys.readouterr().out
    assert said.startswith("advisories not checked: ")
    assert "ProxyError" in said


def test_every_accepted_advisory_has_its_reason_and_an_end_within_half_a_year() -> None:
    for each in advisories.accepted():
        assert each.reason.strip()
        assert (each.until - each.accepted).days <= 183


def test_the_list_of_what_is_shipped_is_valid_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = sbom(tmp_path / "one"), sbom(tmp_path / "two", "SBOM_ARGS=--no-validate")

    assert first == second
    told = json.loads(first)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    component = told["metadata"]["component"]
    assert (component["name"], component["version"]) == ("opitios", PYPROJECT["project"]["version"])
    named = {(each["name"], each["version"]) for each in told["components"]}
    pins = re.findall(
        r"^([a-z0-9.-]+)==([^ ;]+)", (ROOT / "requirements" / "prod.txt").read_text(), re.MULTILINE
    )
    assert named == set(pins)
    assert all(_hashes(each) for each in told["components"])


def sbom(folder: Path, *more: str) -> bytes:
    """What the Makefile's rule writes, into another folder."""
    folder.mkdir()
    path = folder / "sbom.cdx.json"
    words = ["make", "--no-print-directory", "--old-file=.venv/.dev", f"SBOM={path}", *more]
    subprocess.run(  # noqa: S603 - the test's own words
        ["/usr/bin/env", *words, str(path)], cwd=ROOT, check=True, capture_output=True
    )
    return path.read_bytes()


def _hashes(component: dict[str, Any]) -> list[Any]:
    return [hash_ for each in component["externalReferences"] for hash_ in each["hashes"]]


def test_a_licence_that_is_not_on_the_list_fails_with_package_and_licence(tmp_path: Path) -> None:
    listed = PYPROJECT["tool"]["pip-licenses"]["allow-only"].split(";\n")
    narrowed = ";".join(one for one in listed if one != "LGPL-3.0-only")

    done = subprocess.run(  # noqa: S603 - the test's own words
        [str(BIN / "pip-licenses"), "--from=mixed", "--packages", "psycopg", "django",
         f"--allow-only={narrowed}"],
        cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 1
    assert "LGPL-3.0-only" in done.stderr
    assert "psycopg" in done.stderr


def test_every_exception_of_bandit_names_its_check_and_a_reason() -> None:
    lines = [
        line
        for room in PYPROJECT["tool"]["coverage"]["run"]["source"]
        for file in (ROOT / room).rglob("*.py")
        for line in file.read_text().splitlines()
        if re.search(r"#\s*nosec", line)
    ]

    assert lines
    for line in lines:
        assert re.search(r"# .*\w+ # nosec B\d{3}$", line), line
