"""Hints between processes: fast, lossy, and never the reason for a failure (C18 to C20)."""

import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from opitios.core import bus, clock, hints
from opitios.core.bus import Bus, Listener, Topic
from opitios.core.config import get_config
from opitios.core.hints import MOST_UNREAD
from tests.support.crowd import Stopwatch
from tests.support.proxy import Proxy
from tests.support.until import until
from tests.trading.outages import proxied_bus


class Heard:
    """What a listener handed over."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    @property
    def numbers(self) -> list[int]:
        return [message["n"] for message in self.messages if "n" in message]

    def __call__(self, message: dict[str, Any]) -> None:
        if message.get("bad"):
            raise ValueError("a handler that fails")
        self.messages.append(message)


@pytest.fixture
def made() -> Iterator[tuple[Bus, Proxy]]:
    """A bus that loses nothing because its Redis is slow."""
    with proxied_bus(unhurried=True) as (one, proxy):
        yield one, proxy


@pytest.fixture
def hasty() -> Iterator[tuple[Bus, Proxy]]:
    """A bus as processes have it, which has reached its Redis."""
    with proxied_bus() as (one, proxy):
        until(lambda: one.publish((Topic.WAKE, {})))
        yield one, proxy


def asks_nobody(one: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if this bus says another word to Redis."""

    def speak(*_: object) -> None:
        raise AssertionError("it asked a Redis that is away")

    monkeypatch.setattr(one, "_send", speak)
    monkeypatch.setattr(one._hints, "write", speak)


@pytest.fixture
def heard(made: tuple[Bus, Proxy]) -> Iterator[tuple[Heard, Listener]]:
    handler = Heard()
    listener = made[0].listen(Topic.ORDERS, handler)
    assert listener.connected.wait(60)
    # Connected is said before Redis has the subscription: wait for a first message to come through.
    until(lambda: made[0].publish((Topic.ORDERS, {"first": 1})) and handler.messages)
    handler.messages.clear()
    yield handler, listener
    listener.close()
    assert not listener.is_alive()


def test_what_is_published_is_heard_in_order(
    made: tuple[Bus, Proxy], heard: tuple[Heard, Listener]
) -> None:
    for n in range(5):
        assert made[0].publish((Topic.ORDERS, {"n": n}), (Topic.WAKE, {"other": n}))

    until(lambda: len([m for m in heard[0].messages if "n" in m]) == 5)

    assert [m["n"] for m in heard[0].messages if "n" in m] == list(range(5))


def test_a_handler_that_fails_loses_one_message(
    made: tuple[Bus, Proxy], heard: tuple[Heard, Listener]
) -> None:
    made[0].publish((Topic.ORDERS, {"bad": True}), (Topic.ORDERS, {"good": True}))

    until(lambda: {"good": True} in heard[0].messages)


