"""Who may do what with which account; where the pool of warm clients starts."""

from django.apps import AppConfig

from opitios.core.admission import get_admission
from opitios.core.config import get_config

# Roles that talk to the broker, or hold clients for reading from it (design.md §1).
SERVING = {"web", "desk", "market", "worker"}
# Who lets tokens in: without the lists of those that are denied nobody comes in there.
GUARDED = {"web", "stream"}


class AccountsConfig(AppConfig):
    """Starts the pool manager in processes that serve, and in no other."""

    name = "accounts"

    def ready(self) -> None:
        """Start the pool on a thread of its own: nothing here waits for Postgres."""
        # Registered by being imported: the schema's security scheme, the start-up checks.
        from accounts import checks, refusals, schema  # noqa: F401, PLC0415 - models load later
        from opitios.core import http  # noqa: PLC0415

        http.on_problem(refusals.tell_of_answer)
        role = get_config().role
        if role == "web":
            # Now, and once: later many threads would.
            get_admission()
        if role in SERVING:
            from accounts.pool import get_pool  # noqa: PLC0415

            if role == "web":
                get_pool().show("refusals", refusals.get_refusals().part)
            get_pool().start()
        if role in GUARDED:
            from accounts import gate, tokens  # noqa: PLC0415

            tokens.verifier().start()
            gate.get_gate().start()
