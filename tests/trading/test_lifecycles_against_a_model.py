"""Random lives of an order on a real database, against a pure model of its broker (G1, G2, G7, G8).

Claims, bytes that arrive late or never, lost answers, dead and frozen desks, duplicated and
reordered updates, cancels, deadlines and look-ups come in any order. `OPITIOS_LIFECYCLES` is how
many lives are tried at most, `OPITIOS_LIFECYCLES_SECONDS` how long, `--hypothesis-seed` which;
where `OPITIOS_EVIDENCE` names a folder, what was met so far is written there.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opitios.core import clock
from tests.trading.lives import Life

# So few are the same in every run; more of them are new ones each time.
FEW = 60
LIVES = int(os.environ.get("OPITIOS_LIFECYCLES", FEW))
SECONDS = float(os.environ.get("OPITIOS_LIFECYCLES_SECONDS", "inf"))
# What was met is written so often: somebody may be watching.
KEPT_EVERY = 10

# Each step picks one of what may happen then; the second number is the event's own choice.
LIFE = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 59)), min_size=10, max_size=40)

# What a walk must have met, or it has shown little; the seldom ones only among many.
WANTED = ("sent twice", "filled in parts")
WANTED_OF_MANY = ("overtaken", "duplicate", "late arrival")


@pytest.mark.django_db
@pytest.mark.timeout(1800)
def test_every_life_of_an_order_ends_as_the_broker_says() -> None:
    met: Counter[str] = Counter()
    until = clock.monotonic() + SECONDS

    @settings(
        max_examples=LIVES,
        deadline=None,
        derandomize=LIVES <= FEW,
        suppress_health_check=list(HealthCheck),
    )
    @given(LIFE)
    def live(steps: list[tuple[int, int]]) -> None:
        if clock.monotonic() > until:
            return
        life = Life()
        for pick, number in steps:
            life.go_on(pick, number)
        life.end()
        met.update(["lives", *life.met()])
        if met["lives"] % KEPT_EVERY == 0:
            keep(met)

    live()

    keep(met)
    wanted = WANTED + (WANTED_OF_MANY if LIVES > FEW else ())
    assert [what for what in wanted if not met[what]] == []


def keep(met: Counter[str]) -> None:
    """Write down what was met, where somebody wants to have it."""
    if folder := os.environ.get("OPITIOS_EVIDENCE"):
        fresh = Path(folder) / ".met.json"
        fresh.write_text(json.dumps(met))
        fresh.replace(fresh.with_name("met.json"))
