"""The page of the hostile corpus is whole, and names only tests that exist and name their row."""

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import ROOT, page

PAGE = "docs/hostile.md"
IDS = [f"H{number:03}" for number in range(1, 183)]
MARKS = {"edge", "broker", "inert", "waiting"}
_NODE = re.compile(r"`(tests/[a-z_0-9/]+\.py)::(\w+)`")
_ROW = re.compile(r"^\| H\d{3} \|")


@cache
def rows() -> dict[str, list[str]]:
    """The tables: each row's cells, by its id."""
    lines = [line for line in page(PAGE).splitlines() if _ROW.match(line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len(cells) == len({row[0] for row in cells})
    assert all(len(row) == 4 for row in cells)
    return {row[0]: row[1:] for row in cells}


@cache
def functions_of(path: str) -> dict[str, str]:
    """The tests of one file: each one's name, and name and docstring together."""
    tree = ast.parse((ROOT / path).read_text())
    return {
        node.name: f"{node.name} {ast.get_docstring(node) or ''}".upper()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_every_id_is_there_in_order() -> None:
    assert list(rows()) == IDS


@pytest.mark.parametrize("row", IDS)
def test_a_row_that_is_not_waiting_names_tests_that_name_it(row: str) -> None:
    what, mark, shown_by = rows()[row]
    named = _NODE.findall(shown_by)

    assert what
    assert mark in MARKS
    assert bool(named) is (mark != "waiting")
    assert (mark == "waiting") is shown_by.startswith("waiting (")
    silent = [name for path, name in named if row not in functions_of(path).get(name, "")]
    assert silent == []


def test_a_row_that_a_test_of_the_corpus_names_names_the_test() -> None:
    files = [str(file.relative_to(ROOT)) for file in (ROOT / "tests" / "hostile").glob("test_*.py")]
    missing = [
        (path, name)
        for path in files
        for name in functions_of(path)
        for row in re.findall(r"(?<=_)h\d{3}(?=_)", name)
        if (path, name) not in _NODE.findall(rows()[row.upper()][2])
    ]

    assert missing == []
