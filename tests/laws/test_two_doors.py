"""Law 1: only orders.py and executions.py write an order; law 9: no domain file is both worlds."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("opitios", "accounts", "trading", "marketdata", "streaming")
DOORS = {"trading/orders.py", "trading/executions.py"}

_FUNCTIONS = re.compile(r"\border_(accept|claim|change|mirror)\b")
_WRITES = re.compile(
    r"\b(insert\s+into|update|delete\s+from|truncate(\s+table)?|merge\s+into|copy)\s+"
    r"(only\s+)?\"?(public\.)?\"?trading_(order|fill|attempt)\b",
    re.IGNORECASE,
)
_MANAGERS = {"create", "bulk_create", "get_or_create", "update_or_create", "update", "delete",
             "bulk_update", "save"}  # fmt: skip
_MODELS = {"Order", "Fill", "Attempt"}


def sources() -> list[Path]:
    """Every module of the gateway but the migrations."""
    found = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts]


def texts(tree: ast.AST) -> list[str]:
    """Every string of a module that is no docstring."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def model_writes(tree: ast.AST) -> list[str]:
    """Writes through the ORM: `Order.objects.….update(…)`, and `Order(…)` itself."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in _MODELS:
            found.append(ast.unparse(node))
        if isinstance(node.func, ast.Attribute) and node.func.attr in _MANAGERS:
            names = {n.id for n in ast.walk(node.func.value) if isinstance(n, ast.Name)}
            if names & _MODELS:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_two_doors_write_orders(path: Path) -> None:
    tree = ast.parse(path.read_text())
    name = str(path.relative_to(ROOT))

    said = [text for text in texts(tree) if _FUNCTIONS.search(text) or _WRITES.search(text)]
    if name not in DOORS:
        assert said == []
    assert model_writes(tree) == []


def test_the_search_finds_what_it_looks_for() -> None:
    door = ast.parse((ROOT / "trading/executions.py").read_text())
    orm = ast.parse("Order.objects.filter(id=1).update(final=True); Fill(qty=1)")

    assert any(_FUNCTIONS.search(text) for text in texts(door))
    assert any(_WRITES.search(text) for text in texts(door))
    assert _WRITES.search("DELETE FROM ONLY public.trading_order")
    assert len(model_writes(orm)) == 2


@pytest.mark.parametrize("room", ["accounts", "trading", "marketdata", "opitios/core"])
def test_rooms_of_the_rest_side_have_no_coroutines(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        tree = ast.parse(path.read_text())
        kinds = ast.AsyncFunctionDef | ast.Await
        assert [node for node in ast.walk(tree) if isinstance(node, kinds)] == [], path


def test_no_signal_receiver_stands_anywhere() -> None:
    for path in sources():
        assert "dispatch import receiver" not in path.read_text(), path
