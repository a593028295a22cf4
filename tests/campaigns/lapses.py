"""Why orders lapsed: each of them must have a reason that the campaign itself made.

Claimed when something was killed, a deadline in an outage, or a fault of the broker that struck it.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.campaigns.outages import Outage
from tests.campaigns.story import Row, Story
from trading import lifecycle

# After an outage what waits is sent at once: leases, warm clients, a crowded machine. Seconds.
CATCHING_UP_SECONDS = 3.0


@dataclass(slots=True)
class Lapses:
    """How many lapsed, and how many might have; an order may be in more than one of the sets."""

    lapsed: set[str] = field(default_factory=set)
    claimed_at_a_kill: set[str] = field(default_factory=set)
    deadline_in_an_outage: set[str] = field(default_factory=set)
    struck_by_a_fault: set[str] = field(default_factory=set)

    @property
    def unexplained(self) -> set[str]:
        """Those that lapsed without a reason."""
        explained = self.claimed_at_a_kill | self.deadline_in_an_outage | self.struck_by_a_fault
        return self.lapsed - explained

    def disagreements(self) -> Iterator[str]:
        """Name what lapsed although nothing was in its way."""
        for coid in sorted(self.unexplained):
            yield f"{coid} lapsed although nothing was in its way"

    def as_json(self) -> dict[str, int]:
        """The counts."""
        return {
            "lapsed": len(self.lapsed),
            "claimed_at_a_kill": len(self.claimed_at_a_kill),
            "deadline_in_an_outage": len(self.deadline_in_an_outage),
            "struck_by_a_fault": len(self.struck_by_a_fault),
            "unexplained": len(self.unexplained),
        }


def lapses(story: Story) -> Lapses:
    """Count them."""
    found = Lapses()
    outages: defaultdict[str, list[Outage]] = defaultdict(list)
    for outage in story.outages:
        outages[outage.account_id].append(outage)
    struck = {submit.client_order_id for submit in story.ledger.submits if submit.fault}
    for row in story.books.orders:
        coid = row["client_order_id"]
        if row["status"] == lifecycle.LAPSED:
            found.lapsed.add(coid)
        away = outages[row["account_id"]]
        attempts = story.books.attempts.get(str(row["id"]), [])
        if any(_was_cut(attempt, away) for attempt in attempts):
            found.claimed_at_a_kill.add(coid)
        if row["broker_order_id"] is None and _waited_in_vain(row, away):
            found.deadline_in_an_outage.add(coid)
        if coid in struck:
            found.struck_by_a_fault.add(coid)
    return found


def _was_cut(attempt: Row, outages: list[Outage]) -> bool:
    """Whether a submit had no end, or took place while something was away."""
    if attempt["kind"] != "submit":
        return False
    began = attempt["sent_at"].timestamp()
    if attempt["outcome"] is None:
        return True
    ended = began + attempt["ms"] / 1000
    return any(outage.meets(began, ended) for outage in outages)


def _waited_in_vain(row: Row, outages: list[Outage]) -> bool:
    """Whether its deadline came while nothing could be sent, or just after."""
    deadline = row["not_after"].timestamp()
    return any(outage.began <= deadline <= outage.ended + CATCHING_UP_SECONDS for outage in outages)
