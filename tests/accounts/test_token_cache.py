"""Verified tokens are remembered until they expire, and only those."""

import threading
import time

import pytest
import time_machine

from accounts import tokens
from accounts.tokens import EXPIRED, Verifier
from tests.accounts.issuer import claims, hs256, refused, token

NOW = int(time.time())


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Verifier:
    """A verifier whose cache holds two tokens."""
    monkeypatch.setattr(tokens, "CACHED_TOKENS", 2)
    return Verifier([hs256()])


def test_a_verified_token_is_not_verified_again(ring: Verifier) -> None:
    good = token()

    assert ring.principal(good) is ring.principal(good)


def test_a_remembered_token_still_expires(ring: Verifier) -> None:
    short = token(claims(iat=NOW, exp=NOW + 60))

    with time_machine.travel(NOW, tick=False) as clock:
        ring.principal(short)
        clock.shift(59)
        ring.principal(short)
        clock.shift(1)

        with refused(EXPIRED):
            ring.principal(short)


def test_the_cache_is_bounded(ring: Verifier) -> None:
    made = [token(claims(jti=str(n))) for n in range(5)]
    first = ring.principal(made[0])

    for good in made[1:]:
        ring.principal(good)

    assert len(ring._cache) == 2
    assert ring.principal(made[0]) is not first


def test_the_cache_holds_no_usable_token(ring: Verifier) -> None:
    good = token()

    ring.principal(good)

    assert good not in repr(list(ring._cache.items()))
    assert good.rpartition(".")[2] not in repr(list(ring._cache.items()))


def test_a_refused_token_is_not_remembered(ring: Verifier) -> None:
    with refused():
        ring.principal(token(secret="x" * 40))

    assert len(ring._cache) == 0


def test_threads_share_the_cache(ring: Verifier) -> None:
    made = [token(claims(jti=str(n))) for n in range(8)]
    seen: list[str | None] = []
    barrier = threading.Barrier(4)

    def read() -> None:
        barrier.wait()
        seen.extend(ring.principal(good).jti for good in made * 20)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 4 * 20 * 8
    assert len(ring._cache) <= 2
