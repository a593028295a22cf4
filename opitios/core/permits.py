"""Permits to do something so often: counted in this process, shared with others through Redis.

A bucket is one number, the instant at which it is full again (GCRA). Each process spends from what
it knows is left and settles every tenth of a second, all buckets in one call; a request asks Redis
itself only where its process knows too little, and where it may wait. Without Redis every process
counts for itself. What that means for the limits: docs/limits.md; why no library: ADR 18.
"""

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import redis
import structlog

from opitios.core import clock
from opitios.core.bus import OPEN_SECONDS, client

logger = structlog.get_logger("app")

# What a process knows of a bucket is good for so long; who does not know asks, if it may wait.
KNOWN_SECONDS = 1.0
# What is left divided by this may be spent by all processes together before they tell each other:
# so much, and no more, a limit may be exceeded for a tenth of a second while Redis answers.
UNTOLD_SHARE = 4
# Buckets told in one call: Redis serves nobody else meanwhile.
BUCKETS_A_CALL = 200
# Full buckets are forgotten when there are so many, about 0.3 KB each.
KEPT_BUCKETS = 50_000
# Of a second: what adding many small intervals loses by rounding.
_ROUNDING = 1e-6
_MICRO = 1_000_000

# Decides and counts for all buckets of a request at once, by Redis' own clock, in microseconds.
# ARGV: 1 to take the costs if every bucket has them · 1 to believe what we know, not Redis · then
# for each bucket: its span, what we spent since we last told, how far from full we believe it is,
# what it must have left, what is taken. A bucket that Redis does not know is full, or forgotten.
# Answers the place of the first bucket that refused (0: none), then how far from full each is.
_SETTLE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local take, believe = ARGV[1] == '1', ARGV[2] == '1'
local known = #KEYS > 0 and redis.call('MGET', unpack(KEYS)) or {}
local full, refused = {}, 0
for i = 1, #KEYS do
  local at = 2 + (i - 1) * 5
  local span, spent, ahead = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  full[i] = math.max(tonumber(known[i] or now), now) + spent
  if believe or not known[i] then full[i] = math.max(full[i], now + ahead) end
  if refused == 0 and full[i] - now + tonumber(ARGV[at + 4]) > span then refused = i end
end
local told = {refused}
for i = 1, #KEYS do
  if take and refused == 0 then full[i] = full[i] + tonumber(ARGV[2 + i * 5]) end
  if full[i] > now then
    redis.call('SET', KEYS[i], string.format('%.0f', full[i]),
               'PX', math.ceil((full[i] - now) / 1000))
  end
  told[i + 1] = full[i] - now
