"""The halt campaign (T50): everything is halted in the middle of a burst, and nothing more is sent.

Clients place orders as fast as they can, at a broker slow enough for a queue to grow. Halfway
everything is halted over the API. Then what was claimed, by the database's clock, is compared with
what the broker received, and with what became of every order.
"""

import http.client
import json
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from opitios.core import clock
from opitios.management.stack import account_ids
from tests.campaigns.evidence import origin
from tests.campaigns.ledger import Submit, read_ledger
from tests.campaigns.trial import Trial, started

CLIENTS = 16
ANSWER_SECONDS = 15.0
# One order of a symbol at a time: so slow a broker makes a queue within a second.
BROKER_MS = 250
# Rest at the broker when everything is halted, and are cancelled then.
RESTING = 10
# Everything that waits has its end so long after the halt.
SETTLED_WITHIN = 30.0

Row = Mapping[str, Any]
Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much the campaign does."""

    orders: int
    accounts: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Halted:
    """A halt that was answered: the answer, and the database's clock once it was there."""

    answer: dict[str, Any]
    confirmed_at: datetime
    milliseconds: float

    @property
    def set_at(self) -> datetime:
        """When its row was written, holding the lock that every claim shares."""
        return datetime.fromisoformat(self.answer["set_at"])


@dataclass(frozen=True, slots=True)
class Books:
    """Orders as they ended; the claims: (order id, database's clock); what the broker received."""

    orders: Sequence[Row]
    claims: Sequence[tuple[str, datetime]]
    submits: Sequence[Submit]


@dataclass(slots=True)
class Findings:
    """What was found; without disagreements the halt held."""

    halt_milliseconds: float = 0.0
    claimed_before: int = 0
    last_claim_before_ms: float = 0.0
    denied_in_the_queue: int = 0
    denied_at_the_door: int = 0
    in_flight: int = 0
    received: int = 0
    canceled: int = 0
    denied_within_seconds: float = 0.0
    disagreements: list[str] = field(default_factory=list)


def judge(halted: Halted, books: Books, *, door: int) -> Findings:
    """Compare claims and the broker's ledger with the halt. `door`: denied as they came.

    A claim after the halt's row was written would have seen it: its clock is read in the lock.
    """
    claimed = {order_id for order_id, _ in books.claims}
    early = [at for _, at in books.claims if at <= halted.set_at]
    ended = [row for row in books.orders if row["status"] == "denied"]
    found = Findings(
        halt_milliseconds=round(halted.milliseconds, 1),
        claimed_before=len(early),
        denied_at_the_door=door,
        denied_in_the_queue=len(ended) - door,
        in_flight=len(halted.answer["in_flight"]),
        received=len(books.submits),
    )
    if early:
        found.last_claim_before_ms = clock.milliseconds(max(early), halted.set_at)
    if ended:
        last = max(row["updated_at"] for row in ended)
        found.denied_within_seconds = round((last - halted.set_at).total_seconds(), 3)
    found.disagreements += [*_of_claims(halted, books), *_of_orders(books, claimed)]
    found.disagreements += _of_what_was_shown(found)
    return found


def _of_claims(halted: Halted, books: Books) -> Iterator[str]:
    for order_id, at in books.claims:
        if at > halted.set_at:
            yield f"{order_id} was claimed at {at}, after the halt of {halted.set_at}"
    flying = {each["order_id"] for each in halted.answer["in_flight"]}
    ids = {row["client_order_id"]: str(row["id"]) for row in books.orders}
    claimed = {order_id for order_id, _ in books.claims}
    for submit in books.submits:
        order_id = ids.get(submit.client_order_id, "")
        if order_id not in claimed:
            yield f"{submit.client_order_id} reached the broker and was never claimed"
        # The ledger's clock and the database's are one host's.
        elif submit.at > halted.confirmed_at.timestamp() and order_id not in flying:
            yield f"{order_id} reached the broker after the halt and was not named in_flight"


def _of_orders(books: Books, claimed: set[str]) -> Iterator[str]:
    for row in books.orders:
        is_denied = (row["status"], row["reason"]) == ("denied", "halted")
        if str(row["id"]) in claimed:
            if row["status"] in {"denied", "queued", "submitting", "unknown"}:
                yield f"{row['id']} was sent and is {row['status']}"
        elif not is_denied:
            yield f"{row['id']} was not sent and is {row['status']} ({row['reason']})"


def _of_what_was_shown(found: Findings) -> Iterator[str]:
    for name in ("claimed_before", "denied_in_the_queue", "denied_at_the_door"):
        if getattr(found, name) <= 0:
            yield f"nothing was {name.replace('_', ' ')}: the halt did not meet a burst"


