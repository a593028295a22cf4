"""A denial reaches a web process under granian in less than five seconds (G14, H025)."""

from uuid import uuid4

import pytest

from accounts import denials
from tests.accounts.custodial import ME
from tests.hostile.wire import Target, head
from tests.support.accounts import token
from tests.support.crowd import Stopwatch
from tests.support.until import until

pytestmark = pytest.mark.django_db


def test_h025_a_denied_token_is_out_of_every_worker_within_seconds(target: Target) -> None:
    subject = f"sub-{uuid4().hex[:12]}"
    stolen = token([target.account], sub=subject)
    asked = head("GET", target.orders, f"Authorization: Bearer {stolen}")
    spoofed = head(
        "GET", target.orders, f"Authorization: Bearer {stolen}", "X-Forwarded-For: 10.0.0.1"
    )
    assert target.exchange(asked)[0].status == 200

    denials.deny("sub", subject, until=None, actor=ME, reason="stolen")

    with Stopwatch() as took:
        until(lambda: target.exchange(asked)[0].status == 401)

    assert took.is_within(5), took
    denials.set_subject(subject, {"allowed_ips": ["10.0.0.0/8"]}, actor=ME, reason="its office")
    denials.lift("sub", subject, actor=ME, reason="found again")
    # From elsewhere, whatever it says of itself.
    assert {target.exchange(each)[0].status for each in [asked, spoofed] * 5} == {401}
    denials.set_subject(subject, {"allowed_ips": []}, actor=ME, reason="from anywhere")
    until(lambda: target.exchange(asked)[0].status == 200)
