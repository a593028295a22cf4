"""Everything that happens to an order."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    """Orders, attempts, fills; shows its part of the pool row and of `GET limits` to accounts."""

    name = "trading"

    def ready(self) -> None:
        """Show accounts what limits orders."""
        from accounts import limits  # noqa: PLC0415 - models load later
        from trading import limitrows  # noqa: PLC0415

        limits.register("trading", limitrows.rows)
