"""The append file: what it keeps, what it survives, what it refuses."""

from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.events import AccountOpened
from sandbox.ledger import FILE_NAME, Ledger, LedgerError, Received, Stepped


def opened(directory: Path) -> Ledger:
    ledger = Ledger(directory)
    list(ledger.recover())
    return ledger


def request(number: int, account: str = "a", **fields: object) -> Received:
    return Received(
        at=number,
        request_id=f"r{number}",
        account=account,
        method="POST",
        path="/v2/orders",
        client_order_id=f"c{number}",
        **fields,  # type: ignore[arg-type] # the test's own fields
    )


def read(ledger: Ledger, account: str | None = None, **how: object) -> list[tuple[int, str]]:
    asked = {"client_order_id": None, "after": 0, "limit": 100, **how}
    entries = ledger.entries(account=account, **asked)  # type: ignore[arg-type] # the test's own
    return [(entry.seq, entry.received.request_id) for entry in entries]


def test_requests_are_read_by_account_id_and_position(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.append(Stepped(0, [AccountOpened("a", 0, Decimal(1))]))
    for number, account in enumerate(["a", "b", "a", "b", "a"], start=1):
        ledger.append(request(number, account))

    assert read(ledger) == [(n + 1, f"r{n}") for n in range(1, 6)]
    assert read(ledger, "a") == [(2, "r1"), (4, "r3"), (6, "r5")]
    assert read(ledger, "a", after=2) == [(4, "r3"), (6, "r5")]
    assert read(ledger, "a", after=3, limit=1) == [(4, "r3")]
    assert read(ledger, client_order_id="c4") == [(5, "r4")]
    assert read(ledger, "nobody") == []
    ledger.close()


def test_a_recovered_ledger_reads_and_counts_the_same(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.append(request(1, status=200))
    first.append(request(2, status=422, duplicate=True))
    before, counts = read(first), first.counts.render()
    first.close()

    second = opened(tmp_path)

    assert read(second) == before
    assert second.counts.render() == counts
    second.close()


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_line_cut_off_by_a_kill_is_removed(tmp_path: Path, kept: int) -> None:
    ledger = opened(tmp_path)
    ledger.append(request(1))
    whole = (tmp_path / FILE_NAME).read_bytes()
    ledger.append(request(2))
    ledger.close()
    second = (tmp_path / FILE_NAME).read_bytes()[len(whole) :]
    (tmp_path / FILE_NAME).write_bytes(whole + second[:kept])

    again = opened(tmp_path)
    again.append(request(3))

    assert read(again) == [(1, "r1"), (2, "r3")]
    again.close()


def test_a_damaged_line_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.append(request(1))
    ledger.close()
    damaged = (tmp_path / FILE_NAME).read_bytes() + b'{"type":"received"}\n'
    (tmp_path / FILE_NAME).write_bytes(damaged)

    again = Ledger(tmp_path)
    with pytest.raises(LedgerError, match="line 2"):
        list(again.recover())
    again.close()

    assert (tmp_path / FILE_NAME).read_bytes() == damaged


def test_a_ledger_has_one_writer(tmp_path: Path) -> None:
    ledger = opened(tmp_path)

    with pytest.raises(LedgerError, match="in use by another sandbox"):
        Ledger(tmp_path)

    ledger.close()
    opened(tmp_path).close()


def test_a_ledger_longer_than_one_read_is_whole(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    for number in range(1, 401):
        ledger.append(request(number, body={"filler": "x" * 5000}))
    ledger.close()

    again = opened(tmp_path)

    assert len(read(again, limit=1000)) == 400
    again.close()


def test_ids_sent_more_than_once_are_counted(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    for number in (1, 2, 2, 3, 3, 3):
        ledger.append(request(number))

    counts = ledger.counts.render()

    assert counts["submits"] == 6
    assert counts["distinct_client_order_ids"] == 3
    assert counts["client_order_ids_sent_more_than_once"] == 2
    ledger.close()
