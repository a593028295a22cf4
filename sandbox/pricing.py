"""What an option is worth: Black–Scholes over the stock's price, with a smile of volatility.

No dividends, one interest rate. Prices of the sandbox, not of any market.
"""

import math
from datetime import datetime
from typing import NamedTuple

from sandbox.contracts import Contract
from sandbox.instants import SECOND, from_datetime
from sandbox.market import Market, mix
from sandbox.sessions import CLOSING, NEW_YORK

RATE = 0.04
YEAR = 365.0 * 86_400.0
# Implied volatility at the money: from the first on, up to the second more, by the stock.
CALM, WILDER = 0.18, 0.30
SMILE = 0.6
# An option is never quoted below a cent, nor with less time than a minute.
LEAST_PRICE = 0.01
LEAST_YEARS = 60.0 / YEAR
# Above three dollars options trade in steps of five cents.
COARSE_ABOVE, COARSE, FINE = 3.0, 0.05, 0.01
SPREAD = 0.02


class Greeks(NamedTuple):
    """Sensitivities in Alpaca's units: theta a day, vega and rho a percentage point."""

    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float


class OptionQuote(NamedTuple):
    """The best bid and offer of a contract (USD a share; sizes in contracts)."""

    at: int
    bid: float
    ask: float
    bid_size: int
    ask_size: int


class _Terms(NamedTuple):
    """What the formula takes: spot, strike, years to expiry, volatility, +1 call or -1 put."""

    spot: float
    strike: float
    years: float
    volatility: float
    sign: int

    @property
    def d1(self) -> float:
        drift = (RATE + self.volatility**2 / 2) * self.years
        return (math.log(self.spot / self.strike) + drift) / self._spread

    @property
    def d2(self) -> float:
        return self.d1 - self._spread

    @property
    def discounted_strike(self) -> float:
        return self.strike * math.exp(-RATE * self.years)

    @property
    def _spread(self) -> float:
        return self.volatility * math.sqrt(self.years)


def implied_volatility(market: Market, contract: Contract, at: int) -> float:
    """The volatility the contract is priced with, a year."""
    return _terms(market, contract, at).volatility


def fair_price(market: Market, contract: Contract, at: int) -> float:
    """What one share of the contract is worth (USD); after expiry what it paid."""
    if at >= expires_at(contract):
        at = expires_at(contract)
        spot = market.mid(contract.underlying.symbol, at)
        return max(_sign(contract) * (spot - float(contract.strike)), LEAST_PRICE)
    return max(_value(_terms(market, contract, at)), LEAST_PRICE)


def greeks(market: Market, contract: Contract, at: int) -> Greeks:
    """The contract's sensitivities at an instant before its expiry."""
    terms = _terms(market, contract, at)
    root = math.sqrt(terms.years)
    density = _density(terms.d1)
    held = terms.sign * terms.discounted_strike * _normal(terms.sign * terms.d2)
    decay = terms.spot * density * terms.volatility / (2 * root)
    return Greeks(
        delta=terms.sign * _normal(terms.sign * terms.d1),
        gamma=density / (terms.spot * terms.volatility * root),
        theta=-(decay + RATE * held) / 365,
        vega=terms.spot * density * root / 100,
        rho=held * terms.years / 100,
    )


def option_quote(market: Market, contract: Contract, at: int) -> OptionQuote:
    """Bid and ask around the fair price, on the contract's price steps; bid is below ask."""
    fair = fair_price(market, contract, at)
    step = COARSE if fair >= COARSE_ABOVE else FINE
    half = max(fair * SPREAD / 2, step / 2)
    bid = max(math.floor((fair - half) / step + 1e-9), 0)
    ask = max(math.ceil((fair + half) / step - 1e-9), bid + 1)
    chance = mix(market.salt(contract.underlying.symbol) ^ hash_of(contract) ^ at // SECOND)
    return OptionQuote(
        at=at,
        bid=round(bid * step, 2),
        ask=round(ask * step, 2),
        bid_size=1 + chance % 200,
        ask_size=1 + (chance >> 8) % 200,
    )


def hash_of(contract: Contract) -> int:
    """A number of the contract's own, the same in every run."""
    return mix(int.from_bytes(contract.symbol.encode()) & 0xFFFFFFFFFFFFFFFF)


def expires_at(contract: Contract) -> int:
    """The closing bell of the contract's last day."""
    return from_datetime(datetime.combine(contract.expires_on, CLOSING, NEW_YORK))


def _sign(contract: Contract) -> int:
    return 1 if contract.right == "call" else -1


def _terms(market: Market, contract: Contract, at: int) -> _Terms:
    symbol = contract.underlying.symbol
    spot, strike = market.mid(symbol, at), float(contract.strike)
    years = max((expires_at(contract) - at) / SECOND / YEAR, LEAST_YEARS)
    wildness = (market.salt(symbol) % 1000) / 1000
    volatility = CALM + WILDER * wildness + SMILE * math.log(strike / spot) ** 2
    return _Terms(spot, strike, years, volatility, _sign(contract))


def _value(terms: _Terms) -> float:
    stock = terms.spot * _normal(terms.sign * terms.d1)
    return terms.sign * (stock - terms.discounted_strike * _normal(terms.sign * terms.d2))


def _normal(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(math.tau)
