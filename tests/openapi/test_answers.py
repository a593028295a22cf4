"""Every answer of the API is one its document tells of, key for key."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from accounts import reloading
from opitios.core import clock
from opitios.core.config import get_config
from sandbox.contracts import chain
from sandbox.universe import LISTED
from tests.accounts.rosters import entry, roster, write
from tests.api.calls import GOOD, Api, new_key, read
from tests.openapi.document import Document
from tests.support.accounts import lease, token
from tests.support.orders import CAUSE, fill, place, report, row_of
from tests.support.sandbox_process import SandboxProcess
from trading import executions
from trading.orders import Accepted
from trading.writes import Ended

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(api: Api) -> Accepted:
    """An order that was sent, acknowledged and filled."""
    lease(api.account, "d")
    accepted = place(api.account, new_key(), tags={"strategy": "mr-7"})
    claimed = executions.claim(row_of(accepted), owner="d", process="desk-1")
    assert claimed is not None
    row = claimed.row
    executions.report(row["id"], report(row, "new"), CAUSE)
    executions.attempt_ended(row["id"], Ended(1, "accepted", 21.9, 200, "8f1c"))
    told = report(row, "filled", second=2.0, filled_qty="10", filled_avg_price="187.21",
                  event="fill", execution=fill("b5e2", 10, "187.21"))  # fmt: skip
    executions.report(row["id"], told, CAUSE)
    return accepted


# Expired long ago: it has no quote any more.
GONE = "AAPL200117C00190000"


def a_contract() -> str:
    """A contract on Apple that lives for weeks."""
    return next(
        each.symbol
        for each in chain(LISTED["AAPL"], clock.now().date())
        if each.expires_on > clock.now().date() + timedelta(days=20)
    )


def reads(api: Api, order_id: object) -> Iterator[str]:
    """Every path that is read."""
    yield from ("/", "/health/live", "/health/ready", "/api/v1/health", "/api/v1/pool")
    yield "/api/v1/pool?limit=1"
    yield from (f"/api/v1/{name}" for name in (
        "stocks/quote/AAPL", "stocks/quotes?symbols=AAPL,ZZZZ", "stocks/trade/AAPL",
        "stocks/snapshot/AAPL", "stocks/snapshots?symbols=AAPL,ZZZZ", "stocks/bars/AAPL?limit=5",
        "options/chain/AAPL?limit=2", "options/contracts?limit=2", "assets?exchange=ARCA",
        "assets/AAPL", "clock", "calendar?start=2026-11-01&end=2026-11-30",
        f"options/quote/{a_contract()}", f"options/quotes?symbols={a_contract()},{GONE}",
    ))  # fmt: skip
    yield from ("/api/v1/token", "/api/v1/limits", "/api/v1/accounts")
    yield "/api/v1/accounts?state=warming&limit=1"
    account = f"/api/v1/accounts/{api.account}"
    yield from (f"{account}/{name}" for name in (
        "account", "positions", "positions/AAPL", "journal", "journal?limit=1", "fills", "orders",
        "orders?status=all&limit=1", f"orders/{order_id}", f"orders/{order_id}/events",
        "reconciliation", "account/configurations", "portfolio/history",
        "portfolio/history?period=1D&cashflow_types=ALL", "activities", "activities?limit=1",
    ))  # fmt: skip
    coid = read(api.get(f"/{order_id}"))["client_order_id"]
    yield f"{account}/orders:by_client_order_id?client_order_id={coid}"


def read_everything(api: Api, order_id: object, document: Document) -> None:
    """Hold every read that finds something against the document."""
    for path in reads(api, order_id):
        answer = api.call("GET", path)

        assert answer.status_code == 200, (path, answer.content)
        document.hold("GET", path, answer)


@pytest.fixture
def account_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the installation have an account file."""
    path = write(tmp_path, roster(entry("openapi")))
    config = get_config().model_copy(update={"accounts_file": path})
    monkeypatch.setattr(reloading, "get_config", lambda: config)


