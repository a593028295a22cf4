"""What stream processes count (opitios/core/metrics.py)."""

from opitios.core.metrics import Counter

PRICES = Counter("stream_prices", "Prices that were put before clients, once for each of them.", ())
PRICES_DROPPED = Counter(
    "stream_prices_dropped", "Prices that clients were spared for being slow.", ("channel",)
)
