"""Alpaca: its clients over our transport, its stream, its words.

Importing `trading` loads alpaca-py, `data` its market data as well, which bring pandas: together
0.36 s and 75 MiB. Every other module here and in `opitios.broker` stays free of it.
"""

from opitios.broker.alpaca.late import import_late

import_late("pandas")
