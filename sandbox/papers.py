"""What the bars of stocks and of contracts are made of."""

from sandbox.bars import Paper
from sandbox.contracts import Contract
from sandbox.market import Market
from sandbox.pricing import fair_price, hash_of

SHARES_A_MINUTE = 9_000
CONTRACTS_A_MINUTE = 12


def stock_paper(market: Market, symbol: str) -> Paper:
    """A stock's prices.

    Raises:
        KeyError: no such stock.
    """
    return Paper(lambda at: market.mid(symbol, at), SHARES_A_MINUTE, market.salt(symbol))


def option_paper(market: Market, contract: Contract) -> Paper:
    """A contract's prices."""
    return Paper(lambda at: fair_price(market, contract, at), CONTRACTS_A_MINUTE, hash_of(contract))
