"""Answers that the processes of a gateway share in Redis, and one asker at a time for each.

Without Redis every process asks for itself: slower, and right (design.md §1).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from opitios.core import clock
from opitios.core.bus import Bus, get_bus
from opitios.core.coalesce import Kept

# What is larger stays with the process that asked (the list of all assets has 15 MB).
MOST_BYTES = 1024 * 1024
# Milliseconds after which an asker counts as dead: no call takes longer (routing.LONGEST_SECONDS).
ASKING_MS = 10_000
# How often it is looked whether another process has its answer.
LOOK_SECONDS = 0.01

# For each key: its value, or 1 where the caller is to ask now, or 0 while somebody else asks.
_LOOK = b"""
local found = {}
for i, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if value then found[i] = value
  elseif redis.call('SET', key .. ':asking', ARGV[1], 'NX', 'PX', ARGV[2]) then found[i] = 1
  else found[i] = 0 end
end
return found
"""
# Of a value: when it came, in milliseconds since 1970.
_STAMP_BYTES = 8

Ask = Callable[[Sequence[str]], Mapping[str, bytes]]


class Shared:
    """The shared answers of one process's gateway. Safe to use from any thread."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def load(
        self, wanted: Sequence[str], ask: Ask, *, keep_seconds: float, wait_seconds: float
    ) -> dict[str, Kept[bytes]]:
        """Take each answer from Redis, or ask for it, or wait until who asks has it.

        `ask` answers every key it is given; it may answer more of them, which are kept as well.
        Raises what `ask` raised, or TimeoutError where another process takes too long.
        """
        until = clock.monotonic() + wait_seconds
        found: dict[str, Kept[bytes]] = {}
        left = list(wanted)
        while left:
            kept, mine = self._look(left)
            found |= kept
            if mine:
                found |= self._ask(mine, ask, keep_seconds)
            left = [key for key in left if key not in found]
            if left and clock.monotonic() > until:
                raise TimeoutError("another process asks for it, and has no answer yet")
            if left:
                _pause()
        return found

    def _look(self, keys: Sequence[str]) -> tuple[dict[str, Kept[bytes]], list[str]]:
        """What is there, and what is ours to ask for: everything, without Redis."""
        names = [self._bus.key(f"market:{key}") for key in keys]
        answers = self._bus.ask(("EVAL", _LOOK, len(names), *names, 1, ASKING_MS))
        if answers is None:
            return {}, list(keys)
        told = dict(zip(keys, answers[0], strict=True))
        kept = {key: _read(value) for key, value in told.items() if isinstance(value, bytes)}
        return kept, [key for key, value in told.items() if value == 1]

    def _ask(self, mine: Sequence[str], ask: Ask, keep_seconds: float) -> dict[str, Kept[bytes]]:
        answers: Mapping[str, bytes] = {}
        try:
            answers = ask(mine)
        finally:
            self._keep(mine, answers, keep_seconds)
        now = clock.monotonic()
        return {key: Kept(value, now) for key, value in answers.items()}

    def _keep(self, mine: Sequence[str], answers: Mapping[str, bytes], keep_seconds: float) -> None:
        """Share what came, and let others ask for what did not."""
        stamp = _now_ms().to_bytes(_STAMP_BYTES)
        life = max(1, int(keep_seconds * 1000))
        kept = [
            ("SET", self._bus.key(f"market:{key}"), stamp + value, "PX", life)
            for key, value in answers.items()
            if len(value) <= MOST_BYTES
        ]
        asking = [self._bus.key(f"market:{key}:asking") for key in mine]
        self._bus.ask(*kept, ("DEL", *asking))


def _read(value: bytes) -> Kept[bytes]:
    age = max(0, _now_ms() - int.from_bytes(value[:_STAMP_BYTES]))
    return Kept(value[_STAMP_BYTES:], clock.monotonic() - age / 1000)


def _now_ms() -> int:
    return int(clock.now().timestamp() * 1000)


def _pause() -> None:
    threading.Event().wait(LOOK_SECONDS)


@lru_cache(maxsize=1)
def get_shared() -> Shared:
    """The shared answers of this process."""
    return Shared(get_bus())
