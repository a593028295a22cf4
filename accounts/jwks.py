"""An issuer's published keys (RFC 7517): read in the background, never by a request.

While the issuer is away, what was read last goes on for a day: its outage is not our 401.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import structlog

from accounts.tokenkeys import BadTokenKeys, Demands, RingKey, published_key
from opitios.broker.alpaca.transport import Transport, TransportTimers
from opitios.broker.errors import BrokerError
from opitios.core import clock, jsontext
from opitios.core.config import Timers
from opitios.core.errors import Problem, Reason

logger = structlog.get_logger("app")

# Seconds: to connect, and for the whole answer.
CONNECT_SECONDS = 2.0
TOTAL_SECONDS = 3.0
# Real sets have a handful of keys with their certificates.
MAX_BYTES = 256 * 1024
MAX_KEYS = 100
# Keys that were not confirmed for longer are believed no more. No token lives longer either.
STALE_SECONDS = 24 * 60 * 60
# Without any key nobody can come in: it is asked again this much sooner than after a failure.
EAGER = 10

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_OK = 200


class NotRead(Exception):
    """The issuer's set could not be read now, and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an issuer publishes its keys: the origin, and what to ask it for."""

    origin: str
    host: str
    target: str


def source_of(url: str, *, demo: bool) -> Source:
    """Read JWT_JWKS_URL. Raises BadTokenKeys: whoever writes the answer lets everybody in."""
    parts = urlsplit(url)
    if not url.isascii() or not url.isprintable() or " " in url or not parts.hostname:
        raise BadTokenKeys("JWT_JWKS_URL is not a URL")
    if parts.username is not None or parts.fragment:
        raise BadTokenKeys("JWT_JWKS_URL has no name, password or fragment in it")
    plain = parts.scheme == "http" and (demo or parts.hostname in _LOOPBACK)
    if parts.scheme != "https" and not plain:
        raise BadTokenKeys("JWT_JWKS_URL begins with https:// but on this machine or in the demo")
    query = f"?{parts.query}" if parts.query else ""
    return Source(f"{parts.scheme}://{parts.netloc}", parts.netloc, f"{parts.path or '/'}{query}")


class PublishedKeys:
    """The keys of one issuer, by kid. Processes that verify `start()` it; tests `refresh()`."""

    def __init__(
        self,
        source: Source,
        demands: Demands,
        timers: Timers,
        *,
        on_change: Callable[[], None],
        transport: Transport | None = None,
    ) -> None:
        """`on_change` is called after other keys are in force than before."""
        self._source, self._demands, self._timers = source, demands, timers
        self._on_change = on_change
        self._transport = transport
        self._keys: Mapping[str, RingKey] = MappingProxyType({})
        self._digest = b""
        self._read_at = 0.0
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jwks", daemon=True)

    def get(self, kid: str) -> RingKey | None:
        """Find a key; one that is not there is looked for soon, in the background.

        Raises Problem 503 where no set was read in the last day: nobody can say then whether a
        token is good.
        """
        if not self._is_fresh:
            raise Problem(Reason.UNAVAILABLE, "The keys of the tokens' issuer are not known yet.")
        found = self._keys.get(kid)
        if found is None:
            self._wanted.set()
        return found

    def holds(self, kid: str) -> bool:
        """Whether a key is in force now."""
        return self._is_fresh and kid in self._keys

    @property
    def _is_fresh(self) -> bool:
        return bool(self._keys) and clock.monotonic() - self._read_at <= STALE_SECONDS

    # The loop

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop and wait for it."""
        self._closing.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout=TOTAL_SECONDS + 1)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wanted.clear()
            try:
                pause = self._round()
            except Exception:  # a process loop: keys must go on being read
                logger.exception("the issuer's keys failed a round")
                pause = self._timers.jwks_cooldown
            # A key that is not there wakes us, but nobody can make us ask all the time.
            self._closing.wait(min(pause, self._timers.jwks_cooldown))
            self._wanted.wait(max(0.0, pause - self._timers.jwks_cooldown))

    def _round(self) -> float:
        """Read the set; the seconds until the next time."""
        if self.refresh():
            return self._timers.jwks_refresh
        cooldown = self._timers.jwks_cooldown
        return cooldown if self._is_fresh else cooldown / EAGER

    def refresh(self) -> bool:
        """Read the set once; False where it could not be read, and what was known goes on."""
        try:
            body = self._fetched()
            digest = hashlib.sha256(body).digest()
            if digest != self._digest or not self._keys:
                self._replace(read_set(body, self._demands), digest)
        except NotRead as error:
            logger.warning("the issuer's keys cannot be read", error=str(error))
            return False
        self._read_at = clock.monotonic()
        return True

    def _replace(self, keys: Mapping[str, RingKey], digest: bytes) -> None:
        # Readers ask for the time after the keys: fresh before they are there is not fresh.
        self._read_at = clock.monotonic()
        self._keys, self._digest = MappingProxyType(dict(keys)), digest
        logger.info("the issuer's keys were read", kids=sorted(keys))
        self._on_change()

    def _fetched(self) -> bytes:
        if self._transport is None:
            self._transport = Transport(timers=TransportTimers(connect=CONNECT_SECONDS))
        request = (
            f"GET {self._source.target} HTTP/1.1\r\nHost: {self._source.host}\r\n"
            "Accept: application/json\r\nConnection: close\r\n\r\n"
        )
        try:
            reply = self._transport.connections(self._source.origin).exchange(
                request.encode(),
                method="GET",
                deadline=clock.monotonic() + TOTAL_SECONDS,
                max_bytes=MAX_BYTES,
            )
        except BrokerError as error:
            raise NotRead(str(error)) from error
        # A redirect too: whoever could redirect us could name any keys.
        if reply.status != _OK:
            raise NotRead(f"it answered {reply.status}")
        return reply.body


def read_set(body: bytes, demands: Demands) -> dict[str, RingKey]:
    """Read the keys of a set that can be used. Raises NotRead where there are none.

    The others are left out and logged; a kid that stands twice is nobody's.
    """
    found: dict[str, RingKey] = {}
    doubled: set[str] = set()
    for member in _members(body):
        try:
            key = published_key(member, demands)
        except BadTokenKeys as error:
            logger.warning("a published key is not used", why=str(error))
            continue
        doubled |= {key.kid} & found.keys()
        found[key.kid] = key
    for kid in doubled:
        logger.warning("a published key is not used", why=f"token key {kid!r} stands twice")
        del found[kid]
    if not found:
        raise NotRead("it has no key that can be used")
    return found


def _members(body: bytes) -> list[Mapping[str, Any]]:
    try:
        members = jsontext.read_object(body).get("keys")
    except jsontext.Unreadable as error:
        raise NotRead(f"it is no key set: {error}") from error
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise NotRead(f"it has no list of at most {MAX_KEYS} keys")
    return [member for member in members if isinstance(member, dict)]
