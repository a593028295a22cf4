"""The Makefile explains itself, and what it installs is what was compiled."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = {"run", "up", "down", "test", "bench", "token", "logs", "doctor", "clean"}


def make(*words: str) -> str:
    done = subprocess.run(  # noqa: S603 - the test's own words
        ["/usr/bin/env", "make", "--no-print-directory", *words],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_help_is_what_make_alone_shows_and_names_every_target() -> None:
    said = make()

    listed = {line.split()[0] for line in said.splitlines() if re.match(r"[a-z]+ ", line)}
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert phony
    assert said == make("help")
    assert listed == set(phony[1].split())
    assert listed >= CONTRACT


def test_every_compiled_requirement_is_current_and_hashed() -> None:
    folder = ROOT / "requirements"
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}

    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.*")
    }

    assert found == sums, "run: make lock"
    for path in folder.glob("*.txt"):
        pins = re.findall(r"^[a-z0-9.-]+==", path.read_text(), flags=re.MULTILINE)
        assert pins
        assert path.read_text().count("--hash=sha256:") >= len(pins)


@pytest.mark.parametrize("word", ["set -euo pipefail", "make test"])
def test_ci_runs_the_same_target(word: str) -> None:
    path = ROOT / ".ci" / "run"

    assert word in path.read_text()
    assert path.stat().st_mode & 0o111
