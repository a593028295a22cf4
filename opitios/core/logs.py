"""Logs: one JSON object a line, constant messages with fields, secrets masked by name."""

import logging
import logging.config
import os
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

import orjson
import structlog

from opitios.core import clock

# A field with such a name never reaches a log, whoever logs it (law 8).
_SECRET_WORDS = ("secret", "password", "token", "api_key", "authorization", "master_key", "dsn")


# The names of fields are few and stand in our code.
@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)


def _mask(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if _is_secret(name):
            event[name] = "***"
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    _mask,
    structlog.processors.format_exc_info,
]


def logging_settings(level: str) -> dict[str, Any]:
    """Make Django's LOGGING: our loggers and everybody else's through the same renderer."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
                "foreign_pre_chain": _SHARED,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django logs each 4xx as a warning; the access line says it already.
            "django.request": {"level": "ERROR"},
            "django.server": {"level": "ERROR"},
        },
    }


_access = logging.getLogger("access")


def write_access(**fields: Any) -> None:
    """Write the line of one answered request, in the shape of every other line.

    Past logging and structlog, which cost a request more than the rest of its middleware. One write
    a line: lines of threads and processes do not mix.
    """
    if _access.isEnabledFor(logging.INFO):
        about = {"logger": "access", "level": "info", "at": clock.rfc3339(clock.now())}
        line = {**fields, "event": "request", **about}
        os.write(sys.stderr.fileno(), orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def configure(level: str) -> None:
    """Point structlog at the standard library's logging, once a process."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(logging_settings(level))
