"""What the market says; never what an account does."""

from django.apps import AppConfig


class MarketdataConfig(AppConfig):
    """Quotes."""

    name = "marketdata"
