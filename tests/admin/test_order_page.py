"""One order's page: the way from request to fill, and everything that was written about it."""

import re

import pytest
from django.test import Client

from trading import story

pytestmark = pytest.mark.django_db

STAGES = ["received", "checked", "stored", "sent", "acknowledged", "first fill", "final"]


def shown_steps(content: str) -> list[tuple[str, str]]:
    """Each step's state and name, as drawn."""
    found = re.findall(
        r'<div class="op-step op-\w+ op-(\w+)">\s*<i></i>\s*<strong>([^<]+)</strong>', content
    )
    return [(state, name) for state, name in found]


def test_a_filled_order_shows_every_stage_reached(superuser: Client, account: str) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    row = filled(account)

    content = superuser.get(f"/admin/trading/order/{row['id']}/change/").content.decode()

    assert shown_steps(content) == [("reached", stage) for stage in STAGES]
    assert "final after" in content
    assert "10 filled at 187.2" in content
    for text in ("8f1c0000", "21.9 ms", row["broker_order_id"], row["client_order_id"]):
        assert text in content
    for kind in ("order.queued", "order.submitting", "order.new", "order.fill"):
        assert kind in content


def test_an_order_that_waits_shows_what_is_to_come(superuser: Client, account: str) -> None:
    from tests.support.orders import place  # noqa: PLC0415

    order = place(account)

    content = superuser.get(f"/admin/trading/order/{order.order_id}/change/").content.decode()

    states = [state for state, _ in shown_steps(content)]
    assert states == ["reached"] * 3 + ["waiting"] * 4
    assert "Nothing was sent to the broker." in content


def test_a_refused_order_says_why_and_what_to_do(superuser: Client, account: str) -> None:
    from tests.admin.stories import rejected  # noqa: PLC0415

    row = rejected(account, "insufficient buying power")

    content = superuser.get(f"/admin/trading/order/{row['id']}/change/").content.decode()

    assert "Insufficient buying power" in content
    assert "insufficient-buying-power, 40310000" in content
    assert ("skipped", "first fill") in shown_steps(content)


def test_an_order_that_is_not_there_is_no_error(superuser: Client) -> None:
    for name in ("01890000-0000-7000-8000-000000000000", "none"):
        answer = superuser.get(f"/admin/trading/order/{name}/change/")

        assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def test_the_page_costs_the_same_for_every_order(
    superuser: Client, account: str, django_assert_max_num_queries: object
) -> None:
    from tests.admin.stories import filled  # noqa: PLC0415

    row = filled(account)

    with django_assert_max_num_queries(14):  # type: ignore[operator]
        superuser.get(f"/admin/trading/order/{row['id']}/change/")


def test_steps_share_the_bar_by_the_time_they_took() -> None:
    timeline = [
        {"stage": "received", "ms": 0.0},
        {"stage": "checked", "ms": 1.0},
        {"stage": "stored", "ms": 2.0},
        {"stage": "sent", "ms": 5.0, "attempt": 1},
        {"stage": "sent", "ms": 7.0, "attempt": 2},
        {"stage": "acknowledged", "ms": 10.0},
        {"stage": "final", "ms": 10.0},
    ]

    steps = story.steps(timeline, final=True)

    assert [(step.name, step.state, step.share) for step in steps] == [
        ("received", "reached", "0.00"),
        ("checked", "reached", "10.00"),
        ("stored", "reached", "10.00"),
        ("sent", "reached", "30.00"),
        ("sent (2)", "reached", "20.00"),
        ("acknowledged", "reached", "30.00"),
        ("first fill", "skipped", "0"),
        ("final", "reached", "0.00"),
    ]


def test_a_fill_before_its_acknowledgement_takes_no_negative_time() -> None:
    timeline = [
        {"stage": "received", "ms": 0.0},
        {"stage": "acknowledged", "ms": 9.0},
        {"stage": "first_fill", "ms": 8.0},
    ]

    took = [step.took_ms for step in story.steps(timeline, final=False) if step.took_ms is not None]

    assert took == [0.0, 9.0, 0.0]
