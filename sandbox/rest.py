"""The trading API: /v2/account, orders, positions, assets, clock, calendar."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from aiohttp import web

from sandbox.answers import json_answer
from sandbox.exchange import Account
from sandbox.gate import ACCOUNT, VISIT
from sandbox.orders import CLOSED, Order, render_order
from sandbox.query import choice, day, instant, number, words
from sandbox.refusals import invalid, not_found
from sandbox.sessions import (
    EARLY_CLOSING,
    FIRST_DAY,
    LAST_DAY,
    Session,
    session_after,
    sessions_between,
)
from sandbox.universe import DELISTED, LISTED, Listing
from sandbox.valuation import render_account, render_position, render_positions
from sandbox.venue import Venue

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MARGIN_LONG, MARGIN_SHORT = "50", "150"


class TradingApi:
    """The handlers; the gate has checked the key and named the account."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> list[web.RouteDef]:
        """Every route of the trading API."""
        return [
            web.post("/v2/orders", self.place_order),
            web.get("/v2/orders", self.list_orders),
            web.delete("/v2/orders", self.cancel_all),
            web.get("/v2/orders:by_client_order_id", self.order_by_client_order_id),
            web.get("/v2/orders/{order_id}", self.order),
            web.delete("/v2/orders/{order_id}", self.cancel_order),
            web.get("/v2/account", self.account),
            web.get("/v2/positions", self.positions),
            web.get("/v2/positions/{symbol_or_asset_id}", self.position),
            web.get("/v2/assets", self.assets),
            web.get("/v2/assets/{symbol_or_asset_id}", self.asset),
            web.get("/v2/clock", self.clock),
            web.get("/v2/calendar", self.calendar),
        ]

    async def place_order(self, request: web.Request) -> web.Response:
        """POST /v2/orders."""
        return json_answer(render_order(self._venue.place_order(request[VISIT])))

    async def cancel_order(self, request: web.Request) -> web.Response:
        """DELETE /v2/orders/{order_id}."""
        order_id = _order_id(request.match_info["order_id"])
        self._venue.cancel_order(request[VISIT], order_id)
        return web.Response(status=204)

    async def cancel_all(self, request: web.Request) -> web.Response:
        """DELETE /v2/orders."""
        canceled = self._venue.cancel_all(request[VISIT])
        return json_answer([{"id": order_id, "status": 200} for order_id in canceled], 207)

    async def order(self, request: web.Request) -> web.Response:
        """GET /v2/orders/{order_id}."""
        order_id = _order_id(request.match_info["order_id"])
        return json_answer(render_order(self._venue.find_order(request[ACCOUNT], order_id)))

    async def order_by_client_order_id(self, request: web.Request) -> web.Response:
        """GET /v2/orders:by_client_order_id."""
        client_order_id = request.query.get("client_order_id", "")
        order = self._account(request).by_client_order_id.get(client_order_id)
        if order is None:
            raise not_found(f"order not found for {client_order_id}")
        return json_answer(render_order(order))

    async def list_orders(self, request: web.Request) -> web.Response:
        """GET /v2/orders."""
        chosen = choose_orders(self._account(request), read_order_filter(request.query))
        return json_answer([render_order(order) for order in chosen])

    async def account(self, request: web.Request) -> web.Response:
        """GET /v2/account."""
        now = self._venue.clock.now()
        return json_answer(render_account(self._account(request), self._venue.market, now))

    async def positions(self, request: web.Request) -> web.Response:
        """GET /v2/positions."""
        now = self._venue.clock.now()
        return json_answer(render_positions(self._account(request), self._venue.market, now))

    async def position(self, request: web.Request) -> web.Response:
        """GET /v2/positions/{symbol_or_asset_id}."""
        account, market = self._account(request), self._venue.market
        listing = market.listing(request.match_info["symbol_or_asset_id"])
        position = account.positions.get(listing.symbol) if listing else None
        if position is None:
            raise not_found("position does not exist")
        return json_answer(render_position(account, position, market, self._venue.clock.now()))

    async def assets(self, request: web.Request) -> web.Response:
        """GET /v2/assets: the listed stocks (an unlisted ticker is found by name only)."""
        return json_answer(
            [
                _render_asset(each)
                for each in (*LISTED.values(), DELISTED)
                if _asked(each, request.query)
            ]
        )

    async def asset(self, request: web.Request) -> web.Response:
        """GET /v2/assets/{symbol_or_asset_id}."""
        name = request.match_info["symbol_or_asset_id"]
        listing = self._venue.market.listing(name)
        if name in {DELISTED.symbol, DELISTED.asset_id}:
            listing = DELISTED
        if listing is None:
            raise not_found(f"asset not found for {name}")
        return json_answer(_render_asset(listing))

    async def clock(self, _: web.Request) -> web.Response:
        """GET /v2/clock."""
        return json_answer(self._venue.hours.render_clock(self._venue.clock.now()))

    async def calendar(self, request: web.Request) -> web.Response:
        """GET /v2/calendar."""
        # Alpaca knows no other days, whatever is asked for.
        first = max(day(request.query, "start", FIRST_DAY), FIRST_DAY)
        last = min(day(request.query, "end", LAST_DAY), LAST_DAY)
        return json_answer([_render_session(each) for each in sessions_between(first, last)])

    def _account(self, request: web.Request) -> Account:
        return self._venue.account(request[ACCOUNT])


