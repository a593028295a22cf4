"""The rival of cached quotes: a FastAPI app that has nothing else to do, for one and for many.

A token is verified with PyJWT and remembered, its permission looked at, the quote taken from memory
and answered with its age. Run by uvicorn, told by its environment.
"""

import os
import time
from typing import Any

import jwt
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import ORJSONResponse

app = FastAPI()
KEY = os.environ["BENCH_JWT_KEY"]
QUOTE: dict[str, Any] = {
    "t": "2026-11-20T14:30:00.123456789Z",
    "bp": 187.2,
    "bs": 3,
    "ap": 187.21,
    "as": 1,
    "bx": "V",
    "ax": "V",
    "c": ["R"],
    "z": "C",
}
# A batch names so many at the most.
MOST = 100
BATCH = [f"Q{left}{right}" for left in "ABCDEFGHIJ" for right in "ABCDEFGHIJ"]
QUOTES = {symbol: (time.monotonic(), QUOTE) for symbol in ("AAPL", *BATCH)}
VERIFIED: dict[str, dict[str, Any]] = {}


def principal(request: Request) -> dict[str, Any]:
    """Verify the token once, and remember it until it expires."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    claims = VERIFIED.get(token)
    if claims is None:
        try:
            claims = jwt.decode(token, KEY, algorithms=["HS256"])
        except jwt.PyJWTError as error:
            raise HTTPException(401) from error
        VERIFIED[token] = claims
    if claims["exp"] <= time.time():
        raise HTTPException(401)
    return claims


@app.get("/api/v1/stocks/quote/{symbol}")
async def quote(symbol: str, request: Request) -> ORJSONResponse:
    """Answer the quote with its age."""
    if "market_data" not in principal(request)["permissions"]:
        raise HTTPException(403)
    found = QUOTES.get(symbol)
    if found is None:
        raise HTTPException(404)
    return ORJSONResponse(shown(symbol, *found))


@app.get("/api/v1/stocks/quotes")
async def quotes(symbols: str, request: Request) -> ORJSONResponse:
    """Answer a map of quotes, and why others are missing."""
    if "market_data" not in principal(request)["permissions"]:
        raise HTTPException(403)
    names = list(dict.fromkeys(symbols.split(",")))
    if len(names) > MOST:
        raise HTTPException(400)
    told = {name: shown(name, *QUOTES[name]) for name in names if name in QUOTES}
    missing = {name: {"reason": "unknown-symbol"} for name in names if name not in QUOTES}
    return ORJSONResponse({"quotes": told, "errors": missing})


def shown(symbol: str, at: float, told: dict[str, Any]) -> dict[str, Any]:
    """A quote as it is answered."""
    age = int((time.monotonic() - at) * 1000)
    return {"symbol": symbol, **told, "feed": "iex", "source": "cache", "age_ms": age}
