"""The warm connections of a process: one TLS context and one stack of open sockets per broker.

alpaca-py would open a session, a trust store and a socket for each of a thousand accounts (716 MiB
and 24 s of CPU); the keys travel in each request, so all accounts share the same few connections.
What its sessions do besides is left out: cookies, netrc, redirects, retries, content encodings.
"""

import http.client
import ssl
import time
import urllib.request
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection

from opitios.broker.alpaca.exchange import exchange
from opitios.broker.alpaca.outcomes import Reply
from opitios.broker.errors import NotSent

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# Everything that connecting may raise: urllib3's own, DNS, TCP and TLS, a proxy's answer to
# CONNECT, and names that cannot be encoded.
_NO_CONNECTION = (urllib3.exceptions.HTTPError, OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True, slots=True)
class TransportTimers:
    """Seconds (reliability.md §2.2). `submit` and `other` bound a whole call, wait for a slot
    included; `connect` bounds TCP and TLS (each address), not the resolver.

    A connection unused for longer than `idle` is not trusted with an order: servers and balancers
    close idle ones (60 to 75 s by their defaults), and a request that crosses the close has an
    unknown outcome.
    """

    connect: float = 2.0
    submit: float = 8.0
    other: float = 5.0
    idle: float = 30.0


class _Opener(Protocol):
    """The part of urllib3's connection pool that makes connections."""

    proxy: Any

    def _new_conn(self) -> Any: ...

    def _prepare_proxy(self, conn: Any) -> None: ...


def tls_context() -> ssl.SSLContext:
    """Build a client context that trusts certifi's authorities. It costs 20 ms: share it."""
    return ssl.create_default_context(cafile=certifi.where())


class Transport:
    """All connections of this process to its brokers; safe to use from any thread.

    Build it after forking. It bounds nothing: the guard's bulkheads count the calls in flight, and
    there is never more than one connection to each.
    """

    def __init__(
        self,
        *,
        timers: TransportTimers | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.timers = timers or TransportTimers()
        self.ssl_context = ssl_context or tls_context()
        self._origins: dict[str, WarmConnections] = {}

    def connections(self, origin: str) -> "WarmConnections":
        """Return the stack of an origin (`https://host`), the same one for every caller."""
        known = self._origins.get(origin)
        if known is not None:
            return known
        made = WarmConnections(_opener(origin, self.ssl_context), self.timers)
        return self._origins.setdefault(origin, made)

    @property
    def idle(self) -> int:
        """How many open connections wait for a call."""
        return sum(stack.idle for stack in list(self._origins.values()))

    def close(self) -> None:
        """Close what is idle; connections in use are closed by their callers."""
        for stack in list(self._origins.values()):
            stack.close()


class WarmConnections:
    """The open connections of one origin; the one used last is taken first."""

    def __init__(self, opener: _Opener, timers: TransportTimers) -> None:
        self._opener = opener
        self._timers = timers
        self._idle: deque[tuple[float, HTTPConnection]] = deque()

    def exchange(self, request: bytes, *, method: str, deadline: float, max_bytes: int) -> Reply:
        """Send the request once and return the answer.

        Raises NotSent as long as no byte has left, OutcomeUnknown afterwards.
        """
        connection = self._take() or self._open(deadline)
        reusable = False
        try:
            reply, reusable = exchange(
                connection.sock, request, method=method, deadline=deadline, max_bytes=max_bytes
            )
        finally:
            if reusable:
                self._give_back(connection)
            else:
                connection.close()
        return reply

    @property
    def idle(self) -> int:
        """How many open connections wait for a call."""
        return len(self._idle)

    def close(self) -> None:
        """Close the idle connections."""
        self._close_unused_since(float("inf"))

    def _take(self) -> HTTPConnection | None:
        """Return an open connection that is young enough and that the server has not closed."""
        youngest_refused = time.monotonic() - self._timers.idle
        with suppress(IndexError):
            while True:
                used_at, connection = self._idle.pop()
                # Readable before we asked anything: closed by the server, or bytes nobody wants.
                if used_at >= youngest_refused and connection.is_connected:
                    return connection
                connection.close()
        return None

    def _open(self, deadline: float) -> HTTPConnection:
        connection: HTTPConnection = self._opener._new_conn()
        connection.timeout = min(self._timers.connect, max(0.001, deadline - time.monotonic()))
        try:
            if self._opener.proxy is None:
                connection.connect()
            else:
                self._opener._prepare_proxy(connection)
        except _NO_CONNECTION as error:
            connection.close()
            kind = type(error).__name__
            raise NotSent(message=f"no connection ({kind})", reason="no-connection") from error
        if time.monotonic() >= deadline:
            connection.close()
            raise NotSent(message="the deadline passed while connecting", reason="deadline")
        return connection

    def _give_back(self, connection: HTTPConnection) -> None:
        now = time.monotonic()
        self._idle.append((now, connection))
        self._close_unused_since(now - self._timers.idle)

    def _close_unused_since(self, instant: float) -> None:
        """Close the oldest connections; after a burst they would stay open for ever."""
        with suppress(IndexError):
            while self._idle[0][0] < instant:
                used_at, connection = self._idle.popleft()
                if used_at < instant:
                    connection.close()
                else:
                    self._idle.append((used_at, connection))


def _opener(origin: str, ssl_context: ssl.SSLContext) -> _Opener:
    """Return what opens connections to an origin, through `HTTPS_PROXY` where one is set.

    Plain http is for the sandbox on this machine, which no proxy could reach.
    """
    tls: dict[str, Any] = {"ssl_context": ssl_context, "cert_reqs": "CERT_REQUIRED"}
    proxy = _proxy_for(origin)
    if proxy is not None:
        return urllib3.ProxyManager(proxy, **tls).connection_from_url(origin)
    if urlsplit(origin).scheme == "https":
        return urllib3.PoolManager(**tls).connection_from_url(origin)
    return urllib3.PoolManager().connection_from_url(origin)


def _proxy_for(origin: str) -> str | None:
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if parts.scheme != "https" or host in _LOOPBACK or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get("https") or proxies.get("all")
