"""The retry path: `celery -A opitios worker --pool=threads` and `celery -A opitios beat`.

Tasks are hints: what is due stands in Postgres, and a lost, late or doubled task changes nothing.
Nobody but worker and beat ever publishes one, so no request waits for Redis because of them.
"""

import logging
import os
import ssl
import sys
from typing import Any

_ROLES = ("worker", "beat")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opitios.settings")
os.environ.setdefault(
    "OPITIOS_ROLE", next((word for word in sys.argv[1:] if word in _ROLES), "none")
)
# The system checks would load every view and admin page; the key rings are looked at all the same.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from celery import Celery, signals  # noqa: E402 - after the environment is set

from opitios.canary import Canary, canary_queue  # noqa: E402
from opitios.core import bus  # noqa: E402
from opitios.core.config import Config, get_config  # noqa: E402

QUEUE = "retries"

# How often due look-ups are searched for, in seconds, and how long such a task makes sense.
SWEEP_SECONDS = 1.0

# libraries.md: with kombu's own defaults a publish to a black hole blocks for minutes.
_SOCKET_SECONDS = 0.5
# A half-open connection is noticed and dropped after about twice this long (celery#8030). Seconds.
_HEALTH_SECONDS = 5
# Unacknowledged messages come back after this long; by then they have expired. Seconds.
_VISIBILITY_SECONDS = 60


def broker_url(redis_url: str) -> str:
    """Write a Redis URL the way Celery's transport reads it: `unix://` is `redis+socket://`."""
    scheme, separator, rest = redis_url.partition("://")
    return f"redis+socket{separator}{rest}" if scheme == "unix" else redis_url


def _settings(config: Config) -> dict[str, Any]:
    url = broker_url(config.redis_url.get_secret_value())
    queues: dict[str, dict[str, Any]] = {QUEUE: {}}
    if config.role == "worker":
        queues[canary_queue(config)] = {}
    return {
        "broker_url": url,
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if _is_tls(url) else None,
        "broker_transport_options": {
            # Gateways that share one Redis do not take each other's tasks.
            "global_keyprefix": f"opitios:{bus.namespace()}:celery:",
            "socket_timeout": _SOCKET_SECONDS,
            "socket_connect_timeout": _SOCKET_SECONDS,
            "retry_on_timeout": False,
            "max_retries": 0,
            "health_check_interval": _HEALTH_SECONDS,
            "visibility_timeout": _VISIBILITY_SECONDS,
        },
        "broker_connection_timeout": _SOCKET_SECONDS,
        "broker_connection_retry_on_startup": True,
        # For ever: a worker that gives up would only be started again.
        "broker_connection_max_retries": None,
        "task_queues": queues,
        "task_default_queue": QUEUE,
        "task_publish_retry": False,
        "task_acks_late": True,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_expires": None,
        # Beat knows its task by name: what tasks need would only take memory there.
        "imports": ("trading.tasks", "opitios.canary") if config.role == "worker" else (),
        "timezone": "UTC",
        "worker_prefetch_multiplier": 1,
        # Pidbox, events and gossip would be three more ways to hang on Redis.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        # Threads cannot be cancelled, and a look-up done twice does no harm.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_redirect_stdouts": False,
        "beat_scheduler": "opitios.beat:Beat",
        "beat_max_loop_interval": SWEEP_SECONDS,
        "beat_schedule": {
            "sweep": {
                "task": "trading.sweep",
                "schedule": SWEEP_SECONDS,
                "options": {"expires": SWEEP_SECONDS * 2},
            },
        },
    }


def _is_tls(url: str) -> bool:
    return url.startswith("rediss://")


def _keep_our_logs(**_: Any) -> None:
    """Take the place of Celery's own logging; two lines a second about hints help nobody."""
    for name in ("strategy", "request"):
        logging.getLogger(f"celery.worker.{name}").setLevel(logging.WARNING)
    for name in ("celery.app.trace", "celery.beat"):
        logging.getLogger(name).setLevel(logging.WARNING)


# Celery asks who sets up logging by a signal of its own; Django's settings have done so.
signals.setup_logging.connect(_keep_our_logs)

app = Celery("opitios")
app.conf.update(_settings(get_config()))
app.steps["worker"].add(Canary)
