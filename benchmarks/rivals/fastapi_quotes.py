"""The rival of the cached quote: one FastAPI endpoint that has nothing else to do.

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
QUOTES: dict[str, tuple[float, dict[str, Any]]] = {
    "AAPL": (
        time.monotonic(),
        {
            "t": "2026-11-20T14:30:00.123456789Z",
            "bp": 187.2,
            "bs": 3,
            "ap": 187.21,
            "as": 1,
            "bx": "V",
            "ax": "V",
            "c": ["R"],
            "z": "C",
        },
    )
}
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
    at, told = found
    age = int((time.monotonic() - at) * 1000)
    return ORJSONResponse(
        {"symbol": symbol, **told, "feed": "iex", "source": "cache", "age_ms": age}
    )
