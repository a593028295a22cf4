"""One order, its desks, its client and its broker: what may happen, and what must always hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

from accounts import journal
from accounts.models import JournalEntry
from accounts.pool import PooledAccount
from opitios.broker.errors import BrokerError, NotSent, OutcomeUnknown, Refused, Throttled
from opitios.broker.port import Answer
from opitios.core import database
from opitios.core.errors import Problem
from tests.support.accounts import lease, open_account
from tests.support.orders import asked, place, plain_json, row_of, soon
from tests.trading.modelled_broker import QTY, ModelledBroker
from tests.trading.searches import make_due, make_old, resolver
from tests.trading.sending import OWNER, Rests
from trading import executions, lifecycle, orders, queries, reconciler, reports, shapes, sweeps
from trading.executions import Claimed, Row
from trading.sender import Sender

# Of the twenty an account has in a minute: the rest is for the end.
LOOK_UPS = 12

# Of a hundred picks, so many are of what happens seldom.
SELDOM = 10
Event = Callable[[int], None]

SILENCE = OutcomeUnknown(message="no answer", reason="timeout")
# How an attempt ends whose bytes have not arrived: in silence, or with the certainty that they will
# not.
UNSENT: tuple[BrokerError, ...] = (
    SILENCE,
    NotSent(message="no connection", reason="no-connection"),
    Throttled(message="too many requests", http_status=429),
)
POOR = Refused(message="insufficient buying power", http_status=403, code=40310000)


@dataclass
class Submit:
    """One attempt: its bytes may be on the way, its desk may be waiting for the answer."""

    claimed: Claimed
    on_the_way: bool = True
    awaited: bool = True
    said: Answer | Refused | None = None


class Life:
    """An order that was just accepted, and what happens to it."""

    def __init__(self) -> None:
        self.broker = ModelledBroker()
        self.account_id = open_account()
        lease(self.account_id, OWNER, seconds=3600)
        about = {"account_id": self.account_id, "environment": "sandbox", "trading": self.broker}
        self.account = cast("PooledAccount", SimpleNamespace(**about))
        self.sender = Sender(owner=OWNER, process="desk-1", rests=Rests())
        self.row = row_of(place(self.account_id, qty=Decimal(QTY), not_after=soon(3600)))
        self.submits: list[Submit] = []
        self.may_send = 1
        self.look_ups = 0
        self.is_late = False

    def go_on(self, pick: int, number: int) -> None:
        """Let something happen, and look whether all that must hold does."""
        events = self._seldom() if pick < SELDOM else self._often()
        events[pick % len(events)](number)
        self._is_told_by_its_journal()
        self._has_not_gone_backwards()
        self._was_sent_once_unless_it_was_certainly_not_there()
        self._is_not_called_unsent_when_it_was_sent()

    def _often(self) -> list[Event]:
        may: list[tuple[bool, list[Event]]] = [
            (True, [self.claim]),
            (self._on_the_way() != [], [self.bytes_arrive]),
            (self._awaited() != [], [self.answer_comes]),
            (self.row["status"] == "submitting", [self.another_desk_takes_over] * 2),
            (self.row["ambiguous"] and self.look_ups < LOOK_UPS, [self.it_is_looked_up] * 2),
            (self.broker.told != [], [self.an_update_is_heard] * 2),
            (self.broker.is_open, [self.broker_fills]),
            (self.broker.order_now is not None, [self.books_are_compared]),
            (self.broker.filled > 0, [self.fills_are_completed]),
            (self.row["cancel_requested_at"] is not None, [self.desk_cancels]),
            (self.is_late, [self.the_late_lapse]),
        ]
        return [event for is_possible, events in may if is_possible for event in events]

    def _seldom(self) -> list[Event]:
        # What ends a life early, or takes from it what could go wrong.
        return [
            self.client_cancels, self.deadline_passes, self.broker_ends, self.a_desk_dies,
            self.bytes_are_lost,
        ]  # fmt: skip

    def _on_the_way(self) -> list[Submit]:
        return [each for each in self.submits if each.on_the_way]

    def _awaited(self) -> list[Submit]:
        return [each for each in self.submits if each.awaited]

    def met(self) -> Iterator[str]:
        """What this life has seen, once it is over."""
        lapsed = JournalEntry.objects.filter(order_id=self.row["id"], kind="order.lapsed")
        met = {
            "sent twice": self.row["attempts"] > 1,
            "duplicate": self.broker.received > 1,
            "late arrival": self.broker.order_now is not None and lapsed.exists(),
            "filled in parts": 0 < self.broker.filled < QTY,
            "overtaken": any(each.awaited for each in self.submits[:-1]),
        }
        return (what for what, is_met in met.items() if is_met)

    # What desks do

    def claim(self, _number: int) -> None:
        """A desk may send what is queued and in time; nothing else, and never twice."""
        row = row_of(self.row)
        claimed = executions.claim(row, owner=OWNER, process="desk-1")
        assert (claimed is not None) == (row["status"] == "queued" and not self.is_late)
        if claimed is not None:
            self.submits.append(Submit(claimed))

    def bytes_arrive(self, number: int) -> None:
        """However late: the desk may have given them up long ago."""
        submit = _one_of(self._on_the_way(), number)
        if submit is not None:
            is_refused = self.broker.order_now is None and number % 6 == 0
            submit.said = POOR if is_refused else self.broker.take(self.row["client_order_id"])
            submit.on_the_way = False
            if is_refused:
                self._older_ones_are_lost(submit)

    def _older_ones_are_lost(self, refused: Submit) -> None:
        # Bytes that come after thirty seconds of absence and the refusal of a later attempt would
        # be an order that is `rejected` here: this model's network is not that slow.
        for older in self.submits[: self.submits.index(refused)]:
            older.on_the_way = False

    def bytes_are_lost(self, number: int) -> None:
        """And nobody is told."""
        submit = _one_of(self._on_the_way(), number)
        if submit is not None:
            submit.on_the_way = False

    def answer_comes(self, number: int) -> None:
        """The answer, the lack of one, or the certainty that nothing was sent."""
        submit = _one_of(self._awaited(), number)
        if submit is None:
            return
        submit.awaited = False
        said: Answer | BrokerError | None = submit.said if number % 5 else SILENCE
        if submit.on_the_way:
            said = UNSENT[number % len(UNSENT)]
            # After a timeout they may still get there.
            submit.on_the_way = said is SILENCE
        self._ended(submit, said or SILENCE)

    def _ended(self, submit: Submit, said: Answer | BrokerError) -> None:
        self.sender._ended(submit.claimed, said)
        if isinstance(said, NotSent | Throttled):
            self.may_send += 1

    def another_desk_takes_over(self, _number: int) -> None:
        """What was being sent is in doubt. The desk before may be dead, or only frozen."""
        sweeps.doubt_orphans([self.row])

    def a_desk_dies(self, _number: int) -> None:
        """Nobody waits for its answers any more."""
        for submit in self.submits:
            submit.awaited = False

    def desk_cancels(self, _number: int) -> None:
        """The wish to cancel reaches the broker."""
        row = row_of(self.row)
        if row["cancel_requested_at"] and row["broker_order_id"] and not row["final"]:
            self.sender.cancel(row, self.account)

    # What its client does, and time

    def client_cancels(self, _number: int) -> None:
        """A final order is refused."""
        row = row_of(self.row)
        try:
            orders.cancel_order(row, asked())
        except Problem:
            assert row["final"]

    def deadline_passes(self, _number: int) -> None:
        """From now on nothing of it may be sent."""
        self.is_late = True
        database.rows(
            "UPDATE trading_order SET not_after = clock_timestamp() - interval '1 second'"
            " WHERE id = %s",
            (self.row["id"],),
        )

    def the_late_lapse(self, _number: int) -> None:
        """By the desk's sweep."""
        sweeps.lapse_late([self.account_id])

    # What its broker does

    def broker_fills(self, number: int) -> None:
        """Some of it, or all."""
        if self.broker.is_open:
            self.broker.fill(number % QTY + 1)

    def broker_ends(self, number: int) -> None:
        """By its own decision."""
        if self.broker.is_open:
            self.broker.end(("expired", "canceled")[number % 2])

    # What is learnt of it

    def an_update_is_heard(self, number: int) -> None:
        """Any of them, at any time, as often as it likes."""
        if self.broker.told:
            reports.take_update(self.account, self.broker.told[number % len(self.broker.told)])

    def books_are_compared(self, _number: int) -> None:
        """By the desk, every 15 s."""
        reconciler.compare(self.account)

    def fills_are_completed(self, _number: int) -> None:
        """With executions that stand for what the stream did not tell."""
        reconciler.complete_fills([self.account_id], grace_seconds=0)

    def it_is_looked_up(self, number: int) -> None:
        """Proven absent, which takes three, it may be sent once more."""
        for _ in range(3 if number % 3 else 1):
            if self.look_ups < LOOK_UPS:
                self.look_ups += self._look_up()

    def _look_up(self) -> int:
        wanted = "SELECT 1 FROM trading_search WHERE order_id = %s AND next_at IS NOT NULL"
        if not database.rows(wanted, (self.row["id"],)):
            return 0
        before = row_of(self.row)
        make_old(before, 60)
        make_due(before)
        resolver().resolve(before["id"], self.account)
        if (before["status"], row_of(self.row)["status"]) == ("unknown", "queued"):
            assert self.broker.order_now is None
            self.may_send += 1
        return 1

    # What always holds

    def _is_told_by_its_journal(self) -> None:
        # Law 1. The deadline is left out: it was moved behind their backs.
        found = JournalEntry.objects.filter(order_id=self.row["id"]).order_by("seq")
        told = shapes.fold([journal.entry_json(entry) for entry in found])
        shown = plain_json(shapes.order_json(row_of(self.row)))
        assert told | {"not_after": None} == shown | {"not_after": None}

    def _has_not_gone_backwards(self) -> None:
        # G8; what lapsed here and lives there is the one way out of a final state.
        before, now = self.row, row_of(self.row)
        self.row = now
        assert now["seq"] >= before["seq"]
        assert before["filled_qty"] <= now["filled_qty"] <= self.broker.filled
        if before["final"] and before["status"] != lifecycle.LAPSED:
            assert now["status"] == before["status"]
        assert now["final"] == lifecycle.is_final(now["status"])

    def _was_sent_once_unless_it_was_certainly_not_there(self) -> None:
        assert self.row["attempts"] == len(self.submits) <= self.may_send

    def _is_not_called_unsent_when_it_was_sent(self) -> None:
        # A client that was told so may place the order anew.
        if self.row["reason"] in {"canceled-before-send", "deadline-before-send"}:
            assert self.broker.order_now is None
            assert not any(each.on_the_way for each in self.submits)

    # The end

    def end(self) -> None:
        """Everything arrives, everything is read: both books must say the same."""
        while self._on_the_way():
            self.bytes_arrive(1)
        self._settle()
        self._hear_everything()
        if self.broker.is_open:
            self.broker.end("expired")
            self._hear_everything()
        self._agrees_with_the_broker()

    def _settle(self) -> None:
        for _ in range(12):
            match row_of(self.row)["status"]:
                case "queued":
                    self.claim(0)
                    self.the_late_lapse(0)
                case "submitting":
                    self._answer_or_doubt(self.submits[-1])
                case "unknown" | "lapsed":
                    self._look_up()
                case _:
                    return
        assert row_of(self.row)["status"] == "lapsed"

    def _answer_or_doubt(self, submit: Submit) -> None:
        if submit.on_the_way:
            submit.on_the_way = False
            self._ended(submit, self.broker.take(self.row["client_order_id"]))
        else:
            sweeps.doubt_orphans([row_of(self.row)])

    def _hear_everything(self) -> None:
        for update in self.broker.told:
            reports.take_update(self.account, update)
        self.desk_cancels(0)
        reconciler.compare(self.account)
        reconciler.complete_fills([self.account_id], grace_seconds=0)

    def _agrees_with_the_broker(self) -> None:
        row: Row = row_of(self.row)
        fills, _ = queries.list_fills(self.account_id, after_id=None, limit=100)
        assert row["final"]
        assert row["filled_qty"] == self.broker.filled == sum(Decimal(f["qty"]) for f in fills)
        if self.broker.order_now is None:
            assert row["status"] in {"lapsed", "canceled", "rejected"}
        else:
            assert row["status"] == self.broker.order_now["status"]


def _one_of(submits: list[Submit], number: int) -> Submit | None:
    return submits[number % len(submits)] if submits else None
