"""Opitios: a gateway between many programs and many Alpaca brokerage accounts."""

__version__ = "0.1.0"
