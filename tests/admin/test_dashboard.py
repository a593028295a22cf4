"""The front page: what is degraded, which environments, orders and accounts by state."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from tests.support.crowd import Stopwatch
from tests.support.until import until

pytestmark = pytest.mark.django_db


def process(name: str, role: str, *, started: float, seen: float) -> Any:
    """A process's row: started and last seen so many seconds ago. Not stored."""
    from accounts.models import ProcessRow  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415

    now = clock.now()
    return ProcessRow(
        name=name, role=role, pid=1, snapshot={"warm": 3, "leases": 3, "queue": {"depth": 2}},
        started_at=now - timedelta(seconds=started), seen_at=now - timedelta(seconds=seen),
    )  # fmt: skip


def titles(*rows: Any, redis_answers: bool = True) -> list[str]:
    """The alarms of these processes."""
    from opitios import console  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415

    found = console.alarms(list(rows), clock.now(), redis_answers=redis_answers)
    return [alarm.title for alarm in found]


def test_nothing_is_wrong_while_everything_runs() -> None:
    desk, web = (
        process("desk-1", "desk", started=60, seen=2),
        process("web:7", "web", started=9, seen=1),
    )

    assert titles(desk, web) == []


def test_a_process_that_went_silent_is_named() -> None:
    desk = process("desk-1", "desk", started=60, seen=2)

    assert titles(desk, process("desk-2", "desk", started=60, seen=20)) == ["desk-2 is gone"]


def test_a_worker_that_was_replaced_is_no_alarm() -> None:
    desk = process("desk-1", "desk", started=60, seen=2)
    old, new = (
        process("web:7", "web", started=99, seen=50),
        process("web:8", "web", started=49, seen=1),
    )
    older = process("web:9", "web", started=98, seen=1)

    assert titles(desk, old, new) == []
    assert titles(desk, old, older) == ["web:7 is gone"]


def test_no_desk_and_no_redis_are_said() -> None:
    assert titles(process("web:7", "web", started=9, seen=1), redis_answers=False) == [
        "No desk runs",
        "Degraded: Redis does not answer",
    ]


def test_redis_away_is_seen_and_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from opitios import console  # noqa: PLC0415
    from opitios.core import bus  # noqa: PLC0415

    until(console.redis_answers)
    nowhere = bus.client("redis://127.0.0.1:9/0")
    monkeypatch.setattr(bus, "client", lambda _url: nowhere)

    with Stopwatch() as took:
        assert not console.redis_answers()

    assert took.is_within(1), took


def test_the_front_page_counts_today_s_orders(superuser: Client, account: str) -> None:
    from opitios import console  # noqa: PLC0415
    from opitios.core import clock  # noqa: PLC0415
    from tests.admin.stories import filled  # noqa: PLC0415

    # One day for both counts, though New York's may end between them.
    now = clock.now()
    before = console._orders_today(now)
    row = filled(account)

    page = superuser.get("/admin/").content.decode()

    assert console._orders_today(now) - before == {"filled": 1}
    assert not console._orders_today(now + timedelta(days=2))
    assert f"/admin/trading/order/{row['id']}/change/" in page
    assert "not affiliated with" in page


def test_the_page_shows_processes_and_their_queues(superuser: Client, account: str) -> None:
    process(f"desk-{account}", "desk", started=60, seen=1).save()

    page = superuser.get("/admin/").content.decode()

    assert f"/admin/accounts/processrow/desk-{account}/change/" in page
    assert "No desk runs" not in page


@pytest.mark.parametrize(
    ("environments", "badge"),
    [
        ({"sandbox"}, ["● SANDBOX", "info"]),
        ({"sandbox", "paper"}, ["● PAPER + SANDBOX", "success"]),
        ({"live", "paper", "sandbox"}, ["● LIVE + PAPER + SANDBOX", "danger"]),
        (set(), None),
    ],
)
def test_the_badge_is_coloured_by_the_most_dangerous(
    environments: set[str], badge: list[str] | None
) -> None:
    from opitios import console  # noqa: PLC0415

    assert console.badge(environments) == badge


def test_the_badge_is_on_every_page(superuser: Client, account: str) -> None:
    for page in ("", "trading/order/", f"accounts/account/{account}/change/"):
        assert "● SANDBOX" in superuser.get(f"/admin/{page}").content.decode()


def test_admin_without_a_slash_leads_there() -> None:
    assert Client().get("/admin")["Location"] == "/admin/"
