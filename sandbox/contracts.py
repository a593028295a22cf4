"""Which option contracts exist: weekly and monthly expirations, strikes around the stock's base.

A contract is what its OCC symbol says; nothing is stored. Listed stocks have options, others none.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal, NamedTuple
from uuid import NAMESPACE_DNS, uuid5

from sandbox.sessions import FRIDAY, session_on
from sandbox.universe import LISTED, Listing

Right = Literal["call", "put"]

MULTIPLIER = 100
# Fridays ahead that have weekly contracts, and third Fridays that have monthly ones.
WEEKLIES, MONTHLIES = 8, 12
# Strikes lie between these shares of the stock's base price.
LOWEST, HIGHEST = Decimal("0.70"), Decimal("1.30")
# Above so many dollars strikes are so many dollars apart.
STEPS = ((Decimal(1000), Decimal(50)), (Decimal(250), Decimal(5)), (Decimal(100), Decimal("2.5")))
LEAST_STEP = Decimal(1)

_OCC = re.compile(r"([A-Z]{1,6})(\d{6})([CP])(\d{8})", re.ASCII)
_IDS = uuid5(NAMESPACE_DNS, "contracts.sandbox.opitios")
_RIGHTS: dict[str, Right] = {"C": "call", "P": "put"}
_BY_ROOT = {symbol.replace(".", ""): listing for symbol, listing in LISTED.items()}
# Costs too much a share for anybody to write options on it.
_WITHOUT = frozenset({"BRK.A"})


class Contract(NamedTuple):
    """One option on 100 shares; American style, like every equity option in the US."""

    underlying: Listing
    expires_on: date
    right: Right
    strike: Decimal

    @property
    def root(self) -> str:
        """The symbol's first part: the underlying without its dot."""
        return self.underlying.symbol.replace(".", "")

    @property
    def symbol(self) -> str:
        """The OCC symbol, e.g. AAPL261218C00190000."""
        strike = int(self.strike * 1000)
        return f"{self.root}{self.expires_on:%y%m%d}{self.right[0].upper()}{strike:08d}"

    @property
    def contract_id(self) -> str:
        """The contract's id: the same in every sandbox."""
        return str(uuid5(_IDS, self.symbol))

    @property
    def name(self) -> str:
        """As Alpaca writes it: AAPL Dec 18 2026 190 Call."""
        strike = format(self.strike.normalize(), "f")
        return f"{self.root} {self.expires_on:%b %d %Y} {strike} {self.right.capitalize()}"


def has_occ_shape(symbol: str) -> bool:
    """Whether a text looks like an OCC symbol, of a contract that exists or not."""
    return _OCC.fullmatch(symbol) is not None


def find_contract(symbol: str, today: date) -> Contract | None:
    """The contract of an OCC symbol, expired ones too; None where there never was one."""
    match = _OCC.fullmatch(symbol)
    listing = _BY_ROOT.get(match[1]) if match else None
    if match is None or listing is None or listing.symbol in _WITHOUT:
        return None
    expires_on = _date(match[2])
    strike = Decimal(match[4]) / 1000
    was_listed = expires_on is not None and (
        expires_on in expirations(today) or (expires_on < today and _is_expiration(expires_on))
    )
    if expires_on is None or not was_listed or strike not in strikes(listing):
        return None
    return Contract(listing, expires_on, _RIGHTS[match[3]], strike)


def chain(listing: Listing, today: date) -> Iterator[Contract]:
    """Every contract on a stock that trades today, by symbol."""
    if listing.symbol in _WITHOUT or listing.symbol not in LISTED:
        return
    for expires_on in expirations(today):
        for right in _RIGHTS.values():
            for strike in strikes(listing):
                yield Contract(listing, expires_on, right, strike)


@lru_cache(maxsize=64)
def expirations(today: date) -> tuple[date, ...]:
    """The days on which contracts that trade today expire, in order."""
    weekly = [_last_session_by(each) for each in _fridays(today, WEEKLIES)]
    months = [today.year * 12 + today.month - 1 + ahead for ahead in range(MONTHLIES)]
    thirds = [_third_friday(month // 12, month % 12 + 1) for month in months]
    leaps = [_third_friday(today.year + years, 1) for years in (1, 2)]
    return tuple(sorted({each for each in (*weekly, *thirds, *leaps) if each >= today}))


@lru_cache(maxsize=512)
def strikes(listing: Listing) -> tuple[Decimal, ...]:
    """The strikes of a stock's contracts (USD), in order."""
    step = next((step for above, step in STEPS if listing.price >= above), LEAST_STEP)
    low = max(int(listing.price * LOWEST / step), 1)
    high = int(listing.price * HIGHEST / step) + 1
    return tuple(step * count for count in range(low, high + 1))


def _fridays(today: date, count: int) -> Iterator[date]:
    first = today + timedelta(days=(FRIDAY - today.weekday()) % 7)
    return (first + timedelta(weeks=week) for week in range(count))


def _third_friday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return _last_session_by(first + timedelta(days=(FRIDAY - first.weekday()) % 7 + 14))


def _last_session_by(day: date) -> date:
    """The day, or the trading day before it where the exchange is shut (Good Friday)."""
    while session_on(day) is None:
        day -= timedelta(days=1)
    return day


def _is_expiration(day: date) -> bool:
    friday = day + timedelta(days=(FRIDAY - day.weekday()) % 7)
    return _last_session_by(friday) == day


def _date(digits: str) -> date | None:
    try:
        return date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]))
    except ValueError:
        return None
