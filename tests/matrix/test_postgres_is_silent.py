"""Postgres takes every byte and never answers: requests end in time, no order is lost (C23)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from opitios.core.database import ANSWER_SECONDS
from tests.matrix.nodes import Caller, Node, Web, desk_node, listens, patient_order, running
from tests.support.accounts import open_account
from tests.support.crowd import Stopwatch
from tests.support.orders import kinds
from tests.support.proxy import Proxy
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until
from tests.trading.desks import only
from tests.trading.outages import proxied_url
from tests.trading.test_desk_sends import held
from trading import queries

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

# A statement, and the first connection after it that was not to be had.
BOUND_SECONDS = ANSWER_SECONDS + 1.0


@dataclass
class Gateway:
    """A web server and a desk that reach Postgres through a proxy; the test itself does not."""

    postgres: Proxy
    web: Web
    desk: Node
    caller: Caller
    order: dict[str, object] = field(default_factory=patient_order)

    def refusal(self, key: str) -> str:
        """Place an order that is refused with 503 in time; the reason."""
        with Stopwatch() as took:
            answer = self.caller.place(self.web, key, self.order)
        assert answer.status_code == 503, answer.text
        assert took.is_within(BOUND_SECONDS), took
        return str(answer.json()["reason"])

    def is_taken(self, key: str) -> bool:
        """Whether an order is accepted now."""
        return self.caller.place(self.web, key, self.order).status_code == 202

    def is_filled(self) -> bool:
        """Whether every order of the account is."""
        rows = queries.orders_where("account_id = %s", (self.caller.account_id,))
        return all(row["status"] == "filled" for row in rows)


@contextmanager
def gateway(sandbox: SandboxProcess, folder: Path) -> Iterator[Gateway]:
    """Run one for an account of its own."""
    account_id = open_account(url=sandbox.url)
    with proxied_url(os.environ["DATABASE_URL"]) as (proxy, url), only(account_id):
        web, desk = Web(folder, None, DATABASE_URL=url), desk_node(folder, DATABASE_URL=url)
        with running(web, desk):
            web.wait_until_ready()
            listens(account_id)
            yield Gateway(proxy, web, desk, Caller(account_id))


def test_c23_a_black_hole_in_mid_statement_is_a_503_in_time_and_costs_no_order(
    db: None, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    with gateway(sandbox, tmp_path) as there:
        account_id = there.caller.account_id
        sandbox.fault("delay", account=account_id, route="POST /v2/orders", when="after", ms=1500)
        assert there.is_taken("held")
        until(lambda: held(sandbox, account_id))

        # The broker's answer to the first will find nobody to write it down.
        there.postgres.hold_after(b"in-the-hole")
        reasons = [there.refusal("in-the-hole"), *(there.refusal(f"later-{n}") for n in range(3))]
        until(lambda: "the desk cannot reach postgres" in there.desk.log.read_text(), seconds=20)
        there.postgres.come_back()

        # It was stored, and nobody could know: its key tells.
        assert reasons[0] == "outcome-unknown"
        until(lambda: there.is_taken("in-the-hole"), seconds=20)
        until(lambda: there.is_taken("later-0"), seconds=20)
        until(there.is_filled, seconds=30)

    assert kinds(account_id).count("order.queued") == 3
    # Each was sent once, the one whose answer could not be written too.
    assert len(held(sandbox, account_id)) == len(sandbox.ledger(account=account_id)) == 3
