"""How a submit ended: the classification of design.md §4 as one pure function.

| the broker                                      | the order becomes | next            |
|-------------------------------------------------|-------------------|-----------------|
| 2xx about this order                            | its word          | nothing         |
| 2xx about another order                         | `unknown`         | look up         |
| 400, 403, 404, 422                              | `rejected`        | nothing         |
| 422 "client_order_id must be unique"            | `unknown`         | look up, adopt  |
| 401                                             | `rejected`        | suspect the key |
| 429, or proof that nothing was sent             | `queued` again    | rest            |
| timeout, reset, 5xx, unreadable, all the others | `unknown`         | look up         |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from opitios.broker.errors import (
    AccessDenied,
    BrokerError,
    NotSent,
    OutcomeUnknown,
    Refused,
    Throttled,
)
from opitios.broker.port import Answer
from trading import lifecycle

REJECTED = "rejected"


class Next(StrEnum):
    """What is to be done after a submit."""

    NOTHING = "nothing"
    REST = "rest"  # this account sends nothing for a while
    SUSPECT = "suspect"  # its key was refused
    LOOK_UP = "look-up"  # never send it again blindly (law 4)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a submit's ending means for its order.

    status: the broker's word, or ours. outcome: the attempt's word. ambiguous: whether the order
    may be at the broker although nobody said so. note: why, for the journal.
    """

    status: str
    outcome: str
    next: Next = Next.NOTHING
    ambiguous: bool = False
    note: str | None = None


def classify(said: Answer | BrokerError, client_order_id: str) -> Verdict:
    """Say what the answer to a submit, or the lack of one, means.

    An ending nobody thought of is unknown: it is never taken for a refusal (G4).
    """
    if isinstance(said, Answer):
        return _of_answer(said, client_order_id)
    match said:
        case Refused() if said.is_duplicate_client_order_id:
            # It is there already: the look-up adopts it (alpaca-wire.md §6, 2).
            return _unknown("duplicate", "the broker knows this client_order_id already")
        case Refused():
            return Verdict(REJECTED, REJECTED)
        case AccessDenied():
            return Verdict(REJECTED, REJECTED, Next.SUSPECT)
        case Throttled() | NotSent():
            return Verdict(lifecycle.QUEUED, said.outcome, Next.REST, note=said.message)
        case _:
            why = said.reason if isinstance(said, OutcomeUnknown) else said.outcome
            return _unknown(why, why)


def _of_answer(answer: Answer, client_order_id: str) -> Verdict:
    if not describes(answer.body, client_order_id):
        return _unknown("wrong-id", "the answer describes another order")
    return Verdict(answer.body["status"], "accepted")


def _unknown(outcome: str, note: str) -> Verdict:
    return Verdict(lifecycle.UNKNOWN, outcome, Next.LOOK_UP, ambiguous=True, note=note)


def describes(body: Any, client_order_id: str) -> bool:
    """Whether a broker's answer describes the order of this id, and in full."""
    return (
        isinstance(body, Mapping)
        and body.get("client_order_id") == client_order_id
        and isinstance(body.get("id"), str)
        and isinstance(body.get("status"), str)
    )
