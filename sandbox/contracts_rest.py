"""The trading API's option contracts: /v2/options/contracts."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import chain as chained
from itertools import islice

from aiohttp import web

from sandbox.amounts import text
from sandbox.answers import json_answer
from sandbox.contract_filter import ContractFilter, read_filter
from sandbox.contracts import MULTIPLIER, Contract, chain, find_contract
from sandbox.data_query import Place, read_place, token_of
from sandbox.pricing import fair_price, hash_of
from sandbox.query import choice, number, read
from sandbox.refusals import RefusedError, invalid, not_found
from sandbox.sessions import FRIDAY, SUNDAY, new_york, previous_closing
from sandbox.universe import LISTED
from sandbox.venue import Venue

DEFAULT_LIMIT, MAX_LIMIT = 100, 10_000
LONGEST_ID = 36


class ContractsApi:
    """The handlers; the gate has checked the key."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> list[web.RouteDef]:
        """Every route of the contracts."""
        return [
            web.get("/v2/options/contracts", self.contracts),
            web.get("/v2/options/contracts/{symbol_or_id}", self.contract),
        ]

    async def contracts(self, request: web.Request) -> web.Response:
        """GET /v2/options/contracts: by symbol; those expiring before next weekend if not told."""
        query = request.query
        limit = number(query, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        after = read(query, "page_token", read_place)
        wanted = self._filter(query)
        rest = (
            each
            for each in self._universe(query)
            if wanted.wants(each) and (after is None or each.symbol > after.symbol)
        )
        found = list(islice(rest, limit + 1))
        token = token_of(Place(found[limit - 1].symbol, 0)) if len(found) > limit else None
        shown = [self._render(each, query) for each in found[:limit]]
        return json_answer({"option_contracts": shown, "next_page_token": token})

    async def contract(self, request: web.Request) -> web.Response:
        """GET /v2/options/contracts/{symbol or id}."""
        asked = request.match_info["symbol_or_id"]
        found = find_contract(asked, self._today)
        if found is None and len(asked) == LONGEST_ID:
            everything = chained.from_iterable(chain(each, self._today) for each in LISTED.values())
            found = next((each for each in everything if each.contract_id == asked), None)
        if found is None:
            raise not_found(f"option contract {asked} not found")
        return json_answer(self._render(found, request.query))

    def _universe(self, query: Mapping[str, str]) -> Iterator[Contract]:
        if choice(query, "status", ("active", "inactive")) == "inactive":
            # What has expired is found by its symbol alone.
            return iter(())
        if choice(query, "style", ("american", "european")) == "european":
            return iter(())
        asked = [word for word in query.get("underlying_symbols", "").split(",") if word]
        listings = [LISTED[each] for each in sorted(asked or LISTED) if each in LISTED]
        return chained.from_iterable(chain(each, self._today) for each in listings)

    def _filter(self, query: Mapping[str, str]) -> ContractFilter:
        try:
            wanted = read_filter(query)
        except RefusedError as refusal:
            # The trading API's own dialect.
            raise invalid(refusal.message) from refusal
        if any((wanted.expires_on, wanted.expires_from, wanted.expires_by)):
            return wanted
        return wanted._replace(expires_by=_before_next_weekend(self._today))

    def _render(self, contract: Contract, query: Mapping[str, str]) -> dict[str, object]:
        market, now = self._venue.market, self._venue.clock.now()
        bell = previous_closing(now)
        chance = hash_of(contract)
        shown: dict[str, object] = {
            "id": contract.contract_id,
            "symbol": contract.symbol,
            "name": contract.name,
            "status": "active" if contract.expires_on >= self._today else "inactive",
            "tradable": contract.expires_on >= self._today,
            "expiration_date": contract.expires_on.isoformat(),
            "root_symbol": contract.root,
            "underlying_symbol": contract.underlying.symbol,
            "underlying_asset_id": contract.underlying.asset_id,
            "type": contract.right,
            "style": "american",
            "strike_price": text(contract.strike),
            "multiplier": str(MULTIPLIER),
            "size": str(MULTIPLIER),
            "open_interest": str(chance % 20_000),
            "open_interest_date": new_york(bell).date().isoformat(),
            "close_price": f"{fair_price(market, contract, bell):.2f}",
            "close_price_date": new_york(bell).date().isoformat(),
            "ppind": True,
        }
        if query.get("show_deliverables", "").lower() == "true":
            shown["deliverables"] = [_shares(contract)]
        return shown

    @property
    def _today(self) -> date:
        return new_york(self._venue.clock.now()).date()


def _shares(contract: Contract) -> dict[str, object]:
    return {
        "type": "equity",
        "symbol": contract.underlying.symbol,
        "asset_id": contract.underlying.asset_id,
        "amount": str(MULTIPLIER),
        "allocation_percentage": "100",
        "settlement_type": "T+1",
        "settlement_method": "CCC",
        "delayed_settlement": False,
    }


def _before_next_weekend(today: date) -> date:
    """The Friday after this weekend's Sunday."""
    sunday = today + timedelta(days=SUNDAY - today.weekday())
    return sunday + timedelta(days=FRIDAY + 1)
