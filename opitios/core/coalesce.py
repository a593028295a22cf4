"""One call for everyone who asks the same at the same time, and its answer kept for a moment."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import TTLCache

from opitios.core import clock
from opitios.core.admission import get_threads

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """An answer and when it came, in monotonic seconds."""

    value: T
    at: float

    @property
    def age_ms(self) -> int:
        """How old the answer is now."""
        return int((clock.monotonic() - self.at) * 1000)


class Coalesced(Generic[T]):
    """A bounded cache in which a missing key is loaded once, however many threads ask for it.

    A failure is told to everybody who waited for it and is not kept.
    """

    def __init__(self, *, size: int, keep_seconds: float) -> None:
        self._kept: TTLCache[str, Kept[T]] = TTLCache(size, keep_seconds, timer=clock.monotonic)
        self._loading: dict[str, Future[Kept[T]]] = {}
        self._lock = threading.Lock()

    def get(self, key: str, load: Callable[[], T], *, wait_seconds: float) -> Kept[T]:
        """Return the kept answer, or load it; a thread that finds it loading waits for that.

        Raises what `load` raised, TimeoutError where somebody else's load takes too long, and
        Problem 503 where too many threads wait for loads.
        """
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        with get_threads().waiting():
            return self._load_once(key, load, wait_seconds)

    def _load_once(self, key: str, load: Callable[[], T], wait_seconds: float) -> Kept[T]:
        mine: Future[Kept[T]] = Future()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                return kept
            loading = self._loading.setdefault(key, mine)
        if loading is not mine:
            return loading.result(timeout=wait_seconds)
        return self._load(key, load, mine)

    def _load(self, key: str, load: Callable[[], T], mine: "Future[Kept[T]]") -> Kept[T]:
        try:
            kept = Kept(load(), clock.monotonic())
        except BaseException as error:
            self._done(key, None)
            mine.set_exception(error)
            raise
        self._done(key, kept)
        mine.set_result(kept)
        return kept

    def _done(self, key: str, kept: Kept[T] | None) -> None:
        with self._lock:
            self._loading.pop(key, None)
            if kept is not None:
                self._kept[key] = kept
