"""Clients that never give up: each order is sent with one key until the gateway has an answer."""

import http.client
import json
import queue
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from opitios.core import clock

# The gateway may be down for a while; a client that retries with its key loses nothing. Seconds.
GIVE_UP_AFTER = 90.0
ANSWER_SECONDS = 10.0
PAUSE_SECONDS = 0.2


@dataclass(slots=True)
class Sent:
    """One order as its client knows it."""

    account_id: str
    client_order_id: str
    body: dict[str, Any]
    cancels: bool
    answers: list[bytes] = field(default_factory=list)
    order_id: str | None = None
    refused: str | None = None
    tries: int = 0


@dataclass(slots=True)
class Traffic:
    """Orders over many accounts, sent by a few clients at once."""

    host: str
    token: str
    orders: list[Sent]
    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    _queue: "queue.SimpleQueue[Sent | None]" = field(default_factory=queue.SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)
    _pause: threading.Event = field(default_factory=threading.Event)

    def start(self, clients: int) -> None:
        """Begin sending."""
        for order in self.orders:
            self._queue.put(order)
        for number in range(clients):
            self._queue.put(None)
            thread = threading.Thread(target=self._client, name=f"client-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def is_done(self) -> bool:
        """Whether every client has nothing left to send."""
        return not any(thread.is_alive() for thread in self._threads)

    def _client(self) -> None:
        while (order := self._queue.get()) is not None:
            self._place(order)
            if order.cancels and order.order_id is not None:
                self._ask("DELETE", f"{_path(order)}/{order.order_id}", None, order)

    def _place(self, order: Sent) -> None:
        until = clock.monotonic() + GIVE_UP_AFTER
        while clock.monotonic() < until:
            order.tries += 1
            answer = self._ask("POST", f"{_path(order)}/stocks", order.body, order)
            if answer is not None and self._took(order, *answer):
                return
            self._pause.wait(PAUSE_SECONDS)
        order.refused = "no answer"

    def _took(self, order: Sent, status: int, body: bytes) -> bool:
        if status == 202:
            order.answers.append(body)
            order.order_id = json.loads(body)["id"]
            return True
        if status in {429, 500, 503}:
            return False
        order.refused = json.loads(body)["reason"]
        return True

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None, order: Sent
    ) -> tuple[int, bytes] | None:
        line = http.client.HTTPConnection(self.host, timeout=ANSWER_SECONDS)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": order.client_order_id,
        }
        try:
            line.request(method, path, None if body is None else json.dumps(body), headers)
            answer = line.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.broken[type(error).__name__] += 1
            return None
        finally:
            line.close()
        self.statuses[answer.status] += 1
        return answer.status, said


def _path(order: Sent) -> str:
    return f"/api/v1/accounts/{order.account_id}/orders"


SYMBOLS = ("AAPL", "MSFT", "SPY", "F", "NVDA", "AMD")


def made_orders(count: int, accounts: list[str], dice: random.Random, label: str) -> list[Sent]:
    """Make orders: most fill at once, some rest, and half of those are cancelled again."""
    return [_order(f"{label}-{number}", dice.choice(accounts), dice) for number in range(count)]


def _order(name: str, account_id: str, dice: random.Random) -> Sent:
    rests = dice.random() < 0.2
    body: dict[str, Any] = {
        "symbol": dice.choice(SYMBOLS),
        "side": "buy",
        "type": "limit" if rests else "market",
        "time_in_force": "day",
        "qty": str(dice.randint(1, 20)),
        "client_order_id": name,
    }
    if rests:
        body["limit_price"] = "1.01"
    if dice.random() < 0.7:
        body["not_after"] = clock.rfc3339(clock.now() + timedelta(seconds=120))
    return Sent(account_id, name, body, cancels=rests and dice.random() < 0.5)
