"""What account-scoped lists have in common: limits, filters, and their place in the journal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from accounts.claims import ACCOUNT_ID
from opitios.core import clock, database
from opitios.core.http import bad_parameter

# api.md §1.
DEFAULT_LIMIT = 50
MAX_LIMIT = 500


def paged(name: str, items: list[Any], token: str | None) -> dict[str, Any]:
    """Write a list as an object with a named key."""
    return {name: items, "next_page_token": token}


def as_of(account_id: str) -> dict[str, Any]:
    """Say when a list was read and at which journal number, so that stream and REST can be ordered.

    Read it before the list: the list then holds at least everything up to that number.
    """
    head = database.row("SELECT seq FROM accounts_journalhead WHERE account_id = %s", (account_id,))
    return {"as_of": clock.rfc3339(clock.now()), "as_of_seq": head["seq"] if head else 0}


def limit_of(query: Mapping[str, str]) -> int:
    """Read `limit`: 1–500, 50 unless given. Raises Problem 400."""
    text = query.get("limit", str(DEFAULT_LIMIT))
    if text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT:  # noqa: PLR2004
        return int(text)
    raise bad_parameter("limit", "out-of-range", f"limit is a number from 1 to {MAX_LIMIT}.")


def account_token(query: Mapping[str, str]) -> str:
    """Read the `page_token` of a list of accounts: the last one's id, "" at the beginning.

    Raises Problem 400.
    """
    token = query.get("page_token")
    if token is None or ACCOUNT_ID.fullmatch(token):
        return token or ""
    message = "This page_token was not given by this API."
    raise bad_parameter("page_token", "unknown-token", message)


def number_of(query: Mapping[str, str], name: str, default: int) -> int:
    """Read a whole number ≥ 0. Raises Problem 400."""
    text = query.get(name, str(default))
    # A bigint has 19 digits; one fewer always fits.
    if text.isascii() and text.isdigit() and len(text) <= 18:  # noqa: PLR2004
        return int(text)
    raise bad_parameter(name, "not-a-number", f"{name} is a whole number, 0 or more.")


def one_of(query: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    """Read a word out of a closed list, the first unless given. Raises Problem 400."""
    word = query.get(name, allowed[0])
    if word in allowed:
        return word
    raise bad_parameter(name, "not-allowed", f"{name} is {' or '.join(allowed)}.", allowed)


def instant_of(query: Mapping[str, str], name: str) -> datetime | None:
    """Read an RFC 3339 instant with an offset, None where not given. Raises Problem 400."""
    if name not in query:
        return None
    message = f"{name} is an instant with an offset, such as 2026-11-20T14:30:00Z."
    try:
        # A plus sign that was not escaped arrives as a space.
        instant = datetime.fromisoformat(query[name].replace(" ", "+"))
        if instant.tzinfo is None:
            raise bad_parameter(name, "not-a-time", message)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise bad_parameter(name, "not-a-time", message) from error
