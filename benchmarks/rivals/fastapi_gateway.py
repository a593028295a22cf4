"""The rivals of the desk: an order endpoint in FastAPI that calls alpaca-py inside the request.

`threads`: a plain `def` endpoint in FastAPI's thread pool. `blocking`: an `async def` endpoint that
calls the same client, so that one upstream call stops everything. Neither stores anything: an
answer lost is an order nobody knows of. Run by uvicorn, told by its environment.
"""

import os
from functools import cache
from typing import Any

from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest
from fastapi import FastAPI, Request

app = FastAPI()


@cache
def client_of(account_id: str) -> TradingClient:
    """One client an account, as its documentation shows it."""
    return TradingClient(
        f"SANDBOX_{account_id}",
        f"sandbox-secret-{account_id}",
        url_override=os.environ["BENCH_SANDBOX"],
    )


def place(account_id: str) -> dict[str, Any]:
    """Send one market order and answer its id."""
    order = MarketOrderRequest(
        symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY
    )
    return {"id": str(client_of(account_id).submit_order(order).id)}  # type: ignore[union-attr]


PATH = "/api/v1/accounts/{account_id}/orders/stocks"

if os.environ.get("BENCH_STYLE") == "blocking":

    @app.post(PATH, status_code=202)
    async def place_blocking(account_id: str, request: Request) -> dict[str, Any]:
        """The event loop waits for the broker, and everybody with it."""
        await request.json()
        return place(account_id)

else:

    @app.post(PATH, status_code=202)
    def place_in_a_thread(account_id: str, order: dict[str, Any]) -> dict[str, Any]:
        """A thread of the pool waits for the broker."""
        return place(account_id)
