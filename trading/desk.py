"""The desk: the only process that writes to a broker (design.md §1).

For each account it leases it holds the queue, sends orders first in first out, keeps the
`trade_updates` socket, checks the key, lapses what is late and looks up what is unknown. Threads:
one loop that finds work, senders that do it, drains that write stream messages, carers for checks
and comparisons. Each of them can be lost: the rows are the truth, and the next desk reads them.
"""

import threading
import uuid
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError

from accounts import standings
from accounts.pool import Pool, PooledAccount
from opitios.broker.alpaca.backoff import StreamState, StreamTimers
from opitios.broker.alpaca.drains import Drains
from opitios.broker.alpaca.streams import TradeUpdates, Wanted
from opitios.broker.budget import Lane
from opitios.broker.errors import AccessDenied, BrokerError, NotSent
from opitios.core import clock, database, failpoints
from opitios.core.bus import Topic, get_bus
from opitios.core.config import Config
from trading import leases, queries, reconciler, sweeps, watch
from trading.books import SUBMITS_AT_ONCE, Books, Row
from trading.carers import Carers, Rota, enough_workers, share_of
from trading.keys import Keys
from trading.pressure import Pressures
from trading.resolver import Due, Resolver
from trading.sender import Sender
from trading.turns import FIRST, Turns

logger = structlog.get_logger("app")

# A desk that is told to stop finishes what it is sending, so long at most (design.md §1).
DRAIN_SECONDS = 25.0
# Orders that wait in one desk's memory, at most (R14); the others wait in Postgres. Of one account:
# one with thousands waiting must not be all that a poll reads (C28).
MOST_WAITING = 10_000
POLL_EACH = 16
# Cancels of all accounts read by one poll; what is left is read by the next.
POLL_ROWS = 2000
# How often a desk that is to be given accounts, or to give its own away, looks for that.
LOOKS_A_RENEWAL = 4
# Stream messages written at once: they share their transactions.
DRAIN_WORKERS = 16
# Orders read for one hint: more than an account may have under way.
WOKEN_ROWS = 8


def _may_wait(row: Row) -> bool:
    return bool(row["status"] == "queued" and row["not_after"] > clock.now())


