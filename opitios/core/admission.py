"""Who is let in, and how often: the limits of R23, shedding, and the headers that tell of both.

Takes values, never rooms: who asks for what is an `Asker`. Limits are counted by `permits`; reads
are shed first and cancels never (design.md §6). docs/limits.md tells an operator what holds.
"""

import math
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import structlog
from pydantic import ValidationError

from opitios.core import clock
from opitios.core.bus import get_bus, namespace
from opitios.core.config import InboundLimits, get_config, read_config, settings_age
from opitios.core.errors import Problem, Reason
from opitios.core.permits import Bucket, Charge, Limit, Permits, RedisStore

logger = structlog.get_logger("app")

# How often permits are settled with Redis: design.md §6, 100 ms. Seconds.
SETTLE_SECONDS = 0.1
# How often the files of settings are looked at. Seconds.
SETTINGS_SECONDS = 1.0

# reliability.md §2.2: what has waited longer is answered 503; an order may wait a little more.
READ_PATIENCE = 0.25
ORDER_PATIENCE = 1.0
# So many of a process's threads may wait for a broker to read something. Bodies may hold a quarter
# (bodies.py), verdicts another (trading/waiting.py): one is left for cancels, whatever happens.
READ_SHARE = 0.45
# As nginx and others write it: `t=1764600000.123`, epoch seconds.
_REQUEST_START = re.compile(r"(?:t=)?(\d{1,12}\.\d{1,6})")
# A clock that is off by so much tells nothing of a queue. Seconds.
_LONGEST_QUEUE = 60.0


class Lane(StrEnum):
    """What a request is for: what limits it, and what it gives way to."""

    READ = "read"
    # Reads too, and answered from memory: they never wait for Redis.
    MARKET_DATA = "market_data"
    ORDER = "order"
    CANCEL = "cancel"
    # Halts, and what else an operator does.
    CONTROL = "control"

    @property
    def is_read(self) -> bool:
        """Whether it is shed first, and divided among processes without Redis."""
        return self is Lane.READ or self is Lane.MARKET_DATA


