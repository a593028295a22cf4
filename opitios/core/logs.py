"""Logs: one JSON object a line, constant messages with fields, secrets masked by name and value.

Loggers: `app` what happens, `access` one line a request or socket, `security` one line a refused
attempt, `errors` what nobody foresaw.
"""

import logging
import logging.config
import os
import re
import sys
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson
import structlog

from opitios.core import clock

# A field with such a name never reaches a log, whoever logs it (law 8).
_SECRET_WORDS = ("secret", "password", "token", "api_key", "authorization", "master_key", "dsn")

# A signed token, wherever it stands: three parts of base64url, the first a JSON object.
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

# What a caller wrote is cut to so many characters: lines stay lines.
LONGEST_TEXT = 300


class _Hidden:
    """The secrets of this process's settings: no line holds one, whoever wrote it (law 8)."""

    values: tuple[str, ...] = ()


def hide(values: Iterable[str]) -> None:
    """Keep these values out of every line from now on."""
    _Hidden.values = tuple(values)


def scrub(text: str) -> str:
    """Take tokens and the settings' secrets out of a text."""
    for value in _Hidden.values:
        if value in text:
            text = text.replace(value, "***")
    return _TOKEN.sub("***", text) if "eyJ" in text else text


def printable(text: str) -> str:
    """Make a caller's text harmless on a terminal and in a viewer, unmistakable, and short.

    Controls (line ends, ANSI), marks of direction, half surrogates and every letter that may pass
    for another are written as Python would: `\\x1b`, `\\u0430`.
    """
    text = text[:LONGEST_TEXT]
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each.isascii() and each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


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


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Where everybody's lines end: libraries and exceptions quote what no field is named for."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


def logging_settings(level: str) -> dict[str, Any]:
    """Make Django's LOGGING: our loggers and everybody else's through the same renderer."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": _Formatter,
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
_security = logging.getLogger("security")


def write_access(event: str, **fields: Any) -> None:
    """Write the line of one answered request or one socket, in the shape of every other line."""
    _write(_access, "info", event, fields)


def write_security(event: str, **fields: Any) -> None:
    """Write the line of one refused attempt."""
    _write(_security, "warning", event, fields)


def _write(logger: logging.Logger, level: str, event: str, fields: dict[str, Any]) -> None:
    """Write a line past logging and structlog, which cost a request more than its middleware.

    One write a line: lines of threads and processes do not mix. Texts of callers are `printable`
    before they come here.
    """
    if logger.isEnabledFor(logging.INFO):
        about = {"logger": logger.name, "level": level, "at": clock.rfc3339(clock.now())}
        line = orjson.dumps({**fields, "event": event, **about}).decode()
        # A full disk under the log must not turn an accepted order into an error.
        with suppress(OSError):
            os.write(sys.stderr.fileno(), f"{scrub(line)}\n".encode())


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
