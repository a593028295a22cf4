"""The operator's own paper account at Alpaca, beside the sandbox's: `paper_001`, never live."""

from collections.abc import Mapping
from typing import Any

ACCOUNT = "paper_001"

# The first check is made at once; a network that leads nowhere is given up on by then. Seconds.
ANSWER_SECONDS = 10.0

_REFUSED = frozenset({"suspect", "quarantined"})


def entry() -> dict[str, Any]:
    """Describe it for the account file; the key pair is only named."""
    keys = {name: f"env:ALPACA_{name.upper()}" for name in ("api_key", "secret_key")}
    return {
        "account_id": ACCOUNT,
        "account_type": "trading",
        "environment": "paper",
        "alpaca_credentials": keys,
    }


def state_in(pool: Mapping[str, Any]) -> str:
    """Find its state in the answer of `GET pool`; `warming` where it is not there yet.

    An earlier run may have left `ready`: what this one's desks have not checked is not known.
    """
    row = next((row for row in pool["accounts"] if row["account_id"] == ACCOUNT), None)
    desks = [each["started_at"] for each in pool["processes"] if each["role"] == "desk"]
    if row is None or (
        row["state"] == "ready" and (row["checked_at"] or "") < min(desks, default="~")
    ):
        return "warming"
    return str(row["state"])


def is_settled(state: str) -> bool:
    """Whether Alpaca has answered."""
    return state == "ready" or state in _REFUSED


def sentence(state: str) -> str:
    """Say what became of it, and what to do."""
    if state == "ready":
        return f"{ACCOUNT}: your Alpaca paper account is connected. TOKEN_ADMIN may trade it."
    if state in _REFUSED:
        return (
            f"{ACCOUNT}: Alpaca does not accept ALPACA_API_KEY and ALPACA_SECRET_KEY. Are they the"
            " keys of a paper account? Its orders are refused until they are; the sandbox works."
        )
    return (
        f"{ACCOUNT}: paper-api.alpaca.markets does not answer from here. It is tried again and"
        " again; behind a proxy, set HTTPS_PROXY. Its orders are refused or lapse until then; the"
        " sandbox works."
    )
