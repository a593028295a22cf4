"""A process that trades does not load what only market data needs."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from opitios.broker.alpaca.late import import_late

ROOT = Path(__file__).resolve().parents[2]

TRADES = """
import sys
import opitios.broker.alpaca.clients
loaded = {name.partition(".")[0] for name in sys.modules}
assert "alpaca.trading.client" in sys.modules
assert "alpaca.data" not in sys.modules
assert "numpy" not in loaded, "pandas was loaded"

import opitios.broker.alpaca.data
import pandas
assert pandas.Timestamp("2026-11-20").year == 2026
from alpaca.trading.requests import pd
assert pd.Timestamp is pandas.Timestamp
"""


def test_pandas_is_loaded_with_market_data_and_not_before() -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", TRADES],
        cwd=ROOT,
        env=os.environ.copy(),
        capture_output=True,
        check=False,
    )

    assert done.stderr == b""
    assert done.returncode == 0


def test_a_module_is_loaded_once_by_its_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seldom_used.py").write_text("print('loaded')\nanswer = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "seldom_used", raising=False)

    import_late("seldom_used")
    import seldom_used  # type: ignore[import-not-found]  # noqa: PLC0415

    first = seldom_used
    assert "answer" not in vars(first)
    assert (first.answer, first.answer) == (42, 42)
    assert isinstance(sys.modules["seldom_used"], types.ModuleType)
    assert sys.modules["seldom_used"] is not first
    with pytest.raises(AttributeError):
        _ = first.question


def test_a_module_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    there = types.ModuleType("already_there")
    monkeypatch.setitem(sys.modules, "already_there", there)

    import_late("already_there")

    assert sys.modules["already_there"] is there


def test_a_module_that_is_not_installed_fails_where_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "nowhere_to_be_found", raising=False)
    import_late("nowhere_to_be_found")
    stand_in = sys.modules["nowhere_to_be_found"]

    with pytest.raises(ModuleNotFoundError):
        _ = stand_in.anything
