"""The one Redis client of a process: hints between processes, never the truth (design.md §1).

Losing Redis makes pushes slower and loses nothing: a call takes at most 200 ms, and after a failure
none is tried for five seconds, so that no thread piles up behind a black hole.
"""

import hashlib
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson
import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from opitios.core import clock
from opitios.core.config import get_config
from opitios.core.hints import Hints

logger = structlog.get_logger("app")

Command = tuple[str | bytes | int, ...]

# reliability.md §2.2: Redis 200 ms, no retry, open for 5 s after a failure.
CALL_SECONDS = 0.2
OPEN_SECONDS = 5.0

# A listener that heard nothing for so long asks whether Redis is there; and has lost it where that,
# too, is not answered: a dead host, or a connection that somebody on the way forgot, says nothing.
PING_SECONDS = 1.0
SILENT_SECONDS = 3.0


# A listener writes nothing: that a host is gone without a word, only the kernel finds out. Asked
# after so many seconds of silence, again each second, three times.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 2, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}


class Topic(StrEnum):
    """What processes tell each other. What is no price is repeated by a poll."""

    WAKE = "wake"  # {"account_id", "order_id"}: one to send, or to cancel
    HALT = "halt"  # {"halt_id"}: one was set: deny what waits, ask for cancels
    ORDERS = "orders"  # one stream message of api.md §6, ready to be shown
    ACCESS = "access"  # {}: the lists of accounts/gate.py changed
    TICKS = "ticks"  # prices as they come, in batches (marketdata/ticks.py); nothing repeats them
    MARKET = "market"  # how a channel of the live feed is; each second and on every change
    DEMAND = "demand"  # {}: what somebody wants of the live feed changed (marketdata/demand.py)


def client(url: str, *, seconds: float = CALL_SECONDS) -> "redis.Redis":
    """Make a client that gives up after `seconds` and never retries by itself."""
    return redis.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        socket_keepalive=True,
        socket_keepalive_options=_KEEPALIVE,
    )


class Bus:
    """Publishes hints and listens for them; both go on by themselves when Redis returns."""

    def __init__(self, url: str, *, namespace: str = "") -> None:
        self._url = url
        self._namespace = namespace
        self._redis = client(url)
        self._hints = Hints(self._redis.connection_pool)
        self._channels = {topic: self.channel(topic).encode() for topic in Topic}
        self._closed_until = 0.0

    def publish(self, *hints: tuple[Topic, Mapping[str, Any]]) -> bool:
        """Send hints after their commit, in one round trip.

        False when Redis is away: the polls will find what they were about.
        """
        sent = self.ask(
            *(("PUBLISH", self.channel(topic), orjson.dumps(message)) for topic, message in hints)
        )
        return sent is not None

    def tell(self, *hints: tuple[Topic, Mapping[str, Any]]) -> None:
        """Send hints after their commit, and wait for no answer: for what happens all the time.

        That Redis is away is noticed by one of the next.
        """
        if not self.is_up:
            return
        try:
            for topic, message in hints:
                self._hints.say(self._channels[topic], orjson.dumps(message))
            self._hints.write()
        except redis.RedisError as error:
            self._lost(error)

    def ask(self, *commands: Command) -> list[Any] | None:
        """Send commands in one round trip: their answers, or None while Redis is away."""
        if not self.is_up:
            return None
        try:
            return self._send(commands)
        except redis.RedisError as error:
            self._lost(error)
            return None

    def _lost(self, error: redis.RedisError) -> None:
        self.rest()
        logger.warning("redis does not answer", error=type(error).__name__)

    def rest(self) -> None:
        """Ask nothing for a while: Redis did not answer, here or to somebody else.

        A request that waited for it in vain does not wait for it again (law 6).
        """
        self._closed_until = clock.monotonic() + OPEN_SECONDS

    def key(self, name: str) -> str:
        """Name a key of this gateway."""
        return f"opitios:{self._namespace}:{name}"

    def channel(self, topic: Topic) -> str:
        """Name a topic's channel. Redis knows no databases here: gateways share one server."""
        return self.key(topic)

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        # By hand what a pipeline does, at half its cost: this stands in the way of every order.
        pool = self._redis.connection_pool
        # redis-py leaves its connections untyped.
        connection: Any = pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            return [connection.read_response() for _ in commands]
        except redis.RedisError:
            # An answer may still be under way: nobody else is to read it as theirs.
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    @property
    def is_up(self) -> bool:
        """Whether the last hint went out (true until one failed)."""
        return clock.monotonic() >= self._closed_until

    def listen(self, topic: Topic, handle: Callable[[dict[str, Any]], None]) -> "Listener":
        """Call `handle` for each message of a topic, on a thread of its own, until closed."""
        listener = Listener(self._url, self.channel(topic), handle)
        listener.start()
        return listener


class Listener(threading.Thread):
    """One subscription. Reconnects for ever; what was missed meanwhile is found by polls."""

    def __init__(self, url: str, channel: str, handle: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(name=f"listen-{channel}", daemon=True)
        self._url, self._channel, self._handle = url, channel, handle
        self._closing = threading.Event()
        self.connected = threading.Event()
        # Since when nothing was missed (epoch seconds); None while it does not listen.
        self.since: float | None = None

    def run(self) -> None:
        """Subscribe, read, and after a loss wait a second before subscribing again."""
        while not self._closing.is_set():
            try:
                self._read()
            except redis.RedisError as error:
                logger.warning(
                    "listener lost redis", channel=self._channel, error=type(error).__name__
                )
            self.connected.clear()
            self.since = None
            self._closing.wait(1.0)

    def _read(self) -> None:
        # A subscription is silent for long: its reads time out softly, only connecting is bounded.
        # redis-py leaves pubsub() untyped.
        made: Any = client(self._url, seconds=1.0)
        with made.pubsub() as subscription:
            subscription.subscribe(self._channel)
            self.connected.set()
            heard_at = clock.monotonic()
            while not self._closing.is_set():
                message = subscription.get_message(timeout=0.5)
                if message is None:
                    self._ask(subscription, clock.monotonic() - heard_at)
                    continue
                heard_at = clock.monotonic()
                self._take(message)

    def _ask(self, subscription: Any, silent_seconds: float) -> None:
        if silent_seconds > SILENT_SECONDS:
            raise redis.TimeoutError("Redis says nothing")
        if silent_seconds > PING_SECONDS:
            subscription.ping()

    def _take(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "message":
            self._hand_over(message["data"])
        elif message["type"] == "subscribe":
            self.since = clock.now().timestamp()

    def _hand_over(self, data: bytes) -> None:
        try:
            self._handle(orjson.loads(data))
        except Exception:  # one bad hint must not keep the next ones from being heard
            logger.exception("a hint could not be handled", channel=self._channel)

    def close(self) -> None:
        """Stop and wait for the thread."""
        self._closing.set()
        self.join(timeout=3)


def namespace() -> str:
    """Name this gateway among those that share one Redis.

    One gateway is one database: its name and place tell them apart.
    """
    place = get_config().database_url.get_secret_value().rpartition("@")[2]
    return hashlib.sha256(place.encode()).hexdigest()[:12]


@lru_cache(maxsize=1)
def get_bus() -> Bus:
    """The bus of this process."""
    return Bus(get_config().redis_url.get_secret_value(), namespace=namespace())
