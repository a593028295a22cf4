"""The pages of the house, as text."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pages() -> list[Path]:
    """Every page that is read by people: the front pages, and all of docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def page(name: str) -> str:
    """The text of one page, named from the root."""
    return (ROOT / name).read_text()
