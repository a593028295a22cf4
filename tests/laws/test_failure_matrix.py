"""The page of failures is whole, and names only tests that exist."""

import ast
import re

import pytest

from tests.docs.pages import ROOT, page

PAGE = "docs/failure-matrix.md"
ROWS = [f"C{number:02}" for number in range(35)]
# Nothing of these is built yet.
WAITING = {"C24", "C26"}

_NODE = re.compile(r"`(tests/[a-z_0-9/]+\.py)::(\w+)`")


def rows() -> dict[str, list[str]]:
    """The table: each row's cells, by its name."""
    lines = [line for line in page(PAGE).splitlines() if line.startswith("| C")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len(cells) == len({row[0] for row in cells})
    return {row[0]: row[1:] for row in cells}


def functions(path: str) -> set[str]:
    """The tests of one file."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_is_there_in_order() -> None:
    assert list(rows()) == ROWS


def test_every_test_that_the_page_names_exists() -> None:
    named = _NODE.findall(page(PAGE))

    missing = [f"{path}::{name}" for path, name in named if name not in functions(path)]

    assert named
    assert missing == []


@pytest.mark.parametrize("row", ROWS)
def test_a_row_says_what_must_happen_and_what_shows_it(row: str) -> None:
    fails, happens, shown_by, how = rows()[row]

    assert fails
    assert happens
    assert bool(_NODE.search(shown_by)) is (row not in WAITING)
    if row in WAITING:
        assert how.startswith("waiting (")


def test_every_test_of_the_matrix_is_on_the_page() -> None:
    named = {name for _, name in _NODE.findall(page(PAGE))}
    files = (ROOT / "tests" / "matrix").glob("test_*.py")
    here = {name for file in files for name in functions(str(file.relative_to(ROOT)))}

    unnamed = {name for name in here if name.startswith("test_")} - named

    assert unnamed == set()
