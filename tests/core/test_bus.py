"""Hints between processes: fast, lossy, and never the reason for a failure (C18 to C20)."""

from collections.abc import Iterator
from typing import Any

import pytest

from opitios.core import bus
from opitios.core.bus import Bus, Listener, Topic
from opitios.core.config import get_config
from tests.support.crowd import Stopwatch
from tests.support.proxy import Proxy
from tests.support.until import until
from tests.trading.outages import proxied_bus


class Heard:
    """What a listener handed over."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any]) -> None:
        if message.get("bad"):
            raise ValueError("a handler that fails")
        self.messages.append(message)


@pytest.fixture
def made() -> Iterator[tuple[Bus, Proxy]]:
    with proxied_bus() as (one, proxy):
        yield one, proxy


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


@pytest.mark.parametrize("how", ["vanish", "hold"])
def test_a_publish_without_redis_is_false_in_a_moment_and_then_at_once(
    made: tuple[Bus, Proxy], how: str
) -> None:
    one, proxy = made
    assert one.publish((Topic.WAKE, {}))
    getattr(proxy, how)()

    with Stopwatch() as took:
        assert not one.publish((Topic.WAKE, {}))

    assert took.is_within(bus.CALL_SECONDS + 0.1), took
    assert not one.is_up
    with Stopwatch() as took:
        assert not one.publish((Topic.WAKE, {}))
    assert took.is_within(0.01), took


def test_a_publish_after_a_late_answer_does_not_read_it_as_its_own(
    made: tuple[Bus, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "OPEN_SECONDS", 0.0)
    one, proxy = made
    proxy.hold()
    assert not one.publish((Topic.WAKE, {}))
    proxy.come_back()

    assert one.publish((Topic.WAKE, {}), (Topic.ORDERS, {}))
    assert one.publish((Topic.WAKE, {}))


def test_a_client_of_redis_never_waits_long_and_never_retries() -> None:
    made = bus.client(get_config().redis_url.get_secret_value())

    about = made.connection_pool.connection_kwargs
    assert about["socket_timeout"] == about["socket_connect_timeout"] == bus.CALL_SECONDS
    assert about["retry"].get_retries() == 0
    made.close()