class OrderFilter(NamedTuple):
    """What GET /v2/orders is asked for; `after` and `until` are exclusive instants."""

    status: str
    limit: int
    after: int | None
    until: int | None
    newest_first: bool
    symbols: frozenset[str]
    side: str | None
    asset_classes: frozenset[str]

    def wants(self, order: Order) -> bool:
        """Whether the order is asked for."""
        return (
            (self.status == "all" or (order.status in CLOSED) == (self.status == "closed"))
            and (self.after is None or order.created_at > self.after)
            and (self.until is None or order.created_at < self.until)
            and (not self.symbols or order.symbol in self.symbols)
            and self.side in (None, order.side)
            and (not self.asset_classes or not self.asset_classes.isdisjoint({"us_equity", "all"}))
        )


def read_order_filter(query: Mapping[str, str]) -> OrderFilter:
    """Read the query of GET /v2/orders.

    Raises:
        RefusedError: 422, a value is not one Alpaca knows.
    """
    return OrderFilter(
        status=choice(query, "status", ("open", "closed", "all")),
        limit=number(query, "limit", DEFAULT_LIMIT, MAX_LIMIT),
        after=instant(query, "after"),
        until=instant(query, "until"),
        newest_first=choice(query, "direction", ("desc", "asc")) == "desc",
        symbols=words(query.get("symbols")),
        side=choice(query, "side", (None, "buy", "sell")),
        asset_classes=words(query.get("asset_class")),
    )


def choose_orders(account: Account, wanted: OrderFilter) -> list[Order]:
    """The account's orders the filter wants, in its order, at most its limit."""
    pool: Iterator[Order]
    if wanted.status == "open":
        open_orders = list(account.open_orders.values())
        pool = iter(open_orders[::-1] if wanted.newest_first else open_orders)
    else:
        pool = reversed(account.orders) if wanted.newest_first else iter(account.orders)
    chosen: list[Order] = []
    for order in pool:
        if len(chosen) == wanted.limit:
            break
        if wanted.wants(order):
            chosen.append(order)
    return chosen


def _order_id(text: str) -> str:
    """A malformed order id is answered as a missing one ([ISSUE] Alpaca-API#135)."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise invalid("order_id is missing") from error


def _asked(listing: Listing, query: Mapping[str, str]) -> bool:
    return (
        query.get("status", "active") == ("active" if listing.is_active else "inactive")
        and query.get("asset_class", "us_equity") == "us_equity"
        and query.get("exchange", listing.exchange) == listing.exchange
        and not query.get("attributes")
    )


def _render_asset(listing: Listing) -> dict[str, object]:
    """`easy_to_borrow` left the newest schema, but alpaca-py 0.44 cannot do without it."""
    return {
        "id": listing.asset_id,
        "class": "us_equity",
        "exchange": listing.exchange,
        "symbol": listing.symbol,
        "name": listing.name,
        "cusip": None,
        "status": "active" if listing.is_active else "inactive",
        "tradable": listing.is_active,
        "marginable": listing.is_active,
        "shortable": listing.shortable and listing.is_active,
        "easy_to_borrow": listing.shortable,
        "borrow_status": "easy_to_borrow" if listing.shortable else "hard_to_borrow",
        "fractionable": listing.fractionable,
        "maintenance_margin_requirement": 30,
        "margin_requirement_long": MARGIN_LONG,
        "margin_requirement_short": MARGIN_SHORT,
        "attributes": [],
    }


def _render_session(session: Session) -> dict[str, str]:
    return {
        "date": session.day.isoformat(),
        "open": f"{session.opens:%H:%M}",
        "close": f"{session.closes:%H:%M}",
        "session_open": "0400",
        "session_close": "1700" if session.closes == EARLY_CLOSING else "2000",
        "settlement_date": session_after(session.day).day.isoformat(),
    }
