"""Which stocks exist: a list of well-known ones, and any other plausible ticker.

Prices are plausible, not current; nothing here is market data.
"""

import re
from decimal import Decimal
from typing import NamedTuple
from uuid import NAMESPACE_DNS, uuid5

# Tickers beginning ZZ never exist, so that tests have a symbol to be refused; nor do delisted ones.
_TICKER = re.compile(r"(?!ZZ|TWTR$)[A-Z]{1,5}(?:\.[A-Z])?", re.ASCII)
_IDS = uuid5(NAMESPACE_DNS, "assets.sandbox.opitios")


class Listing(NamedTuple):
    """One stock: where it is listed and about what it costs (USD)."""

    symbol: str
    name: str
    exchange: str
    price: Decimal
    shortable: bool = True
    fractionable: bool = True
    is_active: bool = True

    @property
    def asset_id(self) -> str:
        """The asset's id: the same in every sandbox."""
        return str(uuid5(_IDS, self.symbol))


_NASDAQ = (
    ("AAPL", "Apple Inc. Common Stock", "187.20"),
    ("ADBE", "Adobe Inc. Common Stock", "512.40"),
    ("AMD", "Advanced Micro Devices, Inc. Common Stock", "148.60"),
    ("AMZN", "Amazon.com, Inc. Common Stock", "201.30"),
    ("AVGO", "Broadcom Inc. Common Stock", "172.80"),
    ("CMCSA", "Comcast Corporation Class A Common Stock", "39.80"),
    ("COST", "Costco Wholesale Corporation Common Stock", "905.10"),
    ("CSCO", "Cisco Systems, Inc. Common Stock", "56.70"),
    ("GOOG", "Alphabet Inc. Class C Capital Stock", "176.90"),
    ("GOOGL", "Alphabet Inc. Class A Common Stock", "175.40"),
    ("INTC", "Intel Corporation Common Stock", "24.10"),
    ("META", "Meta Platforms, Inc. Class A Common Stock", "571.00"),
    ("MSFT", "Microsoft Corporation Common Stock", "421.50"),
    ("NFLX", "Netflix, Inc. Common Stock", "812.00"),
    ("NVDA", "NVIDIA Corporation Common Stock", "138.20"),
    ("PEP", "PepsiCo, Inc. Common Stock", "163.70"),
    ("PLTR", "Palantir Technologies Inc. Class A Common Stock", "61.20"),
    ("PYPL", "PayPal Holdings, Inc. Common Stock", "84.90"),
    ("QCOM", "QUALCOMM Incorporated Common Stock", "158.30"),
    ("SBUX", "Starbucks Corporation Common Stock", "98.60"),
    ("TSLA", "Tesla, Inc. Common Stock", "338.70"),
    ("TXN", "Texas Instruments Incorporated Common Stock", "199.10"),
)
_NYSE = (
    ("ABBV", "AbbVie Inc.", "178.20"),
    ("BA", "The Boeing Company", "146.40"),
    ("BAC", "Bank of America Corporation", "46.10"),
    ("BRK.B", "Berkshire Hathaway Inc. Class B", "468.30"),
    ("C", "Citigroup Inc.", "69.20"),
    ("CAT", "Caterpillar Inc.", "386.90"),
    ("CRM", "Salesforce, Inc.", "331.50"),
    ("CVX", "Chevron Corporation", "160.80"),
    ("DIS", "The Walt Disney Company", "114.60"),
    ("F", "Ford Motor Company", "11.20"),
    ("GE", "GE Aerospace", "179.30"),
    ("GM", "General Motors Company", "55.40"),
    ("GS", "The Goldman Sachs Group, Inc.", "594.20"),
    ("HD", "The Home Depot, Inc.", "407.10"),
    ("IBM", "International Business Machines Corporation", "216.40"),
    ("JNJ", "Johnson & Johnson", "153.90"),
    ("JPM", "JPMorgan Chase & Co.", "244.60"),
    ("KO", "The Coca-Cola Company", "63.40"),
    ("LLY", "Eli Lilly and Company", "748.00"),
    ("MA", "Mastercard Incorporated Class A", "523.70"),
    ("MCD", "McDonald's Corporation", "292.10"),
    ("MRK", "Merck & Co., Inc.", "99.30"),
    ("NKE", "NIKE, Inc. Class B", "76.80"),
    ("ORCL", "Oracle Corporation", "188.50"),
    ("PFE", "Pfizer Inc.", "25.70"),
    ("PG", "The Procter & Gamble Company", "172.60"),
    ("T", "AT&T Inc.", "22.90"),
    ("UNH", "UnitedHealth Group Incorporated", "598.40"),
    ("V", "Visa Inc. Class A", "309.80"),
    ("VZ", "Verizon Communications Inc.", "42.60"),
    ("WFC", "Wells Fargo & Company", "74.90"),
    ("WMT", "Walmart Inc.", "87.20"),
    ("XOM", "Exxon Mobil Corporation", "120.50"),
)
_ARCA = (
    ("DIA", "SPDR Dow Jones Industrial Average ETF Trust", "436.10"),
    ("GLD", "SPDR Gold Shares", "246.80"),
    ("IWM", "iShares Russell 2000 ETF", "234.40"),
    ("SPY", "SPDR S&P 500 ETF Trust", "594.60"),
    ("VOO", "Vanguard S&P 500 ETF", "546.20"),
    ("XLF", "Financial Select Sector SPDR Fund", "50.10"),
)
# Refusals need a stock that nobody lends and one that nobody splits.
_AWKWARD = (
    Listing("GME", "GameStop Corp. Class A", "NYSE", Decimal("27.60"), shortable=False),
    Listing(
        "BRK.A",
        "Berkshire Hathaway Inc. Class A",
        "NYSE",
        Decimal("702400.00"),
        fractionable=False,
    ),
)


def _listings() -> dict[str, Listing]:
    plain = [
        Listing(symbol, name, exchange, Decimal(price))
        for exchange, rows in (("NASDAQ", _NASDAQ), ("NYSE", _NYSE), ("ARCA", _ARCA))
        for symbol, name, price in rows
    ]
    plain.append(Listing("QQQ", "Invesco QQQ Trust, Series 1", "NASDAQ", Decimal("505.80")))
    # Alpaca sorts by asset class, exchange and symbol.
    ordered = sorted([*plain, *_AWKWARD], key=lambda each: (each.exchange, each.symbol))
    return {each.symbol: each for each in ordered}


LISTED = _listings()
# It has an asset, as everything that ever traded has, and neither prices nor orders.
DELISTED = Listing("TWTR", "Twitter, Inc.", "NYSE", Decimal("53.70"), is_active=False)


def is_ticker(symbol: str) -> bool:
    """Whether a stock of this symbol exists in the sandbox, listed above or not."""
    return _TICKER.fullmatch(symbol) is not None


def unlisted(symbol: str, price: Decimal) -> Listing:
    """A stock that is not on the list: it exists because its ticker is plausible."""
    return Listing(symbol, f"{symbol} Common Stock", "NASDAQ", price)
