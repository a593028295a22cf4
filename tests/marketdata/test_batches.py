"""Ticks wait in order and bounded; of quotes the newest."""

from marketdata.batches import Batch
from marketdata.ticks import Tick


def tick(channel: str, symbol: str, price: float) -> Tick:
    return Tick(channel, "iex", symbol, 1.0, {"p": price})


def test_a_newer_quote_takes_the_place_of_the_older_and_trades_are_all_kept() -> None:
    batch = Batch()
    batch.put([tick("quotes", "A", 1), tick("trades", "A", 2), tick("quotes", "B", 3)])
    batch.put([tick("quotes", "A", 4), tick("trades", "A", 5)])

    ticks, gone = batch.take()

    assert [each.body["p"] for each in ticks] == [2, 3, 4, 5]
    assert (batch.conflated, batch.dropped, gone) == (1, 0, [])
    assert batch.take() == ([], [])


def test_too_many_cost_the_oldest_and_are_counted() -> None:
    batch = Batch(most=3)

    batch.put(tick("trades", "A", price) for price in range(5))

    assert [each.body["p"] for each in batch.take()[0]] == [2, 3, 4]
    assert batch.dropped == 2


def test_what_is_gone_is_told_once() -> None:
    batch = Batch()
    batch.put_gone([("quotes", "A")])

    assert batch.arrived.is_set()
    assert batch.take() == ([], [("quotes", "A")])
    assert batch.take() == ([], [])
    assert not batch.arrived.is_set()