class Desk:
    """One desk. `run()` until `stop()`; tests call the steps."""

    def __init__(self, config: Config, pool: Pool) -> None:
        self._timers = config.timers
        self._pool = pool
        self.owner = f"{config.process}/{uuid.uuid4().hex[:8]}"
        self.books = Books()
        self.leased: frozenset[str] = frozenset()
        # The same for statements.
        self._names = database.Texts()
        self._sender = Sender(
            owner=self.owner,
            process=config.process,
            rests=self,
            not_sent_rest=config.timers.not_sent_rest,
        )
        self.keys = Keys(owner=self.owner, timers=config.timers, pool=pool)
        self._pressures = Pressures(self.owner)
        self._senders_wanted = config.desk_senders
        self._jobs = Turns()
        self._cancels: dict[UUID, float] = {}
        # A worker does the look-ups; what it leaves undone is done here.
        self._resolver = Resolver(
            config.timers,
            role="desk",
            process=config.process,
            overdue_seconds=config.timers.look_up_overdue,
        )
        self._closing = threading.Event()
        self._carers = Carers(workers=enough_workers(len(list(pool.all()))))
        self._due: dict[str, float] = {}
        self._checks = Rota(config.timers.account_check)
        self._comparisons = Rota(config.timers.reconcile)
        self._drains = Drains(workers=DRAIN_WORKERS, handle=self._on_message)
        self._streams = TradeUpdates(
            deliver=self._drains.deliver,
            on_state=self._on_stream,
            timers=StreamTimers(spread=config.timers.stream_spread),
        )
        self._listening: dict[str, int] = {}
        self._stream_notes = watch.StreamNotes(self.owner)
        # Accounts whose stream had a gap that is not read yet.
        self._behind: set[str] = set()
        self._threads: list[threading.Thread] = []

    # Life

    def run(self) -> None:
        """Work until `stop()` is called, then finish what is being sent and let the leases go."""
        self._pool.show("desk", self.snapshot)
        self._pool.on_change(self._renew_soon)
        self._start_threads()
        heard = [
            get_bus().listen(Topic.WAKE, self._on_wake),
            get_bus().listen(Topic.HALT, lambda _hint: self._sweep_soon()),
        ]
        try:
            while not self._closing.is_set():
                self._round()
        finally:
            for listener in heard:
                listener.close()
            self._drain()

    def stop(self) -> None:
        """End `run()`; safe in a signal handler."""
        self._closing.set()

    def _start_threads(self) -> None:
        self._drains.start()
        self._streams.start()
        count = self._senders_wanted or min(max(len(list(self._pool.all())) // 5, 20), 200)
        for number in range(count):
            thread = threading.Thread(target=self._send_jobs, name=f"sender-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _drain(self) -> None:
        """Finish what is being sent; meanwhile the leases hold, and what is idle is given away."""
        until = clock.monotonic() + DRAIN_SECONDS
        self._hand_over()
        self._jobs.close()
        for thread in self._threads:
            while thread.is_alive() and clock.monotonic() < until:
                thread.join(self._timers.lease_renew / LOOKS_A_RENEWAL)
                if thread.is_alive():
                    self._hand_over()
        self._hand_over()
        self._streams.stop()
        self._drains.stop()
        self._carers.close()
        leases.leave(self.owner)
        database.release()

    def _hand_over(self) -> None:
        """Give every account of which nothing is being sent to the desks that stay."""
        try:
            leases.retire(self.owner)
            self._renew(stays=False)
        except DatabaseError as error:
            logger.warning("the desk cannot hand over", error=str(error))
            database.release()

    # The loop

    def _round(self) -> None:
        try:
            if self._is_due("leases", self._timers.lease_renew):
                self.hold_leases()
            if self._is_due("poll", self._timers.queue_poll):
                self.poll()
            if self._is_due("sweep", self._timers.queue_poll * 5):
                self.sweep()
            self._say()
        except DatabaseError as error:
            logger.warning("the desk cannot reach postgres", error=str(error))
            database.release()
        except Exception:  # a process loop: its accounts have no other owner
            logger.exception("the desk failed a round")
        self._closing.wait(self._timers.queue_poll)

    def _say(self) -> None:
        """Store what the other processes are to know of the accounts."""
        self._stream_notes.write(self.leased)
        if self._is_due("tell", self._timers.standing):
            self._pressures.tell(self._owned())
            self.keys.store_checks()
        if self._is_due("heard", self._timers.pool_row):
            standings.note_messages(self._streams.last_messages())

    def _is_due(self, what: str, every: float) -> bool:
        """Whether it is time: at once the first time, spread over `every` the second, then each."""
        now = clock.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        is_first = what not in self._due
        self._due[what] = now + every * (share_of(what) if is_first else 1.0)
        return True

    def _renew_soon(self) -> None:
        # Accounts that came, went or got another key are leased and listened to at once.
        self._due.pop("leases", None)

    def _sweep_soon(self) -> None:
        # What waits under a halt is denied, and what is open cancelled where it asks for that.
        self._due.pop("sweep", None)

    def hold_leases(self) -> None:
        """Renew and take leases, give what others lack, and look again as soon as it is worth it.

        A desk that died lets its leases run out at an instant that is known; one that has less than
        its share is about to be given some.
        """
        holding = self._renew()
        wait = self._timers.lease_renew
        if holding.lacks(self.owner):
            wait /= LOOKS_A_RENEWAL
        if holding.next_free is not None:
            wait = min(wait, holding.next_free)
        if "leases" in self._due:
            self._due["leases"] = clock.monotonic() + wait

    def _renew(self, *, stays: bool = True) -> leases.Holding:
        valid = self._timers.lease_valid
        holding = leases.hold(self.owner, valid_seconds=valid, stays=stays)
        failpoints.reach("lease-renewed")
        receivers = leases.gifts(self.owner, holding)
        idle = self.books.part_with(
            holding.accounts, len(receivers) if stays else len(holding.accounts)
        )
        gifts = dict(zip(idle, receivers, strict=False))
        given = leases.give(self.owner, gifts, valid_seconds=valid)
        self._own(holding.accounts - given)
        return holding

    def _own(self, held: frozenset[str]) -> None:
        """Begin to care for new accounts, let go of lost ones."""
        lost, new = self.leased - held, held - self.leased
        # Before anything is sent: the last desk may have left an account in quarantine.
        self.keys.own(held)
        self.leased = held
        self.books.drop(lost)
        if lost or new:
            logger.info("accounts leased", new=len(new), lost=len(lost), owner=self.owner)
            self._names = database.Texts(sorted(held))
            self._plan_turns(new)
        if new:
            self._doubt_orphans(new)
        leases.close_settled(self._names)
        self._keep_streams()

    def _plan_turns(self, new: frozenset[str]) -> None:
        """Check what nobody has checked lately; the others have their turn, as all have then."""
        now = clock.monotonic()
        self._checks.keep(self.leased, now)
        self._comparisons.keep(self.leased, now)
        lately = watch.checked_lately(sorted(new), self._timers.account_check) if new else set()
        for account_id in sorted(new - lately):
            self._care(f"check {account_id}", account_id, self._check)

    def _doubt_orphans(self, new: frozenset[str]) -> None:
        sent = queries.orders_where("status = 'submitting' AND account_id = ANY(%s)", (list(new),))
        sweeps.doubt_orphans([row for row in sent if not self.books.is_flying(row)])

    def _keep_streams(self) -> None:
        """Listen for every account we own with its present key, and for no other."""
        owned = self._owned()
        self._streams.drop_all(self._listening.keys() - {each.account_id for each in owned})
        wanted = [
            Wanted(each.account_id, each.credentials, each.endpoint.stream_url)
            for each in owned
            if self._listening.get(each.account_id) != each.key_version
        ]
        for each in wanted:
            # Whatever its last desk wrote of it.
            self._stream_notes.tell(each.account_id, "connecting")
        self._streams.listen_all(wanted)
        self._listening = {each.account_id: each.key_version for each in owned}

    def _owned(self) -> list[PooledAccount]:
        return self._pool.held(self._names)

    def take_woken(self, account_id: str, order_id: UUID) -> None:
        """Read the order a hint told of, and go on with it.

        Senders read hints side by side: the oldest that wait are read too, so that none is
        overtaken by one whose hint was read sooner. Where enough wait already, a poll reads it.
        """
        if self.books.has(account_id, self._enough):
            return
        condition = (
            "account_id = %s AND NOT final AND (id = %s OR status = 'queued' AND id <> ALL(%s))"
        )
        about = (account_id, order_id, self.books.known(account_id), WOKEN_ROWS)
        self._dispatch(queries.orders_where(f"{condition} ORDER BY created_at, id LIMIT %s", about))

    def poll(self) -> None:
        """Read what waits for being sent or cancelled: what a lost hint was about is found here."""
        now = clock.monotonic()
        full, known = self.books.with_enough(now, self._enough)
        self._dispatch(queries.oldest_queued(self._names, full, known, self._enough))
        for account_id in self.books.with_work(now):
            self._send_soon(account_id)
        # Of our accounts only: what waits for somebody else must not hide what waits for us.
        asked = queries.orders_where(
            "NOT final AND cancel_requested_at IS NOT NULL AND account_id = ANY(%s) LIMIT %s",
            (self._names, POLL_ROWS),
        )
        self._dispatch(asked)
        self._forget_cancels({row["id"] for row in asked})

    @property
    def _enough(self) -> int:
        """How many orders of an account wait here while more of it wait in Postgres."""
        return min(POLL_EACH, max(SUBMITS_AT_ONCE, MOST_WAITING // max(1, len(self.leased))))

    def _forget_cancels(self, asked: set[UUID]) -> None:
        # In place, and not before their time: a sender may have planned one since the read.
        now = clock.monotonic()
        for order_id, until in list(self._cancels.items()):
            if order_id not in asked and until <= now:
                self._cancels.pop(order_id, None)

    def _dispatch(self, rows: list[Row]) -> None:
        ours = [row for row in rows if row["account_id"] in self.leased]
        queued = [row for row in ours if row["status"] == "queued"]
        for account_id in self.books.add(queued):
            self._send_soon(account_id)
        for row in ours:
            if row["cancel_requested_at"] and row["broker_order_id"] and not row["final"]:
                self._plan_cancel(row)

    def _send_soon(self, account_id: str) -> None:
        self._jobs.put(
            lambda: self.send_next(account_id), self._priority(account_id), f"send {account_id}"
        )

    def _priority(self, account_id: str) -> str:
        account = self._pool.get(account_id)
        return account.priority if account else "low"

    def _plan_cancel(self, row: Row) -> None:
        now = clock.monotonic()
        if now >= self._cancels.get(row["id"], 0.0):
            self._cancels[row["id"]] = now + self._timers.reconcile
            self.books.add_cancel(row)
            self._jobs.put(lambda: self.cancel_next(row["account_id"]), FIRST)

    # The senders

    def _send_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # a process loop: one job must not end its sender
                logger.exception("a sender failed")
            finally:
                database.release()

    def send_next(self, account_id: str) -> None:
        """Send an account's next order, if one may go, and look again after it."""
        account = self._pool.get(account_id)
        if account is None or account.closing or account_id not in self.leased:
            return
        row = self.books.take(account_id, clock.monotonic(), lambda: self.keys.admit(account))
        if row is None:
            return
        went = False
        try:
            # While this one is under way, another of the account may go (four at once).
            if self.books.may_go_on(account_id):
                self._send_soon(account_id)
            went = self._sender.send(row, account)
        finally:
            account.guard.withdraw()
            self._land(row, went=went)

    def _land(self, row: Row, *, went: bool) -> None:
        """One order's turn is over; where it still waits, it keeps its place before the others."""
        again = None
        try:
            if not went:
                self.rest(row["account_id"], self._timers.queue_poll)
                again = queries.order_row(row["id"])
        finally:
            if self.books.landed(row, again if again and _may_wait(again) else None):
                self._send_soon(row["account_id"])

    def cancel_next(self, account_id: str) -> None:
        """Ask for an account's next cancel, one at a time: they use a slot of their own."""
        row = self.books.take_cancel(account_id)
        if row is None:
            return
        try:
            self.cancel(row)
        finally:
            if self.books.cancel_landed(account_id):
                self._jobs.put(lambda: self.cancel_next(account_id), FIRST)

    def cancel(self, row: Row) -> None:
        """Ask the broker to cancel one order; where it may not be asked now, the wish is kept."""
        account = self._pool.get(row["account_id"])
        if account is None:
            return
        seconds = self.keys.wait(account, Lane.CANCEL)
        if seconds == 0.0 and self._sender.cancel(row, account):
            return
        self._cancels[row["id"]] = clock.monotonic() + (seconds or 1.0)

    def rest(self, account_id: str, seconds: float) -> None:
        """Send nothing of this account for so long (Sender asks)."""
        self.books.hold(account_id, clock.monotonic() + seconds)

    def suspect(self, account_id: str, why: str) -> None:
        """The broker refused this account's key (Sender asks)."""
        account = self._pool.get(account_id)
        if account is not None:
            self.keys.denied(account, why)

    # What is watched

    def sweep(self) -> None:
        """Lapse what is late, look up what is unknown, and plan checks and comparisons."""
        leased = self._names
        sweeps.lapse_late(leased)
        sweeps.deny_suspended(leased)
        sweeps.deny_halted(leased)
        sweeps.cancel_halted(leased)
        self.books.forget_late(clock.now())
        reconciler.complete_fills(leased)
        sending = queries.orders_where("status = 'submitting' AND account_id = ANY(%s)", (leased,))
        sweeps.doubt_orphans([row for row in sending if self._is_abandoned(row)])
        self._resolver.call_for_attention(leased)
        for due in self._resolver.due(leased):
            self._care(f"look-up {due.order_id}", due.account_id, self._look_up_job(due))
        self._plan_care()

    def _is_abandoned(self, row: Row) -> bool:
        # Its sender failed after the claim: no send lasts longer than this.
        age = (clock.now() - row["updated_at"]).total_seconds()
        return not self.books.is_flying(row) and age > self._timers.absent_after

    def _look_up_job(self, due: Due) -> Callable[[PooledAccount], object]:
        return lambda account: self._resolver.resolve(due.order_id, account)

    def _plan_care(self) -> None:
        for account in self.keys.due():
            self._care(f"check {account.account_id}", account.account_id, self._check)
        now = clock.monotonic()
        for account_id in self._checks.due(now):
            # A key in doubt is checked as `due` says, and nothing else is asked with it.
            if not self.keys.holds(account_id):
                self._care(f"check {account_id}", account_id, self._check)
        turns = self._comparisons.due(now)
        # Without an open order there is nothing to compare; a quiet account costs no call.
        wanted = queries.with_orders_at_broker(turns) if turns else set()
        for account_id in wanted | self._behind.intersection(turns):
            if not self.keys.holds(account_id):
                self._care(f"compare {account_id}", account_id, self._compare)

    def _check(self, account: PooledAccount) -> None:
        self.keys.check(account)

    def _compare(self, account: PooledAccount) -> None:
        if account.account_id in self._behind:
            self._catch_up(account)
            return
        reconciler.compare(account)
        watch.note_reconciled(account.account_id)

    def _catch_up(self, account: PooledAccount) -> None:
        """Read what a gap in the account's stream hid; where the broker fails, again and again."""
        self._behind.add(account.account_id)
        reconciler.catch_up(account, watch.reconciled_at(account.account_id))
        watch.note_reconciled(account.account_id)
        self._behind.discard(account.account_id)

    def _care(self, what: str, account_id: str, job: Callable[[PooledAccount], object]) -> None:
        def run() -> None:
            account = self._pool.get(account_id)
            try:
                if account is not None:
                    self._carry_out(job, account)
            except Exception:  # a process loop: one account must not end the care of all
                logger.exception("care failed", what=what, account_id=account_id)
            finally:
                database.release()

        if not self._closing.is_set():
            self._carers.submit(account_id, what, run)

    def _carry_out(self, job: Callable[[PooledAccount], object], account: PooledAccount) -> None:
        """Do a job that asks the broker; what it could not learn now, its next turn will."""
        try:
            job(account)
        except AccessDenied:
            self.keys.denied(account, "the broker answered 401 to a read")
        except BrokerError as error:
            if not (isinstance(error, NotSent) and error.is_held_back):
                logger.warning(
                    "the broker could not be read",
                    account_id=account.account_id,
                    why=error.outcome,
                )

    # Called from other threads

    def _on_wake(self, hint: dict[str, Any]) -> None:
        if hint["account_id"] in self.leased:
            failpoints.reach("wake-received")
            # A sender takes it at once: the loop may be busy with its leases.
            account_id, order_id = hint["account_id"], UUID(hint["order_id"])
            woken = self._priority(account_id)
            self._jobs.put(lambda: self.take_woken(account_id, order_id), woken)

    def _on_message(self, account_id: str, raw: bytes, received_at: float) -> None:
        try:
            account = self._pool.get(account_id)
            if account is not None:
                watch.handle_message(account, raw)
        finally:
            database.release()

    def _on_stream(self, account_id: str, state: StreamState) -> None:
        # The loop of the sockets must not wait for a database: the desk's next round writes it.
        self._stream_notes.tell(account_id, state)
        if state == "listening":
            self._care("catch up", account_id, self._catch_up)

    def snapshot(self) -> dict[str, Any]:
        """This desk's part of the pool row (api.md §7)."""
        return {
            "leases": len(self.leased),
            "queue": self._queue(),
            "senders": {"busy": self.books.flying(), "max": len(self._threads)},
            "streams": list(self._streams.states().values()).count("listening"),
            "accounts": self.keys.snapshot(),
            "orders": queries.count_open(self._names),
        }

    def _queue(self) -> dict[str, int | None]:
        """What waits in this desk's memory; `oldest_ms`: for how long already."""
        oldest = self.books.oldest()
        waits = None if oldest is None else max(0, round(clock.milliseconds(oldest, clock.now())))
        return {"depth": self.books.depth(), "max": MOST_WAITING, "oldest_ms": waits}
