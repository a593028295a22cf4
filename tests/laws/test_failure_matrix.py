"""The page of failures is whole, and names only tests that exist."""

import ast
import re

import pytest

from tests.docs.pages import ROOT, page

PAGE = "docs/failure-matrix.md"
ROWS = [f"C{number:02}" for number in range(35)]
# Nothing of these is built yet.
WAITING = {"C24"}

_NODE = re.compile(r"`(tests/[a-z_0-9/]+\.py)::(\w+)`")
_ROW = re.compile(r"^\| C\d\d \|")


def rows() -> dict[str, list[str]]:
    """The table: each row's cells, by its name."""
    lines = [line for line in page(PAGE).splitlines() if _ROW.match(line)]
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


def matrix_tests() -> set[str]:
    """The tests of the matrix' own folder."""
    files = (ROOT / "tests" / "matrix").glob("test_*.py")
    here = {name for file in files for name in functions(str(file.relative_to(ROOT)))}
    return {name for name in here if name.startswith("test_")}


def test_every_test_of_the_matrix_stands_in_the_rows_it_names() -> None:
    shown_by = {row: {name for _, name in _NODE.findall(cells[2])} for row, cells in rows().items()}

    missing = [
        (name, row)
        for name in matrix_tests()
        for row in [each.upper() for each in re.findall(r"c\d\d", name)] or [name]
        if name not in shown_by.get(row, set())
    ]

    assert missing == []