def reload(api: Api, document: Document) -> None:
    """Hold what a reload would do against the document; it does nothing."""
    path, admin = "/api/v1/accounts/reload", token(None, permissions=["admin"])
    answer = api.call("POST", path, {"dry_run": True}, Authorization=f"Bearer {admin}")
    document.hold("POST", path, answer)


def place_and_cancel(api: Api, document: Document) -> None:
    """Hold a new order, a verdict and every way a cancel is taken against the document."""
    key = new_key()
    placed = api.place(key=key)
    document.hold("POST", f"{api.orders}/stocks", placed)
    order = read(placed)
    executions.report(order["id"], report(order, "new"), CAUSE)
    document.hold("POST", f"{api.orders}/stocks", api.place(key=key, Prefer="wait=1"))
    for order_id in (order["id"], read(api.place())["id"]):
        path = f"{api.orders}/{order_id}"
        document.hold("DELETE", path, api.call("DELETE", path))
    api.place()
    document.hold("DELETE", api.orders, api.call("DELETE", api.orders))


def halt_and_lift(api: Api, document: Document) -> None:
    """Hold a halt, the same again, the list of them and its lifting against the document."""
    path, body = "/api/v1/halts", {"scope": "account", "account_id": api.account, "reason": "odd"}
    first, again = api.call("POST", path, body), api.call("POST", path, body)
    document.hold("POST", path, first)
    document.hold("POST", path, again)
    document.hold("POST", f"{api.orders}/stocks", api.place())
    document.hold("GET", path, api.call("GET", path))
    lifting = f"{path}/{read(again)['id']}"
    document.hold("DELETE", lifting, api.call("DELETE", lifting))


def test_every_operation_answers_every_success_it_tells_of(
    api: Api, filled: Accepted, quoted: None, account_file: None
) -> None:
    document = Document()

    read_everything(api, filled.order_id, document)
    reload(api, document)
    place_and_cancel(api, document)
    halt_and_lift(api, document)

    told = {
        (name, int(status))
        for name, each in document.operations().items()
        for status in each["responses"]
        if status.startswith("2")
    }
    assert told - document.seen == set()


def test_an_order_without_a_key_says_what_a_repeat_would_do(api: Api) -> None:
    answer = api.place()

    assert "hint" in read(answer)
    Document().hold("POST", f"{api.orders}/stocks", answer)


def test_an_order_that_is_final_is_not_cancelled(api: Api, filled: Accepted) -> None:
    path = f"{api.orders}/{filled.order_id}"

    answer = api.call("DELETE", path)

    assert answer.status_code == 409
    Document().hold("DELETE", path, answer)


def test_every_refusal_of_an_order_is_told(api: Api) -> None:
    document = Document()
    path = f"{api.orders}/stocks"
    reader = token([api.account], permissions=["account_read"])
    api.place(key="once")
    refused = [
        (400, api.call("POST", path, b"{")),
        (401, api.place(Authorization="Bearer no")),
        (403, api.place(Authorization=f"Bearer {reader}")),
        (404, api.place(Authorization=f"Bearer {token(['somebody-else'])}")),
        (405, api.call("PUT", path)),
        (413, api.call("POST", path, b"x" * 100_000)),
        (415, api.call("POST", path, b"{}", Content_Type="text/plain")),
        (422, api.place({**GOOD, "qty": "x", "legs": []})),
        (422, api.place({**GOOD, "qty": "2"}, key="once")),
    ]

    for status, answer in refused:
        assert answer.status_code == status
        document.hold("POST", path, answer)


def test_a_broker_that_is_away_is_told(sandbox: SandboxProcess, api: Api) -> None:
    sandbox.fault("500", account=api.account, times=0)
    path = f"/api/v1/accounts/{api.account}/positions"

    answer = api.call("GET", path)

    assert answer.status_code == 503
    Document().hold("GET", path, answer)
