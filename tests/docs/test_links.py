"""The pages name things that exist."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, page, pages

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_TARGET = re.compile(r"`make ([a-z]+)")


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    links = [link.partition("#")[0] for link in _LINK.findall(path.read_text())]
    local = [link for link in links if link and "://" not in link]

    missing = [link for link in local if not (path.parent / link).exists()]

    assert missing == []


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_exists(path: Path) -> None:
    known = set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))

    named = set(_TARGET.findall(path.read_text()))

    assert named <= known


@pytest.mark.parametrize(("name", "lines"), [("CONTRIBUTING.md", 120), ("AGENTS.md", 80)])
def test_a_page_for_those_who_work_here_stays_short(name: str, lines: int) -> None:
    assert len(page(name).splitlines()) < lines


def test_a_decision_is_half_a_page_of_context_decision_and_cost() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))

    for place, path in enumerate(decisions, start=1):
        text = path.read_text()
        words = [text.find(f"**{word}.**") for word in ("Context", "Decision", "Cost")]
        assert path.name.startswith(f"{place:04d}-")
        assert text.startswith(f"# {place}. ")
        assert -1 not in words
        assert words == sorted(words)
        assert len(text.split()) < 500