def test_a_listener_comes_back_by_itself(
    made: tuple[Bus, Proxy], heard: tuple[Heard, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "OPEN_SECONDS", 0.0)
    one, proxy = made
    proxy.cut()

    until(
        lambda: one.publish((Topic.ORDERS, {"back": 1})) and {"back": 1} in heard[0].messages,
        seconds=10,
    )


def test_c20_a_listener_notices_a_redis_that_says_nothing_and_one_that_is_only_quiet(
    made: tuple[Bus, Proxy], heard: tuple[Heard, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "PING_SECONDS", 0.1)
    monkeypatch.setattr(bus, "SILENT_SECONDS", 1.0)
    (one, proxy), (handler, listener) = made, heard
    quiet_since, began = listener.since, clock.monotonic()
    until(lambda: clock.monotonic() > began + 2)
    assert listener.since == quiet_since

    proxy.hold()

    until(lambda: listener.since is None)
    proxy.come_back()
    monkeypatch.setattr(bus, "OPEN_SECONDS", 0.0)
    until(lambda: listener.since is not None)
    until(lambda: one.publish((Topic.ORDERS, {"back": 1})) and {"back": 1} in handler.messages)


@pytest.mark.parametrize("how", ["vanish", "hold"])
def test_a_publish_without_redis_is_false_in_a_moment_and_then_at_once(
    hasty: tuple[Bus, Proxy], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, proxy = hasty
    getattr(proxy, how)()

    with Stopwatch() as took:
        assert not one.publish((Topic.WAKE, {}))

    assert took.is_within(bus.CALL_SECONDS + 0.1), took
    assert not one.is_up
    asks_nobody(one, monkeypatch)
    assert not one.publish((Topic.WAKE, {}))


def test_a_publish_after_a_late_answer_does_not_read_it_as_its_own(
    hasty: tuple[Bus, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "OPEN_SECONDS", 0.0)
    one, proxy = hasty
    proxy.hold()
    assert not one.publish((Topic.WAKE, {}))
    proxy.come_back()

    until(lambda: one.publish((Topic.WAKE, {}), (Topic.ORDERS, {})))
    until(lambda: one.publish((Topic.WAKE, {})))


def test_a_client_of_redis_never_waits_long_and_never_retries() -> None:
    made = bus.client(get_config().redis_url.get_secret_value())

    about = made.connection_pool.connection_kwargs
    assert about["socket_timeout"] == about["socket_connect_timeout"] == bus.CALL_SECONDS
    assert about["retry"].get_retries() == 0
    made.close()


def test_what_is_told_is_heard_in_order_and_nobody_waits_for_answers(
    made: tuple[Bus, Proxy], heard: tuple[Heard, Listener]
) -> None:
    # More than are left unread.
    for n in range(200):
        made[0].tell((Topic.WAKE, {"other": n}), (Topic.ORDERS, {"n": n}))

    until(lambda: len(heard[0].numbers) == 200)

    assert heard[0].numbers == list(range(200))
    assert made[0]._hints._unread <= MOST_UNREAD + 2


def test_what_many_threads_tell_is_heard_each_once(
    made: tuple[Bus, Proxy], heard: tuple[Heard, Listener]
) -> None:
    def tell(thread: int) -> None:
        for n in range(50):
            made[0].tell((Topic.ORDERS, {"n": thread * 50 + n}))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(tell, range(8)))

    until(lambda: len(heard[0].numbers) >= 400)
    assert sorted(heard[0].numbers) == list(range(400))


def test_what_is_told_while_somebody_writes_goes_out_with_it(
    made: tuple[Bus, Proxy], heard: tuple[Heard, Listener]
) -> None:
    said = made[0]._hints
    with said._writing:
        made[0].tell((Topic.ORDERS, {"n": 1}))
        made[0].tell((Topic.ORDERS, {"n": 2}))
    assert len(said._waiting) == 2

    made[0].tell((Topic.ORDERS, {"n": 3}))

    until(lambda: heard[0].numbers == [1, 2, 3])


def test_a_redis_that_was_restarted_in_a_quiet_moment_gets_the_next_hint(
    made: tuple[Bus, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "QUIET_SECONDS", 0.0)
    one, proxy = made
    one.tell((Topic.ORDERS, {"n": 1}))
    gone = one._hints._connection._sock
    proxy.cut()
    until(lambda: select.select([gone], [], [], 0)[0])

    one.tell((Topic.ORDERS, {"n": 2}))

    assert one._hints._connection._sock is not gone
    # Redis has answered it.
    until(lambda: one._hints._connection.can_read(timeout=0))
    assert one.is_up


@pytest.mark.parametrize("how", ["vanish", "hold"])
def test_telling_a_redis_that_is_away_takes_a_moment_and_then_nothing(
    hasty: tuple[Bus, Proxy], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, proxy = hasty
    one.tell((Topic.WAKE, {}))
    monkeypatch.setattr(hints, "QUIET_SECONDS", 0.0)
    getattr(proxy, how)()

    with Stopwatch() as took:
        # The first may go into the connection unnoticed.
        one.tell((Topic.WAKE, {}))
        one.tell((Topic.WAKE, {}))

    assert took.is_within(2 * bus.CALL_SECONDS + 0.1), took
    assert not one.is_up
    asks_nobody(one, monkeypatch)
    one.tell((Topic.WAKE, {}))
    assert not one._hints._waiting
