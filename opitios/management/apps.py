"""The roof's commands as a Django app of their own, for `opitios.management.settings`."""

from django.apps import AppConfig


class OperatorConfig(AppConfig):
    """Finds the commands; nothing starts with it."""

    name = "opitios"
