"""Alpaca's routes as far as we call them: what one promises and how much it may answer. Pure."""

from dataclasses import dataclass

from opitios.broker.budget import Lane

# Bytes an answer may have: one object is under 4 KiB, the list of all assets about 15 MiB.
OBJECT_BYTES = 1024 * 1024
LIST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the broker.

    `template` has no ids in it and may be a metric's label. `shape` is the JSON a success must
    have; None allows any, and no body at all (a cancel answers 204). `lane` says what of the
    account's budget it takes.
    """

    template: str
    shape: type | None = dict
    max_bytes: int = OBJECT_BYTES
    lane: Lane = Lane.READ

    @property
    def submits(self) -> bool:
        """Whether it gets more time, because giving up on it costs a look-up."""
        return self.lane is Lane.SUBMIT


_EXACT = {
    ("POST", "/v2/orders"): Route("/v2/orders", lane=Lane.SUBMIT),
    ("GET", "/v2/orders"): Route("/v2/orders", shape=list, max_bytes=LIST_BYTES),
    ("GET", "/v2/orders:by_client_order_id"): Route(
        "/v2/orders:by_client_order_id", lane=Lane.LOOK_UP
    ),
    ("GET", "/v2/account"): Route("/v2/account"),
    ("GET", "/v2/account/configurations"): Route("/v2/account/configurations"),
    # A month by the minute is about 2 MiB.
    ("GET", "/v2/account/portfolio/history"): Route(
        "/v2/account/portfolio/history", max_bytes=LIST_BYTES
    ),
    ("GET", "/v2/account/activities"): Route("/v2/account/activities", shape=list),
    ("GET", "/v2/clock"): Route("/v2/clock"),
    ("GET", "/v2/positions"): Route("/v2/positions", shape=list, max_bytes=LIST_BYTES),
    ("GET", "/v2/calendar"): Route("/v2/calendar", shape=list, max_bytes=LIST_BYTES),
    ("GET", "/v2/assets"): Route("/v2/assets", shape=list, max_bytes=LIST_BYTES),
    ("GET", "/v2/options/contracts"): Route("/v2/options/contracts", max_bytes=LIST_BYTES),
    **{
        ("GET", path): Route(path, max_bytes=LIST_BYTES, lane=Lane.DATA)
        for path in (
            "/v2/stocks/quotes/latest",
            "/v2/stocks/trades/latest",
            "/v2/stocks/snapshots",
            "/v2/stocks/bars",
            "/v1beta1/options/quotes/latest",
        )
    },
}
_UNDER = {
    ("GET", "/v2/orders/"): Route("/v2/orders/{order_id}"),
    ("DELETE", "/v2/orders/"): Route("/v2/orders/{order_id}", shape=None, lane=Lane.CANCEL),
    ("GET", "/v2/positions/"): Route("/v2/positions/{symbol}"),
    ("GET", "/v2/assets/"): Route("/v2/assets/{symbol}"),
    ("GET", "/v1beta1/options/snapshots/"): Route(
        "/v1beta1/options/snapshots/{underlying}", max_bytes=LIST_BYTES, lane=Lane.DATA
    ),
}
_OTHER = Route("other", shape=None)


def route_of(method: str, path: str) -> Route:
    """Return the route of a request; one not listed above gets the tightest limits."""
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact
    parent = path[: path.rfind("/") + 1]
    return _UNDER.get((method, parent), _OTHER)
