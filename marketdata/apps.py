"""What the market says; never what an account does."""

from django.apps import AppConfig

from opitios.core.config import get_config


class MarketdataConfig(AppConfig):
    """Quotes; shows its part of the pool row to accounts."""

    name = "marketdata"

    def ready(self) -> None:
        """Show how the accounts do that are asked for market data."""
        if get_config().role == "web":
            from accounts.pool import get_pool  # noqa: PLC0415 - models load later
            from marketdata.sources import get_sources  # noqa: PLC0415 - as above

            get_pool().show("data", lambda: {"data": get_sources().router.health()})
