"""Calls of the quote endpoint through every layer of the gateway."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.test import Client

from opitios.core.config import get_config
from tests.accounts.issuer import claims, token


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


def signed(**changed: Any) -> str:
    """A token of the configured key, for quotes unless told otherwise."""
    key = get_config().jwt_keys[0]
    header = {"alg": key.alg, "kid": key.kid}
    payload = claims(**{"permissions": ["market_data"]} | changed)
    return token(payload, header=header, secret=key.key.get_secret_value())


def ask_path(path: str, *, with_token: bool = True, **changed: Any) -> Answered:
    """GET a path under /api/v1/."""
    headers = {"Authorization": f"Bearer {signed(**changed)}"} if with_token else {}
    response = Client(headers=headers).get(f"/api/v1/{path}")
    return Answered(response.status_code, json.loads(response.content), dict(response.headers))


def ask_quote(symbol: str, *, query: str = "", **how: Any) -> Answered:
    """GET stocks/quote/{symbol}."""
    return ask_path(f"stocks/quote/{quote(symbol, safe='')}{query}", **how)
