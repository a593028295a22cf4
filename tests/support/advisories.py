"""`python -m tests.support.advisories`: known advisories against what is shipped and installed.

pip-audit answers "none known" where its service knew not one of the packages, as behind a mirror
that has files alone. Here that is said, and is no failure: whoever has no way to the service must
still be able to build. A finding is one, until it is mended or accepted in pyproject.toml
(`[[tool.opitios.accepted-advisories]]`: id, package, accepted, until, reason).
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from opitios.core import clock

ROOT = Path(__file__).resolve().parents[2]
AUDITED = ("prod.txt", "embedded.txt")
# One answer of the service, and all of them. Seconds.
ANSWER_SECONDS, PATIENCE_SECONDS = 5, 60
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Accepted:
    """An advisory somebody has looked at and lives with, for a time."""

    id: str
    package: str
    accepted: date
    until: date
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A version of ours that an advisory is about; `ids` are its names in several lists."""

    package: str
    version: str
    ids: frozenset[str]
    fixed_in: tuple[str, ...]

    def sentence(self) -> str:
        """Say what is wrong and what to do."""
        names = ", ".join(sorted(self.ids))
        if self.fixed_in:
            todo = f"fixed in {self.fixed_in[0]}: make lock U='--upgrade-package {self.package}'"
        else:
            todo = (
                "no fixed version: accept it in pyproject.toml with reason and date, or do without"
            )
        return f"{self.package} {self.version}: {names}; {todo}"


class NotChecked(Exception):
    """The service could not be asked; the message says why."""


def main() -> int:
    """Ask, and tell; 1 where something was found that is not accepted."""
    try:
        lines, failed = judged(_asked(), accepted(), clock.now().date())
    except NotChecked as error:
        lines, failed = [f"advisories not checked: {error}"], False
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(failed)


def judged(
    found: Sequence[Mapping[str, Any]], known: Sequence[Accepted], today: date
) -> tuple[list[str], bool]:
    """Judge pip-audit's `dependencies`: what to say, and whether it fails. Pure.

    An acceptance that has run out, or that nothing needs any more, is told; the first one fails.
    """
    skipped = sorted(each["name"] for each in found if "skip_reason" in each)
    findings = list(_findings(found))
    valid = {(each.package, each.id) for each in known if today <= each.until}
    open_ = [each for each in findings if not any((each.package, i) in valid for i in each.ids)]
    lines = [each.sentence() for each in open_]
    lines += [f"{each.id} of {each.package} is accepted until {each.until}: {each.reason}"
              for each in known if any(each.id in f.ids for f in findings)]  # fmt: skip
    lines += [f"{each.id} of {each.package} is accepted and not found any more: take it out"
              for each in known if not any(each.id in f.ids for f in findings)
              and each.package not in skipped]  # fmt: skip
    return [*lines, *_coverage(len(found), skipped, len(open_))], bool(open_)


def _findings(found: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for each in found:
        for one in each.get("vulns", ()):
            ids = frozenset([one["id"], *one.get("aliases", ())])
            yield Finding(each["name"], each["version"], ids, tuple(one.get("fix_versions", ())))


def _coverage(count: int, skipped: Sequence[str], findings: int) -> Iterator[str]:
    if count == len(skipped):
        yield "advisories not checked: the service knows none of the packages (a mirror?)"
        return
    yield f"advisories: {count - len(skipped)} packages asked about, {findings} to be mended"
    if skipped:
        rest = f" and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
        yield f"advisories not checked for {', '.join(skipped[:SHOWN])}{rest}: not known there"


def accepted(path: Path = ROOT / "pyproject.toml") -> list[Accepted]:
    """Read what is accepted. Raises TypeError for an entry that lacks something."""
    told = tomllib.loads(path.read_text())["tool"].get("opitios", {})
    return [Accepted(**each) for each in told.get("accepted-advisories", ())]


def _asked() -> list[dict[str, Any]]:
    """Let pip-audit ask about the locked versions. Raises NotChecked."""
    files = [word for name in AUDITED for word in ("-r", str(ROOT / "requirements" / name))]
    command = [
        str(Path(sys.executable).with_name("pip-audit")), "--disable-pip", "--require-hashes",
        "--format", "json", "--progress-spinner", "off", "--timeout", str(ANSWER_SECONDS), *files,
    ]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, check=False, text=True, timeout=PATIENCE_SECONDS,
            env=os.environ,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NotChecked(f"no answer within {PATIENCE_SECONDS} seconds") from error
    return _read(done.stdout, done.stderr)


def _read(out: str, err: str) -> list[dict[str, Any]]:
    """Take what was found out of pip-audit's answer. Raises NotChecked, with its last word."""
    try:
        found: list[dict[str, Any]] = json.loads(out)["dependencies"]
    except (ValueError, KeyError) as error:
        last = (err.strip().splitlines() or ["pip-audit said nothing"])[-1]
        raise NotChecked(last[:300]) from error
    return found


if __name__ == "__main__":
    sys.exit(main())
