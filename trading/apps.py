"""Everything that happens to an order."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    """Orders, attempts, fills; shows its part of the pool row to accounts."""

    name = "trading"
