"""What an operator asks of a run, read from the environment."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

# What an instance is built and measured for (R1).
MOST_ACCOUNTS = 1000
# Each desk is a process of about 150 MiB that wants a core of its own when it is busy.
MOST_DESKS = 4

_KEY = re.compile(r"[!-~]{1,256}")
_POSTGRES = ("postgresql://", "postgres://")
_REDIS = ("redis://", "rediss://", "unix://")


class BadSettingError(Exception):
    """A setting cannot be used; the text names it and what is allowed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings of `make run` and `make up` (design.md §9). URLs are None where not given."""

    accounts: int
    desks: int
    api_port: int
    ws_port: int
    sandbox_port: int
    database_url: str | None
    database_owner_url: str | None
    redis_url: str | None
    alpaca_api_key: str | None = field(default=None, repr=False)
    alpaca_secret_key: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Asked":
        """Read the settings. Raises BadSettingError."""
        return cls(
            accounts=_number(environment, "ACCOUNTS", 100, most=MOST_ACCOUNTS),
            desks=_number(environment, "DESKS", 1, most=MOST_DESKS),
            api_port=_number(environment, "API_PORT", 8090, most=65535),
            ws_port=_number(environment, "WS_PORT", 8091, most=65535),
            sandbox_port=_number(environment, "SANDBOX_PORT", 8092, most=65535),
            database_url=_url(environment, "DATABASE_URL", _POSTGRES),
            database_owner_url=_owner_url(environment),
            redis_url=_url(environment, "REDIS_URL", _REDIS),
            **_alpaca_keys(environment),
        )

    @property
    def alpaca_keys(self) -> dict[str, str]:
        """The operator's own key pair by its names in the environment; empty where none came."""
        pair = {"ALPACA_API_KEY": self.alpaca_api_key, "ALPACA_SECRET_KEY": self.alpaca_secret_key}
        return {name: key for name, key in pair.items() if key}

    def shown(self) -> dict[str, str]:
        """The settings as text to store and compare; keys, and URLs with passwords, are hashed."""
        return {
            name: _hashed(value) if name.endswith(("_url", "_key")) else str(value)
            for name, value in asdict(self).items()
        }

    def differences(self, running: Mapping[str, str]) -> list[str]:
        """Say in what these settings differ from those of a run (`shown`)."""
        return [
            f"{name.upper()} is {_said(running.get(name, ''))} there and {_said(value)} here"
            for name, value in self.shown().items()
            if running.get(name) != value
        ]


def _number(environment: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    text = environment.get(name) or str(default)
    # isdecimal alone takes other scripts' digits.
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise BadSettingError(f"{name}={text!r} is not a whole number from 1 to {most}.")
    return int(text)


def _url(environment: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str | None:
    url = environment.get(name) or None
    if url and not url.startswith(schemes):
        # Never repeated: it may hold a password.
        raise BadSettingError(f"{name} does not begin with {' or '.join(schemes)}.")
    return url


def _alpaca_keys(environment: Mapping[str, str]) -> dict[str, str | None]:
    pair = {name: environment.get(name.upper()) or None
            for name in ("alpaca_api_key", "alpaca_secret_key")}  # fmt: skip
    if len({key is None for key in pair.values()}) > 1:
        raise BadSettingError("Set both ALPACA_API_KEY and ALPACA_SECRET_KEY, or neither of them.")
    for name, key in pair.items():
        # Never repeated. A key with a space or a line break is a slip of the clipboard.
        if key is not None and not _KEY.fullmatch(key):
            raise BadSettingError(f"{name.upper()} is no key: visible characters, at most 256.")
    return pair


def _owner_url(environment: Mapping[str, str]) -> str | None:
    url = _url(environment, "DATABASE_OWNER_URL", _POSTGRES)
    if url and not environment.get("DATABASE_URL"):
        raise BadSettingError(
            "DATABASE_OWNER_URL is set without DATABASE_URL: name the application's login there."
        )
    return url


def _hashed(url: str | None) -> str:
    return f"#{hashlib.sha256(url.encode()).hexdigest()[:16]}" if url else ""


def _said(value: str) -> str:
    if value.startswith("#"):
        return "set (to something else)"
    return value or "not set"
