"""Who may do what with which account; where the pool of warm clients starts."""

from django.apps import AppConfig

from opitios.core.config import get_config

# Roles that talk to the broker, or hold clients for reading from it (design.md §1).
SERVING = {"web", "desk", "market", "worker"}


class AccountsConfig(AppConfig):
    """Starts the pool manager in processes that serve, and in no other."""

    name = "accounts"

    def ready(self) -> None:
        """Start the pool on a thread of its own: nothing here waits for Postgres."""
        if get_config().role in SERVING:
            from accounts.pool import get_pool  # noqa: PLC0415 - models load after apps do

            get_pool().start()
