"""The classification of a submit (design.md §4), as a table: one line an ending."""

from typing import Any

import pytest

from opitios.broker.errors import (
    AccessDenied,
    BrokerError,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Refused,
    Throttled,
)
from opitios.broker.port import Answer
from trading.outcomes import Next, classify

COID = "op1-1"
OURS = {"id": "b-1", "client_order_id": COID, "status": "pending_new"}


def answer(body: Any) -> Answer:
    """A 200 with this body."""
    return Answer(http_status=200, body=body, request_id="r", raw_sha256="", ms=1.0, rate=None)


def refused(status: int, message: str = "no") -> Refused:
    """A definitive no."""
    return Refused(message=message, http_status=status)


# What the broker said; status, outcome of the attempt, what comes next, whether it is in doubt.
TABLE: list[tuple[Answer | BrokerError, str, str, Next, bool]] = [
    (answer(OURS), "pending_new", "accepted", Next.NOTHING, False),
    (answer(OURS | {"status": "filled"}), "filled", "accepted", Next.NOTHING, False),
    (answer(OURS | {"status": "a_new_word"}), "a_new_word", "accepted", Next.NOTHING, False),
    (answer(OURS | {"client_order_id": "x"}), "unknown", "wrong-id", Next.LOOK_UP, True),
    (answer(OURS | {"id": 7}), "unknown", "wrong-id", Next.LOOK_UP, True),
    (answer(OURS | {"status": None}), "unknown", "wrong-id", Next.LOOK_UP, True),
    (answer({}), "unknown", "wrong-id", Next.LOOK_UP, True),
    (answer(None), "unknown", "wrong-id", Next.LOOK_UP, True),
    (answer([OURS]), "unknown", "wrong-id", Next.LOOK_UP, True),
    (refused(400), "rejected", "rejected", Next.NOTHING, False),
    # 403 is also "insufficient buying power": only 401 puts the key in doubt.
    (refused(403), "rejected", "rejected", Next.NOTHING, False),
    (refused(404), "rejected", "rejected", Next.NOTHING, False),
    (NotFound(message="no", http_status=404), "rejected", "rejected", Next.NOTHING, False),
    (refused(422), "rejected", "rejected", Next.NOTHING, False),
    (
        refused(422, "client_order_id must be unique"),
        "unknown", "duplicate", Next.LOOK_UP, True,
    ),
    # The words alone do not make a duplicate.
    (
        refused(400, "client_order_id must be unique"),
        "rejected", "rejected", Next.NOTHING, False,
    ),
    (AccessDenied(message="no", http_status=401), "rejected", "rejected", Next.SUSPECT, False),
    (Throttled(message="slow", http_status=429), "queued", "throttled", Next.REST, False),
    (NotSent(message="refused", reason="no-connection"), "queued", "not-sent", Next.REST, False),
    (NotSent(message="full", reason="no-slot"), "queued", "not-sent", Next.REST, False),
    (OutcomeUnknown(message="", reason="timeout"), "unknown", "timeout", Next.LOOK_UP, True),
    (OutcomeUnknown(message="", reason="reset"), "unknown", "reset", Next.LOOK_UP, True),
    (OutcomeUnknown(message="", reason="http-5xx"), "unknown", "http-5xx", Next.LOOK_UP, True),
    (OutcomeUnknown(message="", reason="unparsable"), "unknown", "unparsable", Next.LOOK_UP, True),
    (OutcomeUnknown(message="", reason="too-large"), "unknown", "too-large", Next.LOOK_UP, True),
    (OutcomeUnknown(message="", reason="redirect"), "unknown", "redirect", Next.LOOK_UP, True),
    (
        OutcomeUnknown(message="", reason="unexpected-status"),
        "unknown", "unexpected-status", Next.LOOK_UP, True,
    ),
    # An ending nobody thought of is never a refusal (G4).
    (BrokerError(message="?"), "unknown", "error", Next.LOOK_UP, True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "status", "outcome", "then", "ambiguous"),
    TABLE,
    ids=[f"{line[2]}-{number}" for number, line in enumerate(TABLE)],
)
def test_each_ending_has_one_meaning(
    said: Answer | BrokerError, status: str, outcome: str, then: Next, ambiguous: bool
) -> None:
    verdict = classify(said, COID)

    assert (verdict.status, verdict.outcome) == (status, outcome)
    assert (verdict.next, verdict.ambiguous) == (then, ambiguous)


def test_every_kind_of_failure_is_in_the_table() -> None:
    kinds = {type(said) for said, *_ in TABLE}

    assert kinds >= _all(BrokerError)


def test_only_what_is_in_doubt_is_looked_up() -> None:
    for said, *_ in TABLE:
        verdict = classify(said, COID)
        assert (verdict.next is Next.LOOK_UP) == verdict.ambiguous == (verdict.status == "unknown")


def _all(kind: type[BrokerError]) -> set[type[BrokerError]]:
    found = {kind}
    for each in kind.__subclasses__():
        found |= _all(each)
    return found
