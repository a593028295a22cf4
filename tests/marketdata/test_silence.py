"""A silent socket is mute where the broker has newer prices, and else the market is quiet."""

from collections.abc import Sequence

import pytest

from marketdata.routing import NoDataAccount
from marketdata.silence import SilenceWatch
from opitios.broker.alpaca.datastreams import Condition
from tests.support.until import until

NOW = 1_000_000.0


class Broker:
    """Has prices of this instant, or fails."""

    def __init__(self, newest: float | Exception | None) -> None:
        self.newest = newest
        self.asked: list[tuple[str, str, list[str], str]] = []

    def __call__(self, kind: str, channel: str, symbols: Sequence[str], feed: str) -> float | None:
        self.asked.append((kind, channel, list(symbols), feed))
        if isinstance(self.newest, Exception):
            raise self.newest
        return self.newest


def socket(*pairs: tuple[str, str], heard_at: float | None = NOW) -> Condition:
    return Condition("listening", None, NOW - 100, heard_at, frozenset(pairs), {})


def judged(watch: SilenceWatch, condition: Condition, now: float, kind: str = "stock") -> bool:
    """Look until the broker's answer was judged."""
    assert not watch.is_mute("one", kind, "iex", condition, now)
    asked = watch._silences["one"].asked
    assert asked is not None
    until(asked.done)
    return watch.is_mute("one", kind, "iex", condition, now)


@pytest.mark.parametrize(
    ("newest", "is_mute"),
    [
        (NOW + 9, True),
        (NOW + 0.5, False),
        (NOW - 50, False),
        (None, False),
        (NoDataAccount(), False),
    ],
)
def test_a_newer_price_at_the_broker_proves_it_mute(
    newest: float | Exception | None, is_mute: bool
) -> None:
    broker = Broker(newest)
    watch = SilenceWatch(broker, seconds=10)

    assert judged(watch, socket(("quotes", "B"), ("quotes", "A")), NOW + 11) is is_mute

    assert broker.asked == [("stock", "quotes", ["A", "B"], "iex")]
    watch.close()


def test_it_is_asked_after_the_silence_and_again_after_twice_the_time() -> None:
    broker = Broker(NOW)
    watch = SilenceWatch(broker, seconds=10)
    quiet = socket(("trades", "A"))
    assert not watch.is_mute("one", "stock", "iex", quiet, NOW + 9)
    assert not broker.asked

    assert not judged(watch, quiet, NOW + 11)
    assert not watch.is_mute("one", "stock", "iex", quiet, NOW + 21)
    assert len(broker.asked) == 1
    assert not judged(watch, quiet, NOW + 23)
    assert len(broker.asked) == 2

    # Something was said: a new silence begins.
    assert not watch.is_mute(
        "one", "stock", "iex", socket(("trades", "A"), heard_at=NOW + 24), NOW + 33
    )
    assert len(broker.asked) == 2
    watch.close()


@pytest.mark.parametrize(("kind", "pair"), [("stock", ("bars", "A")), ("option", ("trades", "A"))])
def test_what_the_broker_cannot_tell_of_is_not_judged(kind: str, pair: tuple[str, str]) -> None:
    broker = Broker(NOW + 9)
    watch = SilenceWatch(broker, seconds=10)

    assert not judged(watch, socket(pair), NOW + 11, kind)

    assert not broker.asked
    watch.close()
