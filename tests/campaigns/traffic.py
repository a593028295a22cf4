"""Clients that never give up: each order is sent with one key until the gateway has an answer.

A command can be told from every other by what the broker itself sees of it: the orders of an
account all have another quantity. Its name travels as a tag, which only our books keep.
"""

import http.client
import json
import queue
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from opitios.core import clock

# The gateway may be down for a while; a client that retries with its key loses nothing. Seconds.
GIVE_UP_AFTER = 90.0
ANSWER_SECONDS = 10.0
PAUSE_SECONDS = 0.2
# All clients together begin an order so often: slow enough that kills fall between orders.
PACE_SECONDS = 0.1
# With Postgres or Redis gone the answer must still come within this (G17, G18).
LATE_SECONDS = 1.0
CLIENTS = 8

RETRIED = frozenset({429, 500, 503})
TAG = "command"


@dataclass(slots=True)
class Sent:
    """One command as its client knows it. `key` None: its client_order_id is the key."""

    account_id: str
    name: str
    body: dict[str, Any]
    key: str | None
    cancels: bool = False
    twice: bool = False
    answers: list[bytes] = field(default_factory=list)
    refused: str | None = None
    cancel_status: int | None = None

    @property
    def order_ids(self) -> set[str]:
        """The orders it was told of; more than one is a lie."""
        return {json.loads(answer)["id"] for answer in self.answers}


@dataclass(slots=True)
class Told:
    """How the gateway answered, counted."""

    statuses: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    late: int = 0
    slowest_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, status: int, seconds: float) -> None:
        """Count one answer."""
        with self._lock:
            self.statuses[str(status)] += 1
            self.late += seconds > LATE_SECONDS
            self.slowest_seconds = max(self.slowest_seconds, seconds)

    def count_broken(self, error: Exception) -> None:
        """Count a request that had no answer."""
        with self._lock:
            self.broken[type(error).__name__] += 1


@dataclass(slots=True)
class Traffic:
    """Orders over many accounts, sent by a few clients at once."""

    host: str
    token: str
    orders: list[Sent]
    told: Told
    replays_only: bool = False
    _queue: "queue.SimpleQueue[Sent | None]" = field(default_factory=queue.SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)
    _pause: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin sending."""
        for order in self.orders:
            # Two clients with the same command, at the same time.
            for _ in range(1 + (order.twice and not self.replays_only)):
                self._queue.put(order)
        for number in range(CLIENTS):
            self._queue.put(None)
            thread = threading.Thread(target=self._client, name=f"client-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def is_done(self) -> bool:
        """Whether every client has nothing left to send."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def answered(self) -> int:
        """How many commands have been answered."""
        return sum(bool(order.answers) or order.refused is not None for order in self.orders)

    def _client(self) -> None:
        while (order := self._queue.get()) is not None:
            self._place(order)
            if self.replays_only:
                continue
            if order.cancels and order.answers:
                self._cancel(order)
            self._pause.wait(PACE_SECONDS * CLIENTS)

    def _place(self, order: Sent) -> None:
        for status, body in self._asked("POST", f"{_path(order)}/stocks", order):
            if status == http.client.ACCEPTED:
                order.answers.append(body)
            else:
                order.refused = str(json.loads(body)["reason"])

    def _cancel(self, order: Sent) -> None:
        (order_id, *_) = order.order_ids
        for status, _ in self._asked("DELETE", f"{_path(order)}/{order_id}", order):
            order.cancel_status = status

    def _asked(self, method: str, path: str, order: Sent) -> Iterator[tuple[int, bytes]]:
        """Ask until there is an answer that says more than "try again"; none where none came."""
        until = clock.monotonic() + GIVE_UP_AFTER
        while clock.monotonic() < until:
            answer = self._ask(method, path, order)
            if answer is not None and answer[0] not in RETRIED:
                yield answer
                return
            self._pause.wait(PAUSE_SECONDS)

    def _ask(self, method: str, path: str, order: Sent) -> tuple[int, bytes] | None:
        line = http.client.HTTPConnection(self.host, timeout=ANSWER_SECONDS)
        body = json.dumps(order.body) if method == "POST" else None
        began = clock.monotonic()
        try:
            line.request(method, path, body, self._headers(order))
            answer = line.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.told.count_broken(error)
            return None
        finally:
            line.close()
        self.told.count(answer.status, clock.monotonic() - began)
        return answer.status, said

    def _headers(self, order: Sent) -> dict[str, str]:
        key = {} if order.key is None else {"Idempotency-Key": order.key}
        return {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **key,
        }


def _path(order: Sent) -> str:
    return f"/api/v1/accounts/{order.account_id}/orders"


SYMBOLS = ("AAPL", "MSFT", "SPY", "F", "NVDA", "AMD")
# A price nobody sells at: the order rests.
RESTING_PRICE = "1.01"
# How long an order may wait to be sent, in seconds; None: what the gateway gives its type.
WAITS = (None, 30, 60, 120)


@dataclass(slots=True)
class Maker:
    """Makes orders: most fill at once, some rest, and half of those are cancelled again.

    waits: how long each may wait to be sent, drawn by lot.
    """

    accounts: list[str]
    dice: random.Random
    label: str
    waits: Sequence[int | None] = WAITS
    _made: Counter[str] = field(default_factory=Counter)

    def make(self, count: int) -> list[Sent]:
        """Make so many; their deadlines count from now."""
        return [self._one() for _ in range(count)]

    def _one(self) -> Sent:
        dice, account_id = self.dice, self.dice.choice(self.accounts)
        self._made[account_id] += 1
        name = f"{self.label}-{account_id}-{self._made[account_id]}"
        rests = dice.random() < 0.2
        keyed = dice.choice(("key", "id", "both"))
        return Sent(
            account_id,
            name,
            self._body(name, self._made[account_id], rests=rests, has_id=keyed != "key"),
            key=None if keyed == "id" else f"key-{name}",
            cancels=rests and dice.random() < 0.5,
            twice=dice.random() < 0.1,
        )

    def _body(self, name: str, qty: int, *, rests: bool, has_id: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "symbol": self.dice.choice(SYMBOLS),
            "side": "buy",
            "type": "limit" if rests else "market",
            "time_in_force": "day",
            "qty": str(qty),
            "tags": {TAG: name},
        }
        if rests:
            body["limit_price"] = RESTING_PRICE
        if has_id:
            body["client_order_id"] = name
        if (seconds := self.dice.choice(self.waits)) is not None:
            body["not_after"] = clock.rfc3339(clock.now() + timedelta(seconds=seconds))
        return body
