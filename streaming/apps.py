"""The client's socket, and nothing else."""

from django.apps import AppConfig


class StreamingConfig(AppConfig):
    """WebSockets for subscribers."""

    name = "streaming"
