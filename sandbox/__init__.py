"""An Alpaca look-alike for newcomers and tests; shares no code with the gateway.

`python -m sandbox` serves on one port the trading API (/v2/…), the data API (/v2/stocks/…), the
order updates (/stream) and its own switches (/sandbox/…, see `control`). The way of a request:
`gate` (key, limit, fault) → `rest` or `data_rest` → `venue`, which decides (`acceptance`,
`matching`), writes (`ledger`), changes the books (`exchange`) and tells (`updates`, `streams`).
"""
