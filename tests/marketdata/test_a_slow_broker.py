"""A data account that hangs holds nobody up who can be shown an older answer (R20)."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from opitios.broker.alpaca.transport import TransportTimers
from tests.broker.loopback import answering, answering_at_the_gate, hanging, resetting
from tests.marketdata.brokers import quotes_answer, quoting
from tests.support.until import until

Fleets = Callable[..., Any]


class TestWithPatience:
    """One whose calls end late: nobody waits for their end."""

    @pytest.fixture
    def timers(self) -> TransportTimers:
        """The gate opens sooner than these end."""
        return TransportTimers(other=60.0)

    def test_an_older_answer_is_shown_while_a_call_hangs_and_the_new_one_when_it_is_there(
        self, later: Callable[[float], None], fleet_of: Fleets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from marketdata import loads  # noqa: PLC0415 - Django is set up by now

        monkeypatch.setattr(loads, "PATIENCE_SECONDS", 0.05)
        fleet = fleet_of(data_001=[quoting("A", "B"), answering_at_the_gate(quotes_answer("A"))])
        broker, sources = fleet.brokers["data_001"], fleet.sources()
        fleet.quote("A", sources=sources)
        later(2)

        shown = [fleet.quote("A", sources=sources) for _ in range(5)]
        broker.wait_for_requests(2)
        still_asked = fleet.asked()
        broker.gate.release()

        assert [each["source"] for each in shown] == ["stale"] * 5
        assert min(each["age_ms"] for each in shown) >= 2000
        assert still_asked == {"data_001": 2}
        until(lambda: fleet.quote("A", sources=sources)["source"] == "cache")

    def test_what_soon_is_old_is_refreshed_behind_an_answer_that_waits_for_nothing(
        self, later: Callable[[float], None], fleet_of: Fleets
    ) -> None:
        second = answering_at_the_gate(quotes_answer("A", bp=190))
        fleet = fleet_of(data_001=[quoting("A", bp=180), second])
        broker, sources = fleet.brokers["data_001"], fleet.sources()
        sources.hours.know(is_open=False)
        fleet.quote("A", sources=sources)
        # Fresh for 15 s while the market is closed.
        later(13)

        shown = [fleet.quote("A", sources=sources) for _ in range(3)]
        broker.wait_for_requests(2)
        broker.gate.release()

        assert [(each["source"], each["bp"]) for each in shown] == [("cache", 180)] * 3
        until(lambda: fleet.quote("A", sources=sources)["bp"] == 190)
        assert fleet.asked() == {"data_001": 2}

    def test_who_misses_what_a_call_under_way_takes_along_waits_for_it(
        self, later: Callable[[float], None], fleet_of: Fleets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from marketdata import loads  # noqa: PLC0415 - Django is set up by now

        # As long as a crowded machine needs.
        monkeypatch.setattr(loads, "PATIENCE_SECONDS", 60.0)
        monkeypatch.setattr(loads, "COMING_SECONDS", 60.0)
        both = quotes_answer("A", "B")
        fleet = fleet_of(data_001=[answering(both), answering_at_the_gate(both), resetting])
        broker, sources = fleet.brokers["data_001"], fleet.sources()
        from marketdata import kinds  # noqa: PLC0415 - as above

        for _ in range(2):
            # Asked for more than once: both are hot.
            sources.latest(kinds.QUOTES).many(["A", "B"], "iex")
        later(2)
        told: dict[str, Any] = {}

        def ask(symbol: str) -> None:
            told[symbol] = fleet.quote(symbol, sources=sources)

        first, second = (threading.Thread(target=ask, args=(each,)) for each in "AB")
        first.start()
        broker.wait_for_requests(2)
        second.start()
        broker.gate.release()
        for thread in (first, second):
            thread.join(60)

        assert told["A"]["source"] == "broker"
        assert told["B"]["source"] in {"broker", "cache"}
        assert fleet.asked() == {"data_001": 2}


class TestWithoutPatience:
    """One whose calls end before their answer."""

    @pytest.fixture
    def timers(self) -> TransportTimers:
        """As long as one that answers needs on a crowded machine."""
        return TransportTimers(other=2.0)

    def test_after_an_account_that_hangs_another_one_is_asked(
        self, later: Callable[[float], None], fleet_of: Fleets
    ) -> None:
        fleet = fleet_of(data_001=[hanging], data_002=[quoting("A", "B", "C")])
        sources = fleet.sources()

        told = [fleet.quote(symbol, sources=sources)["source"] for symbol in "ABC"]

        assert told == ["broker"] * 3
        # It rests: who asks next does not wait for it.
        assert fleet.asked() == {"data_001": 1, "data_002": 3}


def test_an_account_that_failed_comes_back_after_its_rest_and_rests_longer_each_time(
    later: Callable[[float], None], fleet_of: Fleets
) -> None:
    names = [chr(65 + number) for number in range(12)]
    fleet = fleet_of(data_001=[resetting, resetting, quoting(*names)], data_002=[quoting(*names)])
    sources, asked = fleet.sources(), []

    for name in names:
        fleet.quote(name, sources=sources)
        asked.append(fleet.asked()["data_001"])
        later(3)

    # At 0 s it fails and rests for 5 s; at the next turn it fails again and rests for 10 s.
    assert asked[0] <= asked[1] <= 1
    assert asked[-1] >= 3
    health = sources.router.health()
    assert health["data_001"]["rests_until"] is None
    assert health["data_001"]["last_failure"]["outcome"] == "unknown"
    assert health["data_001"]["answered_at"] is not None
    assert health["data_002"]["last_failure"] is None


def test_one_that_owes_an_answer_is_asked_last(
    later: Callable[[float], None], fleet_of: Fleets
) -> None:
    fleet = fleet_of(data_001=[hanging], data_002=[quoting("A")])
    router = fleet.router()
    before = [each.account_id for each in router.in_turn()]

    with pytest.raises(RuntimeError):
        router.ask(lambda account: _in_the_middle(router, account, later))

    assert sorted(before) == ["data_001", "data_002"]


def _in_the_middle(router: Any, account: Any, later: Callable[[float], None]) -> None:
    """While this call is under way for too long, its account stands at the end."""
    from marketdata.routing import SLOW_SECONDS  # noqa: PLC0415 - Django is set up by now

    later(1.5 * SLOW_SECONDS)
    orders = [[each.account_id for each in router.in_turn()] for _ in range(2)]
    assert [order[-1] for order in orders] == [account.account_id] * 2
    raise RuntimeError("seen")
