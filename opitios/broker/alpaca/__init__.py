"""Alpaca: its clients over our transport, its stream, its words.

Importing `trading` or `data` loads alpaca-py, which costs 0.36 s and 75 MiB (it brings pandas);
every other module here and in `opitios.broker` stays free of it.
"""