# The campaign


@dataclass(slots=True)
class Client:
    """One connection that places orders until there are none left."""

    host: str
    token: str
    todo: "queue.SimpleQueue[tuple[str, str]]"
    told: "list[tuple[str, str, int, bytes]]"

    def run(self) -> None:
        """Place one after the other."""
        line = http.client.HTTPConnection(self.host, timeout=ANSWER_SECONDS)
        try:
            while (order := self._next()) is not None:
                status, body = place(line, self.token, *order)
                self.told.append((*order, status, body))
        finally:
            line.close()

    def _next(self) -> tuple[str, str] | None:
        try:
            return self.todo.get_nowait()
        except queue.Empty:
            return None


def place(
    line: http.client.HTTPConnection, token: str, account: str, key: str, price: str = "900"
) -> tuple[int, bytes]:
    """Place one order that fills at once, or at a price of 1 rests."""
    body = {"symbol": "AAPL", "side": "buy", "type": "limit", "time_in_force": "day",
            "qty": "1", "limit_price": price}  # fmt: skip
    path = f"/api/v1/accounts/{account}/orders/stocks"
    return call(line, token, "POST", path, body, {"Idempotency-Key": key})


def call(
    line: http.client.HTTPConnection,
    token: str,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Ask once; status and body."""
    given = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    line.request(method, path, json.dumps(body) if body else None, given | dict(headers or {}))
    answer = line.getresponse()
    return answer.status, answer.read()


@dataclass(slots=True)
class Campaign:
    """A campaign under way."""

    trial: Trial
    plan: Plan
    line: http.client.HTTPConnection
    told: list[tuple[str, str, int, bytes]] = field(default_factory=list)

    @property
    def accounts(self) -> list[str]:
        """Whose orders they are."""
        return account_ids(self.plan.accounts)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the gateway as the operator."""
        status, said = call(self.line, self.trial.token, method, f"/api/v1{path}", body)
        return status, json.loads(said)

    def rest(self) -> list[str]:
        """Let some orders rest at the broker; their paths."""
        paths = []
        for number in range(RESTING):
            account = self.accounts[number % len(self.accounts)]
            _, said = place(self.line, self.trial.token, account, f"resting-{number}", "1")
            paths.append(f"/accounts/{account}/orders/{json.loads(said)['id']}")
        for path in paths:
            self._until(path, "new")
        return paths

    def _until(self, path: str, status: str) -> bool:
        return self.trial.watch(
            lambda: bool(self.ask("GET", path)[1]["status"] == status), seconds=SETTLED_WITHIN
        )

    def burst(self) -> Halted:
        """Place the orders; halt everything when half of them are answered."""
        todo: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        for number in range(self.plan.orders):
            todo.put((self.accounts[number % len(self.accounts)], f"burst-{number}"))
        host = f"127.0.0.1:{self.trial.stack.addresses.api}"
        clients = [Client(host, self.trial.token, todo, self.told) for _ in range(CLIENTS)]
        threads = [threading.Thread(target=each.run, daemon=True) for each in clients]
        for thread in threads:
            thread.start()
        self.trial.watch(lambda: len(self.told) >= self.plan.orders // 2, seconds=120)
        halted = self.halt()
        self.trial.watch(lambda: not any(map(threading.Thread.is_alive, threads)), seconds=120)
        return halted

    def halt(self) -> Halted:
        """Halt everything, and read the database's clock when the answer is there."""
        began = clock.monotonic()
        body = {"scope": "global", "reason": "the campaign's burst"}
        status, answer = self.ask("POST", "/halts", body)
        took = (clock.monotonic() - began) * 1000
        if status != http.client.CREATED:
            raise RuntimeError(f"the halt was answered {status}: {answer}")
        now = self.read("SELECT clock_timestamp() AS at")[0]["at"]
        return Halted(answer, now, took)

    def cancel(self, paths: list[str]) -> Iterator[str]:
        """Cancel what rests, under the halt; what was refused, or stayed."""
        for path in paths:
            status, _ = self.ask("DELETE", path)
            if status != http.client.ACCEPTED:
                yield f"a cancel under the halt was answered {status}"
        for path in paths:
            if not self._until(path, "canceled"):
                yield f"{path} was not cancelled under the halt"

    def settle(self) -> bool:
        """Wait until nothing waits or is being sent."""
        asked = "SELECT 1 AS one FROM trading_order WHERE status IN ('queued','submitting')"
        return self.trial.watch(lambda: not self.read(asked), seconds=SETTLED_WITHIN)

    def repeat(self) -> Iterator[str]:
        """Send some denied keys again: the same bytes must come."""
        denied = [each for each in self.told if each[2] == http.client.UNPROCESSABLE_ENTITY]
        for account, key, status, body in denied[:20]:
            again = place(self.line, self.trial.token, account, key)
            if again != (status, body):
                yield f"{key} was denied, and its replay says {again[0]}"

    def resume(self, halted: Halted) -> Iterator[str]:
        """Lift the halt: a new order goes, and nothing that was denied."""
        self.ask("DELETE", f"/halts/{halted.answer['id']}")
        status, said = place(self.line, self.trial.token, self.accounts[0], "after")
        path = f"/accounts/{self.accounts[0]}/orders/{json.loads(said)['id']}"
        if status != http.client.ACCEPTED or not self._until(path, "filled"):
            yield "a new order did not go when the halt was lifted"

    def books(self) -> Books:
        """Read our side; the broker's from its append file. Without what rested."""
        orders = self.read("SELECT * FROM trading_order WHERE idempotency_key LIKE 'burst-%'")
        ids = {str(row["id"]) for row in orders}
        claims = self.read(
            "SELECT order_id, recorded_at FROM accounts_journalentry WHERE kind='order.submitting'"
        )
        names = {row["client_order_id"] for row in orders}
        ledger = read_ledger(self.trial.stack.run.path / "sandbox" / "ledger.jsonl")
        return Books(
            orders=orders,
            claims=[(str(row["order_id"]), row["recorded_at"]) for row in claims
                    if str(row["order_id"]) in ids],
            submits=[each for each in ledger.submits if each.client_order_id in names],
        )  # fmt: skip

    def read(self, sql: str) -> list[dict[str, Any]]:
        """Read from the gateway's database."""
        url = self.trial.stack.database_urls()[1]
        with psycopg.connect(url, row_factory=dict_row) as connection:
            return connection.execute(sql.encode()).fetchall()


def campaign(
    plan: Plan, tell: Tell, advance: Callable[[int], None] = lambda _orders: None
) -> dict[str, Any]:
    """Run it; the evidence. Raises StartupError where the gateway does not even start."""
    began = clock.monotonic()
    with started(plan.accounts, plan.seed, tell) as trial:
        host = f"127.0.0.1:{trial.stack.addresses.api}"
        line = http.client.HTTPConnection(host, timeout=ANSWER_SECONDS)
        under_way = Campaign(trial, plan, line)
        resting = under_way.rest()
        _slow_broker(trial)
        tell("burst", f"{plan.orders} orders, halted when half of them are answered")
        halted = under_way.burst()
        advance(len(under_way.told))
        wrong = list(under_way.cancel(resting))
        if not under_way.settle():
            wrong.append(f"something waited {SETTLED_WITHIN:.0f} s after the halt")
        door = sum(status == http.client.UNPROCESSABLE_ENTITY for *_, status, _ in under_way.told)
        found = judge(halted, under_way.books(), door=door)
        found.canceled = len(resting)
        found.disagreements += [*wrong, *under_way.repeat(), *under_way.resume(halted)]
        later = judge(halted, under_way.books(), door=door)
        found.disagreements += [each for each in later.disagreements
                                if each not in found.disagreements]  # fmt: skip
        line.close()
        answers = Counter(str(status) for *_, status, _ in under_way.told)
    return _evidence(plan, found, answers, clock.monotonic() - began)


def _slow_broker(trial: Trial) -> None:
    body = {"fault": "delay", "ms": BROKER_MS, "route": "POST /v2/orders", "times": 0}
    line = http.client.HTTPConnection(f"127.0.0.1:{trial.stack.addresses.sandbox}", timeout=5)
    line.request("POST", "/sandbox/faults", json.dumps(body), {"Content-Type": "application/json"})
    line.getresponse().read()
    line.close()


def _evidence(plan: Plan, found: Findings, answers: Counter[str], seconds: float) -> dict[str, Any]:
    return {
        "campaign": "halt",
        "holds": not found.disagreements,
        "seed": plan.seed,
        **origin(),
        "orders": plan.orders,
        "accounts": plan.accounts,
        "broker_ms": BROKER_MS,
        "answers": dict(sorted(answers.items())),
        "halt_answered_after_ms": found.halt_milliseconds,
        "claimed_before_the_halt": found.claimed_before,
        "last_claim_before_the_halt_ms": found.last_claim_before_ms,
        "in_flight_when_answered": found.in_flight,
        "received_by_the_broker": found.received,
        "denied_in_the_queue": found.denied_in_the_queue,
        "denied_at_the_door": found.denied_at_the_door,
        "all_denied_after_seconds": found.denied_within_seconds,
        "cancels_that_passed": found.canceled,
        "seconds": round(seconds, 1),
        "disagreements": found.disagreements,
    }
