"""Alpaca: its clients over our transport, its stream, its words.

Importing `trading` (or `clients`, which builds one) loads alpaca-py without pandas (late.py),
`data` its market data with it: 0.3 s and 60 MiB more. Every other module here and in
`opitios.broker` stays free of alpaca-py.
"""

from opitios.broker.alpaca.late import import_late

import_late("pandas")
