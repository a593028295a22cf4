"""One order told for people: its way in steps, what was tried, and what changed. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# api.md §3: one vocabulary for API, metrics and admin.
STAGES = ("received", "checked", "stored", "sent", "acknowledged", "first_fill", "final")

# An order that the broker refused or never got has no fill to wait for.
REACHED, WAITING, SKIPPED = "reached", "waiting", "skipped"

# A step this short is still drawn: of the whole bar, in percent.
SHORTEST_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Step:
    """One stage: how far it is, and how long it took since the stage before it.

    `share` is its part of the whole time in percent, as CSS takes it.
    """

    stage: str
    state: str
    name: str
    at_ms: float | None = None
    took_ms: float | None = None
    share: str = "0"


def steps(timeline: Sequence[Mapping[str, Any]], *, final: bool) -> list[Step]:
    """Draw a timeline of api.md §3: each stage passed, then those that are still to come.

    Several attempts are several steps. A stage told out of order (a fill that came before its
    acknowledgement) took no time of its own.
    """
    drawn: list[Step] = []
    whole = max((told["ms"] for told in timeline), default=0.0)
    before = 0.0
    for told in sorted(timeline, key=lambda one: STAGES.index(one["stage"])):
        took = max(0.0, told["ms"] - before)
        before = max(before, told["ms"])
        drawn.append(_reached(told, took, whole))
    missing = [stage for stage in STAGES if stage not in {step.stage for step in drawn}]
    state = SKIPPED if final else WAITING
    coming = [Step(stage, state, _named(stage)) for stage in missing]
    return sorted(drawn + coming, key=lambda step: STAGES.index(step.stage))


def _reached(told: Mapping[str, Any], took: float, whole: float) -> Step:
    name = _named(told["stage"])
    if told.get("attempt", 1) > 1:
        name = f"{name} ({told['attempt']})"
    share = max(SHORTEST_SHARE, 100 * took / whole) if took and whole else 0.0
    return Step(told["stage"], REACHED, name, told["ms"], took, f"{share:.2f}")


def _named(stage: str) -> str:
    return stage.replace("_", " ")
