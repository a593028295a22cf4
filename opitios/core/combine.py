"""Calls of many threads made as one: what a commit or a round trip costs is shared by all in it."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741 - item
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class _Asked(Generic[I, R]):
    """One caller's item, and what it is woken with: an answer, or a call to make for several."""

    item: I
    woken: threading.Lock = field(default_factory=threading.Lock)
    together: "list[_Asked[I, R]] | None" = None
    answers: list[R] = field(default_factory=list)
    error: BaseException | None = None


class Combined(Generic[I, R]):
    """Makes one call for the items of all threads that asked while earlier calls were under way.

    No thread of its own and no delay: a lone caller calls at once, with its own item alone. The
    others wait; when a call ends, the first of them makes the next one, for all that wait.
    """

    def __init__(
        self,
        call: Callable[[Sequence[I]], Sequence[R]],
        *,
        most: int,
        at_once: int,
        divides: Callable[[BaseException], bool],
    ) -> None:
        """`call` answers items in their order; at most `most` a call, `at_once` calls a time.

        divides: whether a call that failed this way has done nothing, so that each of its callers
        may try alone; else all of them are told of the failure.
        """
        self._call, self._most, self._divides = call, most, divides
        self._idle = at_once
        self._waiting: deque[_Asked[I, R]] = deque()
        self._lock = threading.Lock()

    def __call__(self, item: I) -> R:
        """Have one item called for. Raises what the call raised."""
        mine: _Asked[I, R] = _Asked(item)
        if not self._may_lead(mine):
            # Whoever wakes it releases it, on another thread.
            mine.woken.acquire()
        if mine.together is not None:
            self._lead(mine.together)
        if mine.error is not None:
            raise mine.error
        return mine.answers[0] if mine.answers else self._call([item])[0]

    def _may_lead(self, mine: _Asked[I, R]) -> bool:
        with self._lock:
            if self._idle:
                self._idle -= 1
                mine.together = [mine]
                return True
            mine.woken.acquire()
            self._waiting.append(mine)
            return False

    def _lead(self, together: "list[_Asked[I, R]]") -> None:
        try:
            answers = self._call([each.item for each in together])
            for each, answer in zip(together, answers, strict=True):
                each.answers.append(answer)
        except BaseException as error:  # noqa: BLE001 - raised by every caller
            for each in together:
                each.error = None if len(together) > 1 and self._divides(error) else error
        finally:
            self._hand_on()
            for each in together[1:]:
                each.woken.release()

    def _hand_on(self) -> None:
        with self._lock:
            if not self._waiting:
                self._idle += 1
                return
            count = min(self._most, len(self._waiting))
            together = [self._waiting.popleft() for _ in range(count)]
        together[0].together = together
        together[0].woken.release()
