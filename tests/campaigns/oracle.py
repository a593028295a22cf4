"""After a campaign: clients, our books, the journal and the broker's ledger must tell one story.

Each view is a pure function of the story that names what does not fit (I1–I5, I11).
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain

from tests.campaigns import brokers_view, clients_view, journals_view
from tests.campaigns.lapses import Lapses, lapses
from tests.campaigns.story import Story

VIEWS = (clients_view, brokers_view, journals_view)


@dataclass(slots=True)
class Findings:
    """What was compared, and every disagreement in words."""

    lapses: Lapses
    orders: int = 0
    at_broker: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    ambiguous: int = 0
    duplicates_refused: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    late_arrivals: int = 0
    disagreements: list[str] = field(default_factory=list)


def compare(story: Story) -> Findings:
    """Compare what clients were told, what we hold, and what the broker holds."""
    rows, entries = story.books.orders, chain.from_iterable(story.books.entries.values())
    found = Findings(
        lapses=lapses(story),
        orders=len(rows),
        at_broker=len(story.ledger.orders),
        by_status=Counter(row["status"] for row in rows),
        by_reason=Counter(row["reason"] or "-" for row in rows),
        attempts=sum(row["attempts"] for row in rows),
        ambiguous=sum(row["ambiguous"] for row in rows),
        duplicates_refused=_duplicates(story),
        struck=Counter(submit.fault for submit in story.ledger.submits if submit.fault),
        late_arrivals=sum(e["said"]["after"].get("reason") == "late-arrival" for e in entries),
    )
    views = chain.from_iterable(view.disagreements(story) for view in VIEWS)
    found.disagreements = [*views, *found.lapses.disagreements()]
    return found


def _duplicates(story: Story) -> int:
    arrived = Counter(
        (each.account_id, each.client_order_id)
        for each in story.ledger.submits
        if each.status is not None and each.status != brokers_view.THROTTLED
    )
    return sum(times - 1 for times in arrived.values())
