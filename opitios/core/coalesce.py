"""One call for everyone who asks the same at the same time, and its answer kept for a moment."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from cachetools import TLRUCache

from opitios.core import clock
from opitios.core.admission import get_threads

T = TypeVar("T")

# Loads that nobody waits for to their end, under way at one time in a process.
LOADS_APART = 16


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """An answer and when it came, in monotonic seconds."""

    value: T
    at: float

    @property
    def age_ms(self) -> int:
        """How old the answer is now."""
        return int((clock.monotonic() - self.at) * 1000)


class Shelf(Generic[T]):
    """Answers by key, bounded, each for its time. Safe to use from any thread."""

    def __init__(
        self,
        *,
        size: int,
        keep_seconds: float | Callable[[str], float],
        weigh: Callable[[T], int] | None = None,
    ) -> None:
        """`keep_seconds` may depend on the key; `weigh` makes `size` a sum of weights."""
        keep = keep_seconds if callable(keep_seconds) else lambda _key: keep_seconds
        self._kept: TLRUCache[str, Kept[T]] = TLRUCache(
            size,
            ttu=lambda key, kept, _now: kept.at + keep(key),
            timer=clock.monotonic,
            getsizeof=(lambda kept: weigh(kept.value)) if weigh else None,
        )
        self._largest = size
        self._lock = threading.Lock()

    def find(self, key: str) -> Kept[T] | None:
        """What is kept of a key, or None."""
        with self._lock:
            found: Kept[T] | None = self._kept.get(key)
            return found

    def held(self) -> list[str]:
        """List the keys of what is kept, in no order."""
        with self._lock:
            return list(self._kept)

    def put(self, answers: Mapping[str, Kept[T]]) -> None:
        """Keep these; what is heavier than the whole shelf is not kept."""
        with self._lock:
            for key, kept in answers.items():
                if self._kept.getsizeof(kept) <= self._largest:
                    self._kept[key] = kept


class _Loading(Future[Kept[T]]):
    """One key's load under way, and since when."""

    def __init__(self) -> None:
        super().__init__()
        self.began = clock.monotonic()


class Coalesced(Generic[T]):
    """A shelf in which a missing key is loaded once, however many threads ask for it.

    A failure is told to everybody who waited for it and is not kept.
    """

    def __init__(
        self,
        *,
        size: int,
        keep_seconds: float | Callable[[str], float],
        weigh: Callable[[T], int] | None = None,
    ) -> None:
        """See Shelf."""
        self._shelf: Shelf[T] = Shelf(size=size, keep_seconds=keep_seconds, weigh=weigh)
        self._loading: dict[str, _Loading[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: str, load: Callable[[], T], *, wait_seconds: float) -> Kept[T]:
        """Return the kept answer, or load it; a thread that finds it loading waits for that.

        Raises what `load` raised, TimeoutError where somebody else's load takes too long, and
        Problem 503 where too many threads wait for loads.
        """
        kept = self.kept(key)
        if kept is not None:
            return kept
        loaded = self.get_many(
            [key], lambda _: {key: Kept(load(), clock.monotonic())}, wait_seconds=wait_seconds
        )
        return loaded[key]

    def kept(self, key: str) -> Kept[T] | None:
        """What is kept of a key, or None."""
        return self._shelf.find(key)

    def get_many(
        self,
        keys: Sequence[str],
        load: Callable[[Sequence[str]], Mapping[str, Kept[T]]],
        *,
        wait_seconds: float,
    ) -> dict[str, Kept[T]]:
        """Return an answer for each key; those that nobody is loading are loaded in one call.

        `load` answers every key it is given. Raises as `get` does.
        """
        kept = self._kept_of(keys)
        if len(kept) == len(set(keys)):
            return kept
        with get_threads().waiting():
            found, others, mine = self._sorted_out(keys)
            if mine:
                found |= self._load(mine, load)
            for key, loading in others.items():
                found[key] = loading.result(timeout=wait_seconds)
        return found

    def get_soon(
        self,
        keys: Sequence[str],
        load: Callable[[Sequence[str]], Mapping[str, Kept[T]]],
        *,
        patience: float,
    ) -> dict[str, Kept[T]]:
        """As `get_many`, for who has older answers to show: waits a moment, never for a slow load.

        What is missing is loaded on a thread apart, whoever still waits for it. Raises TimeoutError
        where a load has been under way for `patience` seconds, at once if it has been already, and
        what `load` raised.
        """
        kept = self._kept_of(keys)
        if len(kept) == len(set(keys)):
            return kept
        found, others, mine = self._sorted_out(keys)
        if mine:
            loads_apart().submit(self._load, mine, load)
        for key, loading in (others | mine).items():
            left = loading.began + patience - clock.monotonic()
            found[key] = loading.result(timeout=max(0.0, left))
        return found

    def keep(self, answers: Mapping[str, Kept[T]]) -> None:
        """Keep answers that were loaded elsewhere."""
        self._shelf.put(answers)

    def _kept_of(self, keys: Sequence[str]) -> dict[str, Kept[T]]:
        found = ((key, self._shelf.find(key)) for key in keys)
        return {key: kept for key, kept in found if kept is not None}

    def _sorted_out(
        self, keys: Sequence[str]
    ) -> "tuple[dict[str, Kept[T]], dict[str, _Loading[T]], dict[str, _Loading[T]]]":
        """Split keys into kept ones, those that others load, and ours to load."""
        found: dict[str, Kept[T]] = {}
        others: dict[str, _Loading[T]] = {}
        mine: dict[str, _Loading[T]] = {}
        with self._lock:
            for key in keys:
                kept = self._shelf.find(key)
                if kept is not None:
                    found[key] = kept
                elif key in self._loading:
                    others[key] = self._loading[key]
                else:
                    mine[key] = self._loading[key] = _Loading()
        return found, others, mine

    def _load(
        self,
        mine: "Mapping[str, _Loading[T]]",
        load: Callable[[Sequence[str]], Mapping[str, Kept[T]]],
    ) -> dict[str, Kept[T]]:
        try:
            loaded = load(list(mine))
            answers = {key: loaded[key] for key in mine}
        except BaseException as error:  # told to whoever waits, whatever it is; then it goes on
            self._done(mine, {})
            for loading in mine.values():
                loading.set_exception(error)
            raise
        self._done(mine, loaded)
        for key, loading in mine.items():
            loading.set_result(answers[key])
        return answers

    def _done(self, mine: "Mapping[str, _Loading[T]]", loaded: Mapping[str, Kept[T]]) -> None:
        # Kept before it counts as loaded: nobody finds it neither kept nor on its way.
        self._shelf.put(loaded)
        with self._lock:
            for key in mine:
                self._loading.pop(key, None)


@lru_cache(maxsize=1)
def loads_apart() -> ThreadPoolExecutor:
    """The threads of this process on which loads go on that nobody waits for."""
    return ThreadPoolExecutor(LOADS_APART, thread_name_prefix="loads")
