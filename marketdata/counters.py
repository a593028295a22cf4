"""What market data counts (opitios/core/metrics.py)."""

from opitios.core.metrics import Counter

CALLS = Counter(
    "market_data_calls",
    "Calls to the broker for market data: answered, or how they failed.",
    ("account_id", "outcome"),
)
FAILOVERS = Counter(
    "market_data_failovers",
    "Questions that another account answered than the one asked first; account_id: who answered.",
    ("account_id",),
)
ANSWERS = Counter(
    "market_data_answers",
    "Symbols and questions that were answered, by where the answer was from.",
    ("kind", "source"),
)
TICKS = Counter(
    "market_feed_ticks", "Prices that the market process told everybody, by channel.", ("channel",)
)
TICKS_LOST = Counter(
    "market_feed_ticks_lost", "Prices that did not reach Redis, or waited behind too many.", ()
)
