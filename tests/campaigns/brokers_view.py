"""Does the broker hold what our books say, once, and nothing else? (G2, G3, G7, I1–I3)."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from tests.campaigns.ledger import BrokerOrder, Ledger, Submit
from tests.campaigns.story import Row, Story
from trading import lifecycle

Key = tuple[str, str]

NEVER_SENT = frozenset({"canceled-before-send", "deadline-before-send"})
# From the claim to the broker's books, on a crowded machine; and where a fault held it back.
ON_THE_WAY_SECONDS = 5.0
HELD_BACK_SECONDS = 15.0
# A stand-in's price has nine digits; so many USD may be lost in rounding.
ROUNDING = Decimal("0.001")
THROTTLED = 429
ASKED = ("symbol", "side", "type", "qty", "limit_price")


@dataclass(slots=True)
class _Theirs:
    """What the ledger has of one client_order_id of one account."""

    orders: list[BrokerOrder] = field(default_factory=list)
    submits: list[Submit] = field(default_factory=list)

    @property
    def was_heard(self) -> bool:
        """Whether something arrived there that was not turned away by a limit."""
        return any(submit.status != THROTTLED for submit in self.submits)


def disagreements(story: Story) -> Iterator[str]:
    """Compare the broker's ledger with our rows."""
    theirs = _by_key(story.ledger)
    ours = {(row["account_id"], row["client_order_id"]): row for row in story.books.orders}
    if len(ours) != len(story.books.orders):
        yield "two of our orders share a client_order_id (G2)"
    for key in theirs.keys() - ours.keys():
        yield f"{key} reached the broker and is not in our books (I2)"
    yield from _executed_twice(story)
    for key, row in ours.items():
        yield from _of_row(row, theirs.get(key, _Theirs()), story)


def _by_key(ledger: Ledger) -> dict[Key, _Theirs]:
    theirs: defaultdict[Key, _Theirs] = defaultdict(_Theirs)
    for order in ledger.orders:
        theirs[order.account_id, order.client_order_id].orders.append(order)
    for submit in ledger.submits:
        theirs[submit.account_id, submit.client_order_id].submits.append(submit)
    return dict(theirs)


def _executed_twice(story: Story) -> Iterator[str]:
    """Judge by account and quantity alone, which our ids cannot hide (tests.campaigns.traffic)."""
    wanted = {(order.account_id, Decimal(order.body["qty"])) for order in story.sent}
    placed = Counter((each.account_id, Decimal(each.asked["qty"])) for each in story.ledger.orders)
    for about, times in placed.items():
        if about not in wanted:
            yield f"the broker has an order nobody asked for: {about}"
        elif times > 1:
            yield f"the broker executes one command {times} times: {about} (G2)"
    names = Counter(name for each in story.ledger.orders for name in each.executions)
    for name, times in names.items():
        if times > 1:
            yield f"the broker tells execution {name} of {times} orders"


def _of_row(row: Row, theirs: _Theirs, story: Story) -> Iterator[str]:
    coid, status = row["client_order_id"], row["status"]
    if len(theirs.orders) > 1:
        yield f"{coid} is at the broker {len(theirs.orders)} times (G2)"
    yield from _of_submits(row, theirs)
    if status in lifecycle.OURS - lifecycle.FINAL:
        yield f"{coid} is still {status} after healing (I1)"
    elif row["reason"] in NEVER_SENT and theirs.was_heard:
        yield f"{coid} is called never sent ({row['reason']}), and it was (G3)"
    elif status in lifecycle.OURS or row["reason"] in NEVER_SENT:
        if theirs.orders:
            yield f"{coid} is {status} ({row['reason']}) here and lives at the broker"
    elif not theirs.orders:
        yield from _of_absent(row, theirs)
    for order in theirs.orders:
        yield from _of_order(row, order)
    yield from _of_fills(row, theirs, story)


def _of_submits(row: Row, theirs: _Theirs) -> Iterator[str]:
    coid = row["client_order_id"]
    if len(theirs.submits) > row["attempts"]:
        yield f"{coid} was sent {len(theirs.submits)} times with {row['attempts']} claims (law 4)"
    for submit in theirs.submits:
        for name in ASKED:
            if not _same(row[name], submit.asked.get(name)):
                yield f"{coid} was sent with {name} {submit.asked.get(name)}, not {row[name]}"
        on_the_way = HELD_BACK_SECONDS if submit.fault == "delay" else ON_THE_WAY_SECONDS
        if submit.at > row["not_after"].timestamp() + on_the_way:
            yield f"{coid} was sent after its deadline (G3)"


def _of_absent(row: Row, theirs: _Theirs) -> Iterator[str]:
    refused = any(submit.status in {400, 403, 422} for submit in theirs.submits)
    if row["status"] != "rejected" or not refused:
        yield f"{row['client_order_id']} is {row['status']} here and unknown at the broker"


def _of_order(row: Row, order: BrokerOrder) -> Iterator[str]:
    coid, status = row["client_order_id"], row["status"]
    if order.status != status:
        yield f"{coid} is {status} here and {order.status} at the broker"
    if order.id != row["broker_order_id"]:
        yield f"{coid} is {row['broker_order_id']} here and {order.id} at the broker"
    if order.filled_qty != row["filled_qty"]:
        yield f"{coid} has filled {row['filled_qty']} here and {order.filled_qty} there (I3)"
    if not row["final"] and (row["type"] == "market" or row["cancel_requested_at"]):
        yield f"{coid} is still {status} after healing, and has to end (I1)"


def _of_fills(row: Row, theirs: _Theirs, story: Story) -> Iterator[str]:
    coid = row["client_order_id"]
    fills = [
        fill for fill in story.books.fills.get(str(row["id"]), []) if fill["superseded_by"] is None
    ]
    filled = sum((fill["qty"] for fill in fills), Decimal(0))
    if filled != row["filled_qty"]:
        yield f"{coid}: fills of {filled}, filled_qty {row['filled_qty']} (G7)"
    paid = sum((fill["qty"] * fill["price"] for fill in fills), Decimal(0))
    if abs(paid - sum((each.paid for each in theirs.orders), Decimal(0))) > ROUNDING:
        yield f"{coid}: its fills cost {paid} here and something else at the broker (G7)"
    real = {name: facts for each in theirs.orders for name, facts in each.executions.items()}
    for fill in fills:
        told = real.get(fill["execution_id"])
        if fill["source"] != "synthesised" and told != (fill["qty"], fill["price"]):
            yield f"{coid}: fill {fill['execution_id']} is not the broker's (G7)"


def _same(ours: object, told: object) -> bool:
    return lifecycle.same(ours, told)