# Seconds at the gateway's door after which a request is shed; who is not named here never is.
_PATIENCE = {
    Lane.READ: READ_PATIENCE,
    Lane.MARKET_DATA: READ_PATIENCE,
    Lane.ORDER: ORDER_PATIENCE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A request as the limits see it.

    endpoint: quotes, orders or positions, None for any other. per_minute: what its token says of
    itself. cost: how many it counts for, the items of a batch.
    """

    subject: str
    lane: Lane
    account_id: str | None = None
    endpoint: str | None = None
    per_minute: int | None = None
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Allowance:
    """The tightest limit a request met, for its headers.

    full_in: seconds until all of it is there again. refused_for: seconds until the request may be
    made again, None where it was let in.
    """

    limit: Limit
    left: int
    full_in: float
    refused_for: float | None = None


class Rules:
    """Which limits there are, made from settings. Pure."""

    def __init__(self, told: InboundLimits) -> None:
        self.all = _limit("global", "global", told.requests_per_second, 1)
        self.account = _limit("account", "account", told.account_per_second, 1)
        self.subject = _limit("subject", "subject", told.subject_per_minute, 60)
        self.orders = _limit("subject-orders", "subject", told.subject_orders_per_minute, 60)
        self.market_data = _limit(
            "subject-market-data", "subject", told.subject_market_data_per_second, 1
        )
        self.cancels = _limit("cancels", "subject", told.cancels_per_second, 1)
        self.controls = _limit("controls", "subject", told.controls_per_second, 1)
        self.endpoints = {
            "quotes": _limit("endpoint-quotes", "endpoint", told.quotes_per_minute, 60),
            "orders": _limit("endpoint-orders", "endpoint", told.orders_per_minute, 60),
            "positions": _limit("endpoint-positions", "endpoint", told.positions_per_minute, 60),
        }

    def of(self, asker: Asker) -> Iterator[tuple[Limit | None, str]]:
        """Name the limits of a request, each with whose it is; None is no limit."""
        subject = asker.subject
        if asker.lane is Lane.CANCEL:
            yield self.cancels, f"{subject} {asker.account_id}"
        elif asker.lane is Lane.CONTROL:
            yield self.controls, subject
        else:
            yield self.all, ""
            yield from self._of_account(asker)
            if asker.lane is Lane.MARKET_DATA:
                yield self.market_data, subject
            if asker.endpoint is not None:
                yield self.endpoints[asker.endpoint], subject
            if asker.per_minute is not None:
                yield token_limit(asker.per_minute), subject

    def of_subject(self, subject: str, per_minute: int | None) -> list[tuple[Limit, str]]:
        """Name every limit of a subject that is not one of an account."""
        token = None if per_minute is None else token_limit(per_minute)
        own = (self.market_data, *self.endpoints.values(), token, self.controls)
        all_of = [(self.all, ""), (self.subject, f"{subject} "), *((each, subject) for each in own)]
        return [(limit, key) for limit, key in all_of if limit is not None]

    def of_account(self, subject: str, account_id: str) -> list[tuple[Limit, str]]:
        """Name every limit of a subject in an account."""
        whose = f"{subject} {account_id}"
        own = (self.subject, self.orders, self.cancels)
        all_of = [(self.account, account_id), *((each, whose) for each in own)]
        return [(limit, key) for limit, key in all_of if limit is not None]

    def _of_account(self, asker: Asker) -> Iterator[tuple[Limit | None, str]]:
        if asker.account_id is not None:
            yield self.account, asker.account_id
        if self.subject is None and self.orders is None:
            return
        whose = f"{asker.subject} {asker.account_id or ''}"
        yield self.subject, whose
        if asker.lane is Lane.ORDER:
            yield self.orders, whose


def _limit(name: str, level: str, quota: int | None, window: float) -> Limit | None:
    return None if quota is None else Limit(name, level, quota, window)


@lru_cache(maxsize=1024)
def token_limit(per_minute: int) -> Limit:
    """The limit that a token brings: `rate_limits.requests_per_minute`."""
    return Limit("token", "token", per_minute, 60)


class Threads:
    """The threads of this process that wait for a broker to read something: never all of them.

    Who finds no room waits a moment for it; where those inside stand still, not even that.
    """

    def __init__(self, threads: int) -> None:
        self.most = max(1, int(threads * READ_SHARE))
        # By thread: since when.
        self._inside: dict[int, float] = {}
        self._changed = threading.Condition()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let this thread wait for a broker's answer. Raises Problem 503 where too many do."""
        me = threading.get_ident()
        if me in self._inside:
            yield
            return
        self._enter(me)
        try:
            yield
        finally:
            with self._changed:
                del self._inside[me]
                self._changed.notify()

    def _enter(self, me: int) -> None:
        with self._changed:
            if len(self._inside) >= self.most and not self._wait_for_room():
                raise overloaded("Too many reads wait for the broker.")
            self._inside[me] = clock.monotonic()

    def _wait_for_room(self) -> bool:
        if self._stand_still():
            return False
        return self._changed.wait_for(lambda: len(self._inside) < self.most, READ_PATIENCE)

    def _stand_still(self) -> bool:
        since = clock.monotonic() - READ_PATIENCE
        return sum(began < since for began in self._inside.values()) * 2 > len(self._inside)

    @property
    def are_short(self) -> bool:
        """Whether half of the room is taken by reads that do not move."""
        if len(self._inside) * 2 < self.most:
            return False
        with self._changed:
            return self._stand_still()


class Admission:
    """The inbound limits of one process. `start()` it; whoever asks first does."""

    def __init__(self, permits: Permits, limits: InboundLimits, threads: Threads) -> None:
        self.permits = permits
        self._threads = threads
        self.rules = Rules(limits)
        self._limits = limits
        self._age = settings_age()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="limits", daemon=True)

    # A request

    def admit(self, asker: Asker) -> Allowance:
        """Take a request's permits, or tell how long it has to wait. Raises nothing."""
        charges = [
            (self.permits.bucket(limit, key), asker.cost)
            for limit, key in self.rules.of(asker)
            if limit is not None
        ]
        refused = self.permits.take(
            charges, divided=asker.lane.is_read, may_wait=asker.lane is not Lane.MARKET_DATA
        )
        now = self.permits.now()
        if refused is not None:
            return _allowance(refused.bucket, now, refused.seconds)
        return _allowance(_tightest(charges, now), now) if charges else UNLIMITED

    def shed(self, asker: Asker, *, waited: float, low_priority: bool) -> Problem | None:
        """Why a request is not begun now, so that cancels get through; None if it is.

        waited: seconds since it came to the gateway's door. Accounts of low priority are shed at
        half of what others are.
        """
        patience = _PATIENCE.get(asker.lane, math.inf) / (2 if low_priority else 1)
        crowded = low_priority and asker.lane.is_read and self._threads.are_short
        if waited <= patience and not crowded:
            return None
        return overloaded("The gateway has more to do than it can in time.", asker.account_id)

    def standing(self, limits: Sequence[tuple[Limit, str]]) -> list[Allowance]:
        """How these limits stand now, for all processes where Redis answers."""
        found = [self.permits.bucket(limit, key) for limit, key in limits]
        self.permits.know(found)
        now = self.permits.now()
        return [_allowance(bucket, now) for bucket in found]

    def told_of_nothing(self) -> Allowance:
        """What an answer tells that no limit was asked for: the limit of all."""
        limit = self.rules.all
        if limit is None:
            return UNLIMITED
        return _allowance(self.permits.bucket(limit, ""), self.permits.now())

    # The loop

    def start(self) -> None:
        """Begin to settle with Redis and to look at the settings."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop and wait for it."""
        self._closing.set()
        self._thread.join(timeout=3)

    def _run(self) -> None:
        looks_at = 0.0
        while not self._closing.wait(SETTLE_SECONDS):
            try:
                self.permits.settle()
                if clock.monotonic() >= looks_at:
                    looks_at = clock.monotonic() + SETTINGS_SECONDS
                    self.reload()
            except Exception:  # nobody starts it again: each process would have its own limits
                logger.exception("the limits failed a round")

    def reload(self) -> bool:
        """Take changed limits over; True if they changed. Wrong ones change nothing."""
        age = settings_age()
        if age == self._age:
            return False
        self._age = age
        try:
            limits = read_config().limits
        except ValidationError as error:
            logger.error("the settings are wrong: the limits stay", errors=error.error_count())  # noqa: TRY400 - their values may be secrets
            return False
        if limits == self._limits:
            return False
        self._limits, self.rules = limits, Rules(limits)
        logger.info("limits changed")
        return True


