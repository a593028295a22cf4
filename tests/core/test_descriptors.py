"""A process has room for a socket an account, or says what to do."""

import resource

import pytest

from opitios.core import descriptors


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of a process, (soft, hard): the last one is in force."""
    told = [(1024, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _what: told[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limit: told.append(limit))
    return told


def test_the_limit_is_raised_as_far_as_the_system_lets_us(limits: list[tuple[int, int]]) -> None:
    descriptors.make_room(1000)

    assert limits[-1] == (4096, 4096)


def test_no_limit_of_the_system_is_plenty(limits: list[tuple[int, int]]) -> None:
    limits.append((1024, resource.RLIM_INFINITY))

    descriptors.make_room(1000)

    assert limits[-1] == (descriptors.PLENTY, resource.RLIM_INFINITY)


def test_a_limit_that_is_high_already_stays(limits: list[tuple[int, int]]) -> None:
    limits.append((500_000, 500_000))

    descriptors.make_room(1000)

    assert limits[-1] == (500_000, 500_000)


def test_too_low_a_limit_is_refused_and_says_what_to_do(limits: list[tuple[int, int]]) -> None:
    limits.append((1024, 1024))

    with pytest.raises(descriptors.TooFewDescriptors, match="ulimit -Hn"):
        descriptors.make_room(1000)

    assert limits[-1] == (1024, 1024)


def test_this_process_really_gets_it() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 256), before[1]))
        descriptors.make_room()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == min(hard, descriptors.PLENTY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
