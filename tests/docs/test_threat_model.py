"""Every threat of the page is answered by a test that is there, and the page says what is not."""

import ast
import re

import pytest

from tests.docs.pages import ROOT, page

PAGE = "docs/threat-model.md"
_ROW = re.compile(r"^\| (?!threat |---)(.+) \| (.+) \| (`tests/.+) \|$", re.MULTILINE)
_NAMED = re.compile(r"`(tests/[a-z_0-9/]+\.py)(?:::(\w+))?`")


def threats() -> list[tuple[str, str, str]]:
    """Threat, what stands against it, and what shows that."""
    chapter = page(PAGE).split("## Threats")[1].split("## What is not defended")[0]
    found: list[tuple[str, str, str]] = _ROW.findall(chapter)
    rows = [line for line in chapter.splitlines() if line.startswith("| ")]
    heads = [line for line in rows if line.startswith("| threat |")]
    assert len(found) == len(rows) - len(heads)
    return found


@pytest.mark.parametrize("threat", threats(), ids=lambda threat: threat[0][:40])
def test_what_a_threat_is_answered_by_exists(threat: tuple[str, str, str]) -> None:
    named = _NAMED.findall(threat[2])

    assert named
    for path, name in named:
        tests = _tests_of(path)
        assert tests, path
        assert not name or name in tests, f"{path}::{name}"


def test_the_page_says_what_is_not_defended() -> None:
    chapter = page(PAGE).split("## What is not defended")[1]

    assert len(re.findall(r"^- ", chapter, re.MULTILINE)) >= 5
    assert "memory" in chapter


def _tests_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    found = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {n.name for n in ast.walk(tree) if isinstance(n, found) and n.name.startswith("test_")}
