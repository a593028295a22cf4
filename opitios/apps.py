"""The roof as a Django app: its commands, templates and start-up checks."""

from django.apps import AppConfig


class OpitiosConfig(AppConfig):
    """Holds quickstart, doctor and migrate."""

    name = "opitios"
    verbose_name = "Opitios"
