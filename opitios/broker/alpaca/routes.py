"""Alpaca's routes as far as we call them: what one promises and how much it may answer. Pure."""

from dataclasses import dataclass

# Bytes an answer may have: one object is under 4 KiB, the list of all assets about 15 MiB.
OBJECT_BYTES = 1024 * 1024
LIST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the broker.

    `template` has no ids in it and may be a metric's label. `shape` is the JSON a success must
    have; None allows any, and no body at all (a cancel answers 204). `submits` marks the one call
    that gets more time, because giving up on it costs a look-up.
    """

    template: str
    shape: type | None = dict
    max_bytes: int = OBJECT_BYTES
    submits: bool = False


_EXACT = {
    ("POST", "/v2/orders"): Route("/v2/orders", submits=True),
    ("GET", "/v2/orders"): Route("/v2/orders", shape=list, max_bytes=LIST_BYTES),
    ("GET", "/v2/orders:by_client_order_id"): Route("/v2/orders:by_client_order_id"),
    ("GET", "/v2/account"): Route("/v2/account"),
    ("GET", "/v2/clock"): Route("/v2/clock"),
    ("GET", "/v2/positions"): Route("/v2/positions", shape=list, max_bytes=LIST_BYTES),
    ("GET", "/v2/stocks/quotes/latest"): Route("/v2/stocks/quotes/latest", max_bytes=LIST_BYTES),
    ("GET", "/v2/stocks/trades/latest"): Route("/v2/stocks/trades/latest", max_bytes=LIST_BYTES),
}
_UNDER = {
    ("GET", "/v2/orders/"): Route("/v2/orders/{order_id}"),
    ("DELETE", "/v2/orders/"): Route("/v2/orders/{order_id}", shape=None),
    ("GET", "/v2/positions/"): Route("/v2/positions/{symbol}"),
}
_OTHER = Route("other", shape=None)


def route_of(method: str, path: str) -> Route:
    """Return the route of a request; one not listed above gets the tightest limits."""
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact
    parent = path[: path.rfind("/") + 1]
    return _UNDER.get((method, parent), _OTHER)
