"""The timing campaign's measurement (H179); its name keeps it out of `make test`.

In this process, through every layer but the server's socket: a network only hides differences.
"""

import json
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.api.calls import Api
from tests.campaigns.mann_whitney import mann_whitney
from tests.campaigns.timing import LEAST_P, TRIES

pytestmark = pytest.mark.django_db

Ask = Callable[[], object]

# Asked before anything is measured: caches fill, code is specialised.
WARM_UP = 300


def test_what_must_look_the_same_takes_the_same_time() -> None:
    plan = json.loads(os.environ["OPITIOS_TIMING"])
    folder = Path(os.environ["OPITIOS_EVIDENCE"])
    # Which of two is asked first is up to this.
    chance = random.Random(plan["seed"])  # noqa: S311 - a run that can be repeated
    found: dict[str, Any] = {}
    for name, two in pairs().items():
        found[name] = judged(two, plan["samples"], chance)
        # Whole or not at all: it is looked at meanwhile.
        fresh = folder / "met.fresh"
        fresh.write_text(json.dumps({"pairs_done": len(found), "pairs": found}))
        fresh.replace(folder / "met.json")


def pairs() -> dict[str, Sequence[Ask]]:
    """What must look the same, by name."""
    mine, theirs = Api.open(), Api.open()
    # As long as an account's own: a longer path is no secret.
    unknown = "t-" + "0" * (len(theirs.account) - 2)
    made = mine.token
    head, _, signature = made.rpartition(".")

    def asks(account: str, token: str, status: int) -> Ask:
        path, header = f"/api/v1/accounts/{account}/orders", f"Bearer {token}"

        def ask() -> None:
            assert mine.get(path, Authorization=header).status_code == status

        return ask

    first = f"{head}.{_other(signature[0])}{signature[1:]}"
    last = f"{head}.{signature[:-2]}{_other(signature[-2])}{signature[-1]}"
    return {
        "404: another's account, no account": [
            asks(theirs.account, made, 404), asks(unknown, made, 404)
        ],
        "401 for a bad signature: one's own account, another's": [
            asks(mine.account, first, 401), asks(theirs.account, first, 401)
        ],
        "401 for a bad signature: another's account, no account": [
            asks(theirs.account, first, 401), asks(unknown, first, 401)
        ],
        "401: wrong in the signature's first letter, in its last": [
            asks(mine.account, first, 401), asks(mine.account, last, 401)
        ],
    }  # fmt: skip


def _other(letter: str) -> str:
    return "A" if letter != "A" else "B"


def judged(two: Sequence[Ask], samples: int, chance: random.Random) -> dict[str, Any]:
    """Measure a pair, again where chance may have spoken; its p and medians."""
    told: dict[str, Any] = {}
    for number in range(1, TRIES + 1):
        taken = measured(two, samples, chance)
        p = mann_whitney(*taken)
        medians = [round(statistics.median(each) / 1000, 1) for each in taken]
        told = {"p": round(p, 6), "tries": number, "median_us": medians}
        if p > LEAST_P:
            break
    return told


def measured(
    two: Sequence[Ask], samples: int, chance: random.Random
) -> tuple[list[int], list[int]]:
    """So many times of each, in nanoseconds, asked in turns under the same circumstances."""
    for ask in [*two] * WARM_UP:
        ask()
    taken: tuple[list[int], list[int]] = ([], [])
    for _ in range(samples):
        for which in chance.sample((0, 1), 2):
            began = time.perf_counter_ns()
            two[which]()
            taken[which].append(time.perf_counter_ns() - began)
    return taken
