"""The document of the API as it is committed."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


@cache
def committed() -> dict[str, Any]:
    """Read it once: it has thousands of lines. Nobody changes what is returned."""
    # PyYAML's reader in Python takes four times as long.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(DOCUMENT.read_text(), Loader=loader)  # noqa: S506 - safe ones
    return found