end
return told
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many within a window of seconds, earned evenly, a window's worth saved up.

    level: who shares it. A quota of 0 lets nothing pass.
    """

    name: str
    level: str
    quota: int
    window: float
    # Seconds that one costs, and that a full bucket is worth.
    interval: float = field(init=False)
    span: float = field(init=False)

    def __post_init__(self) -> None:
        """Work out what every request needs."""
        object.__setattr__(self, "interval", self.window / max(self.quota, 1))
        object.__setattr__(self, "span", self.quota * self.interval)

    def needed(self, cost: int) -> float:
        """Seconds a bucket must have for so many: what is more than all of it takes it whole."""
        return max(1, min(cost, self.quota)) * self.interval


class Bucket:
    """One limit of one key, as this process knows it. Guarded by its Permits' lock.

    full_at: monotonic. spent: seconds taken since Redis was told. known_at: when Redis answered.
    """

    __slots__ = ("full_at", "key", "known_at", "limit", "spent")

    def __init__(self, limit: Limit, key: str, *, full_at: float = 0.0) -> None:
        self.limit = limit
        self.key = key
        self.full_at = full_at
        self.spent = 0.0
        self.known_at = -math.inf

    def ahead(self, now: float) -> float:
        """Seconds until it is full."""
        return max(0.0, self.full_at - now)

    def left(self, now: float) -> int:
        """How many may go at once."""
        limit = self.limit
        return max(0, int((limit.span - self.ahead(now) + _ROUNDING) / limit.interval))


Charge = tuple[Bucket, int]


@dataclass(frozen=True, slots=True)
class Refused:
    """The bucket that has too little, and the seconds until it has enough."""

    bucket: Bucket
    seconds: float


@dataclass(frozen=True, slots=True)
class _Told:
    """What Redis is told of one bucket, in seconds."""

    bucket: Bucket
    spent: float
    ahead: float
    needed: float = 0.0
    cost: float = 0.0

    def arguments(self) -> tuple[int, int, int, int, int]:
        # The span rounded up, what is taken down: the last permit of a bucket is given out.
        span = math.ceil(self.bucket.limit.span * _MICRO)
        taken = (self.spent, self.ahead, self.needed, self.cost)
        spent, ahead, needed, cost = (int(seconds * _MICRO) for seconds in taken)
        return span, spent, ahead, needed, cost


class Store(Protocol):
    """Where processes share their buckets."""

    def settle(
        self, told: Sequence[_Told], *, take: bool = False, believe: bool = False
    ) -> tuple[int, list[float]]:
        """Tell and be told: the place of the bucket that refused (0: none), and what is known.

        Raises redis.RedisError within 200 ms.
        """


class RedisStore:
    """The buckets in Redis, one key each, gone when it is full."""

    def __init__(self, url: str, *, namespace: str) -> None:
        self._prefix = f"opitios:{namespace}:limit:"
        self._script = client(url).register_script(_SETTLE)

    def settle(
        self, told: Sequence[_Told], *, take: bool = False, believe: bool = False
    ) -> tuple[int, list[float]]:
        """See Store."""
        keys = [self._name(each.bucket) for each in told]
        about = [number for each in told for number in each.arguments()]
        # redis-py leaves scripts untyped.
        said: Any = self._script(keys, [int(take), int(believe), *about])
        return said[0], [ahead / _MICRO for ahead in said[1:]]

    def _name(self, bucket: Bucket) -> str:
        limit = bucket.limit
        # Another quota is another key: the old one's microseconds mean something else.
        return f"{self._prefix}{limit.name}:{limit.quota}/{limit.window:g}:{bucket.key}"


class Permits:
    """The buckets of one process. Safe to use from any thread.

    `settle()` is to be called every tenth of a second, by one thread; nobody else waits for it.
    """

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], float] = clock.monotonic,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_lost` is told when Redis does not answer."""
        self._store = store
        self.now = now
        self._on_lost = on_lost
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._unsettled: set[Bucket] = set()
        self._processes = 1
        # While Redis is away: when it is tried again.
        self._away_until: float | None = None
        self._lock = threading.Lock()

    @property
    def is_shared(self) -> bool:
        """Whether Redis answered the last time."""
        return self._away_until is None

    @property
    def processes(self) -> int:
        """How many processes share the limits."""
        return self._processes

    def share_among(self, processes: int) -> None:
        """Hear how many processes share the limits."""
        self._processes = max(1, processes)

    def bucket(self, limit: Limit, key: str) -> Bucket:
        """Find a bucket; a limit that changed keeps what was used of it."""
        found = self._buckets.get((limit.name, key))
        if found is not None and found.limit is limit:
            return found
        with self._lock:
            found = self._buckets.get((limit.name, key))
            if found is None or found.limit is not limit:
                found = _resized(found, limit, key, self.now())
                self._buckets[limit.name, key] = found
            return found

    def take(self, charges: Sequence[Charge], *, divided: bool, may_wait: bool) -> Refused | None:
        """Take the costs from all buckets, or from none and say which had too little.

        divided: without Redis a process has only its share. may_wait: for Redis, 200 ms at most.
        """
        with self._lock:
            now = self.now()
            times = self._processes if divided and self._away_until is not None else 1
            refused = _refused(charges, now, times)
            if refused is not None:
                return refused
            if not may_wait or not self._knows_too_little(charges, now):
                self._spend(charges, now, times)
                return None
        return self._ask(charges, divided=divided)

    def _knows_too_little(self, charges: Sequence[Charge], now: float) -> bool:
        """Whether others may have taken what this process believes is left.

        All processes together may have spent a quarter of it without telling.
        """
        processes = self._processes
        if processes == 1 or self._away_until is not None:
            return False
        for bucket, cost in charges:
            limit, spent = bucket.limit, bucket.spent
            if now - bucket.known_at > KNOWN_SECONDS:
                return True
            left = limit.span - max(0.0, bucket.full_at - now) + spent
            if (spent + cost * limit.interval) * processes * UNTOLD_SHARE > left:
                return True
        return False

    def _spend(self, charges: Sequence[Charge], now: float, times: int) -> None:
        for bucket, cost in charges:
            seconds = cost * times * bucket.limit.interval
            bucket.full_at = max(bucket.full_at, now) + seconds
            if self._away_until is None:
                bucket.spent += seconds
                self._unsettled.add(bucket)

    def _ask(self, charges: Sequence[Charge], *, divided: bool) -> Refused | None:
        with self._lock:
            now = self.now()
            told = [self._tell(bucket, now, cost) for bucket, cost in charges]
        try:
            place, aheads = self._store.settle(told, take=True)
        except redis.RedisError as error:
            self._lose(error)
            return self.take(charges, divided=divided, may_wait=False)
        with self._lock:
            self._learn(told, aheads, now)
        if place == 0:
            return None
        each, ahead = told[place - 1], aheads[place - 1]
        return Refused(each.bucket, max(0.0, ahead + each.needed - each.bucket.limit.span))

    def settle(self) -> int:
        """Tell Redis what was spent, learn what is left; how many buckets. Never raises."""
        with self._lock:
            now = self.now()
            if self._away_until is not None and now < self._away_until:
                return 0
            # After it was away, or emptied, Redis knows less than we do.
            believe = self._away_until is not None
            due = self._spent_from(now) if believe else list(self._unsettled)
            self._unsettled.clear()
        try:
            self._settle(due, believe=believe)
        except redis.RedisError as error:
            self._lose(error)
            return 0
        self._away_until = None
        self._forget_full()
        return len(due)

    def know(self, buckets: Iterable[Bucket]) -> None:
        """Learn from Redis how these stand now, where it answers."""
        if self._away_until is not None:
            return
        try:
            self._settle(list(buckets), believe=False)
        except redis.RedisError as error:
            self._lose(error)

    def _settle(self, due: list[Bucket], *, believe: bool) -> None:
        # One call at least where Redis was away: it is how its return is noticed.
        for first in range(0, max(len(due), int(believe)), BUCKETS_A_CALL):
            with self._lock:
                now = self.now()
                told = [self._tell(bucket, now) for bucket in due[first : first + BUCKETS_A_CALL]]
            _, aheads = self._store.settle(told, believe=believe)
            with self._lock:
                self._learn(told, aheads, now)

    def _tell(self, bucket: Bucket, now: float, cost: int = 0) -> _Told:
        spent, bucket.spent = bucket.spent, 0.0
        needed = bucket.limit.needed(cost) if cost else 0.0
        return _Told(bucket, spent, bucket.ahead(now), needed, cost * bucket.limit.interval)

    @staticmethod
    def _learn(told: Sequence[_Told], aheads: Sequence[float], told_at: float) -> None:
        for each, ahead in zip(told, aheads, strict=True):
            bucket = each.bucket
            if told_at >= bucket.known_at:
                # Counted from when we told: a slow answer makes no bucket emptier.
                bucket.full_at = told_at + ahead + bucket.spent
                bucket.known_at = told_at

    def _lose(self, error: redis.RedisError) -> None:
        with self._lock:
            self._away_until = self.now() + OPEN_SECONDS
            self._unsettled.clear()
            for bucket in self._buckets.values():
                bucket.spent = 0.0
        self._on_lost()
        logger.warning("limits are counted without redis", error=type(error).__name__)

    def _spent_from(self, now: float) -> list[Bucket]:
        return [bucket for bucket in self._buckets.values() if bucket.full_at > now]

    def _forget_full(self) -> None:
        if len(self._buckets) < KEPT_BUCKETS:
            return
        with self._lock:
            now = self.now()
            kept: Mapping[tuple[str, str], Bucket] = {
                name: bucket
                for name, bucket in self._buckets.items()
                if bucket.full_at > now or bucket in self._unsettled
            }
            self._buckets = dict(kept)


def _resized(old: Bucket | None, limit: Limit, key: str, now: float) -> Bucket:
    if old is None:
        return Bucket(limit, key)
    used = old.ahead(now) / old.limit.interval
    return Bucket(limit, key, full_at=now + min(used * limit.interval, limit.span))


def _refused(charges: Sequence[Charge], now: float, times: int) -> Refused | None:
    worst: Bucket | None = None
    longest = _ROUNDING
    for bucket, cost in charges:
        limit = bucket.limit
        ahead = bucket.full_at - now
        wait = limit.needed(cost * times) - limit.span + (max(ahead, 0.0))
        if wait > longest:
            worst, longest = bucket, wait
    return None if worst is None else Refused(worst, longest)