UNLIMITED = Allowance(Limit("none", "global", 1_000_000, 1), 1_000_000, 0.0)


def _tightest(charges: list[Charge], now: float) -> Bucket:
    if len(charges) == 1:
        return charges[0][0]
    return max(
        (bucket for bucket, _ in charges), key=lambda each: each.ahead(now) / each.limit.span
    )


def _allowance(bucket: Bucket, now: float, refused_for: float | None = None) -> Allowance:
    left = bucket.left(now)
    return Allowance(bucket.limit, left, bucket.ahead(now), refused_for)


def refusal(allowance: Allowance, account_id: str | None) -> Problem:
    """Make the 429 of a limit."""
    limit = allowance.limit
    return Problem(
        Reason.TOO_MANY_REQUESTS,
        f"The limit `{limit.name}` is {limit.quota} in {limit.window:g} s.",
        retry_after_seconds=max(1, math.ceil(allowance.refused_for or 1)),
        account_id=account_id,
    )


def overloaded(detail: str, account_id: str | None = None, *, seconds: float = 1.0) -> Problem:
    """Make the 503 of what is shed; the queue of a moment is gone in a second."""
    return Problem(Reason.OVERLOADED, detail, retry_after_seconds=seconds, account_id=account_id)


def seconds_waited(request_start: str | None) -> float:
    """How long a request stood in line, by the time a proxy wrote into `X-Request-Start`.

    0.0 where there is none, or none that can be believed: who invents one sheds but itself.
    """
    found = None if request_start is None else _REQUEST_START.fullmatch(request_start)
    if found is None:
        return 0.0
    waited = clock.now().timestamp() - float(found[1])
    return waited if 0.0 < waited < _LONGEST_QUEUE else 0.0


@lru_cache(maxsize=256)
def _policy(limit: Limit) -> tuple[str, str, str]:
    name = f'"{limit.name}"'
    return name, f"{name};q={limit.quota};w={limit.window:g}", str(limit.quota)


def headers_of(allowance: Allowance) -> list[tuple[str, str]]:
    """Tell of a limit: the IETF's draft (RateLimit header fields for HTTP), and the X- ones.

    `X-RateLimit-Reset` is in epoch seconds, as Alpaca's.
    """
    name, policy, quota = _policy(allowance.limit)
    left, full_in = str(allowance.left), allowance.full_in
    return [
        ("RateLimit-Policy", policy),
        ("RateLimit", f"{name};r={left};t={math.ceil(full_in)}"),
        ("X-RateLimit-Limit", quota),
        ("X-RateLimit-Remaining", left),
        ("X-RateLimit-Reset", str(math.ceil(clock.now().timestamp() + full_in))),
    ]


@lru_cache(maxsize=1)
def get_threads() -> Threads:
    """The threads of this process."""
    return Threads(get_config().web_threads)


@lru_cache(maxsize=1)
def get_admission() -> Admission:
    """The admission of this process, running."""
    config = get_config()
    store = RedisStore(config.redis_url.get_secret_value(), namespace=namespace())
    permits = Permits(store, on_lost=get_bus().rest)
    admission = Admission(permits, config.limits, get_threads())
    admission.start()
    return admission
