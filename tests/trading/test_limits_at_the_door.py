"""R17: limits are judged where an order is accepted; a breach is recorded as denied, never sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from accounts import custody, journal
from accounts.journal import Actor
from accounts.models import DEFAULT_LIMITS, SYSTEM_JOURNAL, Limits
from opitios.core import database
from tests.support.accounts import open_account
from tests.support.orders import asked, command, kinds, place, row_of
from tests.trading.crowds import come_again
from trading import limits, orders
from trading.models import OrderCount
from trading.orders import Accepted
from trading.risk import NO_LIMITS

pytestmark = pytest.mark.django_db

ME = Actor("staff", "jane")


def limit(account: str, **changed: Any) -> None:
    """Limit an account."""
    limits.change(account, changed, actor=ME, reason="as agreed")


def reason(accepted: Accepted) -> str | None:
    """Why an order was denied; None: it was accepted."""
    return None if accepted.denied is None else accepted.denied.reason.slug


@pytest.fixture
def default() -> Iterator[None]:
    """Whatever a test lets hold for every account is gone after it."""
    yield
    limit(DEFAULT_LIMITS, **dict.fromkeys(limits.COLUMNS))


def test_a_breach_is_recorded_as_denied_with_its_figures_and_replayed(account: str) -> None:
    limit(account, max_quantity=Decimal(5))

    first = place(account, "key-1")
    limit(account, max_quantity=None)
    again = place(account, "key-1")

    assert reason(first) == "risk-max-quantity"
    assert first.body["detail"] == "qty 10 is over the account's limit of 5 an order."
    assert (again.replayed, again.body) == (True, first.body)
    row = row_of(first)
    assert (row["status"], row["final"], row["attempts"]) == ("denied", True, 0)
    assert kinds(account) == ["order.denied"]
    assert reason(place(account, "key-2")) is None


def test_limits_hold_from_their_commit_on_whatever_this_process_had_read(account: str) -> None:
    assert reason(place(account)) is None
    other = limits.LimitsKept()
    other.read(account)
    # Another process sets them: this one has not heard.
    database.rows(
        "INSERT INTO accounts_limits (account_id, version, max_quantity, changed_by, reason)"
        " VALUES (%s, 1, 5, 'somebody', 'elsewhere')",
        (account,),
    )

    assert reason(place(account)) == "risk-max-quantity"
    database.rows(
        "UPDATE accounts_limits SET version = 2, max_quantity = 50 WHERE account_id = %s",
        (account,),
    )
    assert reason(place(account)) is None


def test_what_holds_for_every_account_holds_where_its_own_says_nothing(
    account: str, default: None
) -> None:
    generous = open_account()
    limit(generous, max_quantity=Decimal(50))
    limit(DEFAULT_LIMITS, max_quantity=Decimal(5), symbols_denied=["MSFT"])

    assert reason(place(account)) == "risk-max-quantity"
    assert reason(place(generous)) is None
    assert reason(place(generous, symbol="MSFT")) == "risk-symbol"
    assert limits.effective(generous).max_quantity == 50
    assert limits.effective(account).max_quantity == 5


def test_orders_a_day_are_counted_from_the_day_s_first_and_denied_ones_do_not_count(
    account: str,
) -> None:
    place(account)
    limit(account, orders_per_day=3, symbols_denied=["MSFT"])

    assert reason(place(account, symbol="MSFT")) == "risk-symbol"
    assert [reason(place(account)) for _ in range(3)] == [None, None, "risk-orders-per-day"]
    last = place(account)
    assert last.body["detail"] == "3 orders of the account today; its limit is 3."
    limit(account, orders_per_day=None)
    assert reason(place(account)) is None
    limit(account, orders_per_day=5)
    assert [reason(place(account)) for _ in range(2)] == [None, "risk-orders-per-day"]


def test_a_new_york_day_begins_at_nothing(account: str) -> None:
    limit(account, orders_per_day=1)
    assert [reason(place(account)) for _ in range(2)] == [None, "risk-orders-per-day"]
    OrderCount.objects.filter(name=account).update(day="2020-01-01")
    # Not of today either: the rows are what is counted then.
    assert reason(place(account)) == "risk-orders-per-day"
    database.rows(
        "UPDATE trading_order SET created_at = created_at - interval '1 day'"
        " WHERE account_id = %s", (account,),
    )  # fmt: skip
    OrderCount.objects.filter(name=account).update(day="2020-01-01")
    assert reason(place(account)) is None


def test_a_minute_slides(account: str) -> None:
    limit(account, orders_per_minute=2)

    assert [reason(place(account)) for _ in range(3)] == [None, None, "risk-orders-per-minute"]
    # The first of the two is over a minute old by now.
    database.rows(
        "UPDATE trading_ordercount SET recent[1] = recent[1] - interval '61 seconds'"
        " WHERE name = %s", (account,),
    )  # fmt: skip
    assert [reason(place(account)) for _ in range(2)] == [None, "risk-orders-per-minute"]


@pytest.mark.races
def test_many_at_once_are_counted_one_by_one(account: str) -> None:
    limit(account, orders_per_day=5, orders_per_minute=5)

    def one(_: int) -> str | None:
        return come_again(lambda: reason(place(account)))

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(one, range(16)))

    assert found.count(None) == 5


def test_a_token_s_orders_a_day_are_counted_for_its_subject_in_all_accounts() -> None:
    one, two = open_account(), open_account()
    subject = f"bot-{uuid4().hex}"

    def by_subject(account: str) -> str | None:
        by = asked(subject=subject, orders_per_day=3)
        return reason(orders.place_order(
            command(), account_id=account, environment="sandbox", asked=by
        ))  # fmt: skip

    assert [by_subject(each) for each in (one, two, one, two)] == [
        None, None, None, "risk-orders-per-day",
    ]  # fmt: skip
    assert reason(place(one)) is None


def test_the_same_order_a_moment_later_is_a_duplicate_unless_the_first_came_to_nothing(
    account: str,
) -> None:
    limit(account, duplicate_seconds=60)
    first = place(account, "key-1")

    assert reason(place(account)) == "risk-duplicate"
    assert place(account, "key-1").replayed
    for changed in ({"qty": Decimal(11)}, {"side": "sell"}, {"limit_price": Decimal(1)},
                    {"symbol": "MSFT"}):  # fmt: skip
        assert reason(place(account, **changed)) is None
    orders.cancel_order(row_of(first), asked())
    assert reason(place(account)) is None
    database.rows(
        "UPDATE trading_order SET created_at = created_at - interval '61 seconds'"
        " WHERE account_id = %s", (account,),
    )  # fmt: skip
    assert reason(place(account)) is None


def test_a_notional_is_judged_by_the_order_s_own_price_where_it_has_one(account: str) -> None:
    limit(account, max_notional=Decimal(1872))

    assert reason(place(account)) == "risk-max-notional"
    assert reason(place(account, qty=Decimal(9))) is None


def test_without_a_quote_a_market_order_cannot_be_judged(account: str) -> None:
    limit(account, max_notional=Decimal(10**6))

    # Nobody serves market data here.
    accepted = place(account, type="market", limit_price=None, symbol="NOSUCH")

    assert reason(accepted) == "no-reference-price"


def test_who_changed_a_limit_and_why_is_in_the_system_s_journal(account: str) -> None:
    before = journal.head(SYSTEM_JOURNAL)["seq"]

    limit(account, max_quantity=Decimal("5.50"), symbols_allowed=["MSFT", "AAPL"])

    entries = journal.entries(SYSTEM_JOURNAL, after=before, kind="limits.changed", limit=50)
    [told] = [journal.entry_json(each) for each in entries]
    assert (told["reason"], told["actor"]["name"]) == ("as agreed", "jane")
    assert told["before"]["max_quantity"] is None
    assert (told["after"]["account_id"], told["after"]["max_quantity"]) == (account, "5.5")
    assert told["after"]["symbols_allowed"] == ["AAPL", "MSFT"]
    assert kinds(account) == []
    row = Limits.objects.get(pk=account)
    assert (row.changed_by, row.version) == ("jane", 1)


@pytest.mark.parametrize("changed", [
    {"max_quantity": Decimal(-1)}, {"max_notional": Decimal(10**12)}, {"orders_per_day": -1},
    {"orders_per_minute": 10**7}, {"duplicate_seconds": 3601}, {"leverage": 2},
    {"symbols_denied": ["A"] * 1001},
])  # fmt: skip
def test_a_limit_that_cannot_be_one_is_refused_and_nothing_changes(
    account: str, changed: dict[str, Any]
) -> None:
    with pytest.raises(custody.Refused):
        limit(account, **({"max_quantity": Decimal(5)} | changed))

    assert limits.effective(account) == NO_LIMITS
    with pytest.raises(custody.Refused, match="no account"):
        limit("nobody", max_quantity=Decimal(5))
