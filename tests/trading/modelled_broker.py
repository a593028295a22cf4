"""A broker as a pure model: one order under one id, and everything it ever told about it.

It answers as the trading port does. Nothing in it knows of the gateway.
"""

from collections.abc import Mapping
from typing import Any

from opitios.broker.alpaca.wire import TradeUpdate
from opitios.broker.errors import NotFound, Refused
from opitios.broker.port import Answer

QTY = 10
FINAL = frozenset({"filled", "canceled", "expired"})


def answer(body: Any) -> Answer:
    """A definitive yes."""
    return Answer(200, body, "req-1", "0" * 64, 1.0, None)


class ModelledBroker:
    """Knows one order at most: an id is spent once."""

    def __init__(self) -> None:
        self.order_now: dict[str, Any] | None = None
        self.told: list[TradeUpdate] = []
        self.received = 0
        self._tick = 0

    @property
    def is_open(self) -> bool:
        """Whether an order is here and may still change."""
        return self.order_now is not None and self.order_now["status"] not in FINAL

    @property
    def filled(self) -> int:
        """How many shares it has filled."""
        return 0 if self.order_now is None else int(self.order_now["filled_qty"])

    # What happens at a broker

    def take(self, client_order_id: str) -> Answer | Refused:
        """A submit arrives: it is an order, or a duplicate."""
        self.received += 1
        if self.order_now is not None:
            return Refused(message="client_order_id must be unique", http_status=422, code=40010001)
        self.order_now = {
            "id": f"b-{client_order_id}", "client_order_id": client_order_id, "status": "new",
            "symbol": "AAPL", "filled_qty": "0", "filled_avg_price": None,
        }  # fmt: skip
        self._moved("new", "new")
        return answer(dict(self.order_now))

    def fill(self, qty: int) -> None:
        """Fill so many shares, or as many as are left."""
        qty = min(qty, QTY - self.filled)
        order = self._order()
        order["filled_qty"], order["filled_avg_price"] = str(self.filled + qty), "187.2"
        is_whole = self.filled == QTY
        status = "filled" if is_whole else "partially_filled"
        self._moved(status, "fill" if is_whole else "partial_fill", qty)

    def end(self, status: str) -> None:
        """End the order as it is."""
        self._moved(status, status)

    def _order(self) -> dict[str, Any]:
        assert self.order_now is not None
        return self.order_now

    def _moved(self, status: str, event: str, qty: int | None = None) -> None:
        self._tick += 1
        order = self._order()
        order["status"] = status
        order["updated_at"] = f"2026-11-20T{14 + self._tick // 60}:{self._tick % 60:02}:00.5Z"
        name = None if qty is None else f"{order['id']}-{self._tick}"
        number = None if qty is None else str(qty)
        price = None if qty is None else "187.2"
        at, told = order["updated_at"], dict(order)
        self.told.append(TradeUpdate(event, told, name, price, number, None, at, None, "", {}))

    # What a broker answers

    def cancel_order(self, broker_order_id: str) -> Answer:
        """Cancel what is open."""
        if not self.is_open or self._order()["id"] != broker_order_id:
            raise Refused(message="order is not cancelable", http_status=422, code=42210000)
        self._moved("pending_cancel", "pending_cancel")
        self._moved("canceled", "canceled")
        return answer(None)

    def order(self, broker_order_id: str) -> Answer:
        """Read by the broker's id."""
        return self._found("id", broker_order_id)

    def order_by_client_id(self, client_order_id: str) -> Answer:
        """Read by ours."""
        return self._found("client_order_id", client_order_id)

    def orders(self, **filters: Any) -> Answer:
        """List what is there, or what is open of it."""
        shown = self.order_now is not None and (filters["status"] == "all" or self.is_open)
        return answer([dict(self._order())] if shown else [])

    def _found(self, key: str, value: str) -> Answer:
        order: Mapping[str, Any] = self.order_now or {}
        if order.get(key) != value:
            raise NotFound(message="order not found", http_status=404, code=40410000)
        return answer(dict(order))
