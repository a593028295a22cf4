"""Halts and limits on the staff pages: operators set and lift them, with a reason (R17, G16)."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

HALTS, LIMITS = "/admin/accounts/halt/", "/admin/accounts/limits/"


@pytest.fixture
def operator(signed_in: Callable[..., Client]) -> Client:
    """Staff with an operator's rights alone."""
    return signed_in(
        "view_account", "view_order", "view_halt", "view_limits", "set_halt", "set_limits"
    )


@pytest.fixture(autouse=True)
def _lifted(account: str) -> Iterator[None]:
    yield
    from tests.support.halting import ME  # noqa: PLC0415
    from trading import halts  # noqa: PLC0415

    for row in standing(account):
        halts.lift(row["id"], actor=ME, reason="the test is over")


def standing(account: str) -> list[dict[str, Any]]:
    """The account's halts that stand."""
    from trading import halts  # noqa: PLC0415

    found = halts.list_halts(frozenset([account]), standing=True, limit=500)
    return [row for row in found if row["account_id"] == account]


def test_an_operator_halts_an_account_and_lifts_it(operator: Client, account: str) -> None:
    asked = {"scope": "account", "account": account, "mode": "reduce_only",
             "cancel_orders": "on", "reason": "odd <b>"}  # fmt: skip

    page = operator.post(f"{HALTS}set/", asked, follow=True).content.decode()

    [halt] = standing(account)
    assert (halt["mode"], halt["reason"], halt["actor_kind"]) == ("reduce_only", "odd <b>", "staff")
    assert halt["cancel_before"] is not None
    assert "odd &lt;b&gt;" in page
    assert "It stands." in page
    assert (
        f"{HALTS}{halt['id']}/lift/"
        in operator.get(f"{HALTS}{halt['id']}/change/").content.decode()
    )
    operator.post(f"{HALTS}{halt['id']}/lift/", {"reason": "explained"})
    assert standing(account) == []
    shown = operator.get(f"{HALTS}{halt['id']}/change/").content.decode()
    assert "explained" in shown
    assert f"{HALTS}{halt['id']}/lift/" not in shown


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"reason": ""}, "required"),
        ({"account": "nobody"}, "There is no account"),
        ({"scope": "symbol", "symbol": "no symbol"}, "is no symbol"),
        ({"scope": "global"}, "do not go together"),
        ({"account": ""}, "do not go together"),
        ({"mode": "stop"}, "not one of the available"),
    ],
)
def test_what_cannot_be_halted_is_said_and_nothing_is(
    operator: Client, account: str, changed: dict[str, str], why: str
) -> None:
    asked = {"scope": "account", "account": account, "mode": "halt", "reason": "odd"} | changed

    answer = operator.post(f"{HALTS}set/", asked)

    assert answer.status_code == 200
    assert why in answer.content.decode()
    assert standing(account) == []


def test_limits_are_changed_and_shown(operator: Client, account: str) -> None:
    from trading import limits  # noqa: PLC0415

    asked = {"account": account, "max_notional": "50000", "symbols_denied": "gme, amc",
             "reason": "as agreed"}  # fmt: skip

    operator.post(f"{LIMITS}set/", asked)

    held = limits.effective(account)
    assert (held.max_notional, held.symbols_denied) == (Decimal(50000), frozenset({"GME", "AMC"}))
    again = operator.post(f"{LIMITS}set/", {"account": account, "reason": "once more"})
    assert "has limits already" in again.content.decode()
    assert limits.effective(account) == held
    form = operator.get(f"{LIMITS}{account}/change-these/").content.decode()
    assert 'value="AMC, GME"' in form
    operator.post(f"{LIMITS}{account}/change-these/", {"account": account, "reason": "over"})
    assert limits.effective(account).max_notional is None
    for wrong in ({"max_notional": "-1"}, {"orders_per_day": "x"}, {"account": "nobody"}):
        answer = operator.post(f"{LIMITS}set/", asked | wrong)
        assert 'role="alert"' in answer.content.decode()
    assert limits.effective(account).symbols_denied is None


def test_who_only_reads_sets_nothing(signed_in: Callable[..., Client], account: str) -> None:
    from tests.support.halting import halted  # noqa: PLC0415

    reader = signed_in("view_halt", "view_limits")
    with halted(account) as row:
        pages = (f"{HALTS}set/", f"{HALTS}{row['id']}/lift/", f"{LIMITS}set/")
        for page in pages:
            assert reader.get(page).status_code == 403
            asked = {"account": account, "mode": "halt", "reason": "odd"}
            assert reader.post(page, asked).status_code == 403
        assert b"Set a halt" not in reader.get(HALTS).content
        assert len(standing(account)) == 1


def test_the_dashboard_the_fleet_and_the_lists_tell_of_a_halt(
    superuser: Client, account: str
) -> None:
    from accounts import fleet  # noqa: PLC0415
    from accounts.listing import Listing, list_accounts  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415
    from tests.support.halting import halted  # noqa: PLC0415

    with halted(account, mode="reduce_only"), halted(account):
        [told], _ = list_accounts(Listing(held=frozenset([account]), limit=1))
        picture = fleet.picture(clock.now())
        front = superuser.get("/admin/").content.decode()

    assert told["halt"]["mode"] == "halt"
    assert (told["halt"]["scope"], told["halt"]["reason"]) == ("account", "strange orders")
    states = {cell[0]: cell[1] for cell in picture["accounts"]}
    assert states[account] == "halted"
    assert "halts standing" in front
    [told], _ = list_accounts(Listing(held=frozenset([account]), limit=1))
    assert told["halt"] is None


@pytest.mark.parametrize("halt_id", ["x", "019aa0c2-6f1e-7c3a-9b1e-2f5d8c1a7e40", "a%00b"])
def test_no_such_halt_is_a_404_or_leads_back(operator: Client, halt_id: str) -> None:
    assert operator.get(f"{HALTS}{halt_id}/lift/").status_code == 404
    assert operator.get(f"{HALTS}{halt_id}/change/").status_code in {302, 404}
