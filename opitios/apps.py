"""The roof as a Django app: its commands, templates and start-up checks."""

from django.apps import AppConfig

from opitios.core.config import get_config


class OpitiosConfig(AppConfig):
    """Holds the commands; the first app, so that nothing of a process starts before its checks."""

    name = "opitios"
    verbose_name = "Opitios"

    def ready(self) -> None:
        """Declare the start-up checks; a process that serves passes them, or ends here."""
        # Registered by being imported.
        from accounts import checks as _of_accounts  # noqa: F401, PLC0415 - models load later
        from opitios import checks as _of_the_roof  # noqa: F401, PLC0415
        from opitios.core.startup import admission  # noqa: PLC0415

        if get_config().role != "none":
            admission.seek()
