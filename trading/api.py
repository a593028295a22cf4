"""The REST face of orders: parse, ask the one question, call, answer (api.md §1–§4)."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from accounts import journal, reads
from accounts.access import AccountView, Permission, Principal, principal_of
from accounts.paging import as_of, instant_of, limit_of, one_of, paged
from accounts.parameters import SYMBOL
from accounts.pool import PooledAccount, get_pool
from opitios.broker.errors import BrokerError
from opitios.core import clock, database
from opitios.core.admission import get_threads
from opitios.core.bodies import Stream
from opitios.core.errors import Problem, Reason
from opitios.core.http import (
    answer,
    bad_parameter,
    problem_answer,
    problem_kept,
    query_of,
    read_json,
)
from trading import orders, queries, reconciler, schema, shapes
from trading.commands import SIDES, read_stock_order
from trading.limits import orders_a_day
from trading.orders import Accepted, Asked, Canceled
from trading.waiting import LONGEST, get_waits

# The longest client_order_id (api.md §1); nothing longer names an order.
LONGEST_ID = 128

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*(\d{1,9})\s*(?:,|;|$)", re.ASCII)

# api.md §2: so many at once.
MAX_SYMBOLS = 100

LIST_PARAMETERS = (
    "status", "limit", "after", "until", "direction", "symbols", "side", "page_token",
)  # fmt: skip


class OrdersView(AccountView):
    """The orders of one account."""

    endpoint = "orders"
    permissions: ClassVar[Mapping[str, Permission]] = {
        "GET": Permission.ACCOUNT_READ,
        "DELETE": Permission.TRADE,
    }

    @schema.list_orders
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """List orders, newest first; `status` is open, closed or all."""
        query = query_of(request, LIST_PARAMETERS)
        listing = queries.Listing(
            account_id=account_id,
            status=one_of(query, "status", ("open", "closed", "all")),
            direction=one_of(query, "direction", ("desc", "asc")),
            limit=limit_of(query),
            after=instant_of(query, "after"),
            until=instant_of(query, "until"),
            symbols=_symbols(query),
            side=one_of(query, "side", SIDES) if "side" in query else None,
            page_token=query.get("page_token"),
        )
        mark = as_of(account_id)
        try:
            rows, token = queries.list_orders(listing)
        except queries.BadToken as error:
            raise bad_parameter("page_token", "unknown-token", str(error)) from error
        return answer(paged("orders", [shapes.order_json(row) for row in rows], token) | mark)

    @schema.cancel_orders
    def delete(self, request: Request, account_id: str) -> HttpResponse:
        """Cancel every order that is not final: 207, with what DELETE of each would answer."""
        query_of(request, ())
        asked = caller_of(request).asked()
        results = [
            {"index": index, **_cancel_result(row, outcome, asked.request_id)}
            for index, (row, outcome) in enumerate(orders.cancel_all(account_id, asked))
        ]
        return answer({"summary": _cancel_summary(results), "results": results}, status=207)


# In a request's META: what came of an order that the express way placed, Accepted or an exception.
OUTCOME = "opitios.outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and how. ip None: nobody knows it."""

    principal: Principal
    request_id: str
    received_at: datetime
    ip: str | None
    method: str
    path: str

    def asked(self, key: str | None = None, body_sha256: str | None = None) -> Asked:
        """Say it as acceptance and journal want it."""
        principal = self.principal
        return Asked(
            subject=principal.sub,
            principal={
                "sub": principal.sub,
                "act": principal.act,
                "jti": principal.jti,
                "permissions": sorted(principal.permissions),
                "ip": self.ip,
            },
            request_id=self.request_id,
            received_at=self.received_at,
            idempotency_key=key,
            body_sha256=body_sha256,
            method=self.method,
            path=self.path,
            orders_per_day=orders_a_day(principal),
        )


def place(
    caller: Caller, account: PooledAccount, meta: Mapping[str, Any], stream: Stream
) -> Accepted:
    """Read a stock order and store it. Raises Problem as read_json and place_order do."""
    key = _idempotency_key(meta)
    raw, body = read_json(meta, stream, by=caller.principal.sub)
    return orders.place_order(
        read_stock_order(body, clock.now()),
        account_id=account.account_id,
        environment=account.environment,
        asked=caller.asked(key, hashlib.sha256(raw).hexdigest()),
    )


class StockOrdersView(AccountView):
    """Where stock orders come in."""

    endpoint = "orders"
    permission = Permission.TRADE
    opens_orders = True

    @schema.place_stock_order
    def post(self, request: Request, account_id: str) -> HttpResponse:
        """Store one order: 202, or with `Prefer: wait=N` the broker's verdict."""
        floor = request._request
        outcome = floor.META.get(OUTCOME)
        if isinstance(outcome, Exception):
            raise outcome
        # What the express way placed is not placed again.
        accepted = outcome or place(caller_of(request), _account(account_id), floor.META, floor)
        return _placed(request, account_id, accepted)


class OrderView(AccountView):
    """One order, by our id or the broker's."""

    endpoint = "orders"
    permissions: ClassVar[Mapping[str, Permission]] = {
        "GET": Permission.ACCOUNT_READ,
        "DELETE": Permission.TRADE,
    }

    @schema.read_order
    def get(self, request: Request, account_id: str, order_id: str) -> HttpResponse:
        """Read the order with its timeline, attempts and executions."""
        query_of(request, ())
        return answer(queries.order_detail(_order(account_id, order_id)))

    @schema.cancel_order
    def delete(self, request: Request, account_id: str, order_id: str) -> HttpResponse:
        """Cancel: 200 if it was never sent, 202 if the broker is asked, 409 if it is final."""
        query_of(request, ())
        row = _order(account_id, order_id)
        canceled = orders.cancel_order(row, caller_of(request).asked())
        return answer(shapes.order_json(canceled.row), status=_cancel_status(canceled))


def _cancel_status(canceled: Canceled) -> HTTPStatus:
    return HTTPStatus.OK if canceled.never_sent else HTTPStatus.ACCEPTED


def _cancel_result(
    row: Mapping[str, Any], outcome: Canceled | Problem, request_id: str
) -> dict[str, Any]:
    about = {
        "account_id": row["account_id"],
        "client_order_id": row["client_order_id"],
        "order_id": str(row["id"]),
    }
    if isinstance(outcome, Problem):
        return {**about, "status": outcome.status, "problem": outcome.body(request_id)}
    return {**about, "status": _cancel_status(outcome), "order": shapes.order_json(outcome.row)}


def _cancel_summary(results: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    statuses = [result["status"] for result in results]
    canceled, asked = statuses.count(HTTPStatus.OK), statuses.count(HTTPStatus.ACCEPTED)
    refused = len(results) - canceled - asked
    return {"items": len(results), "canceled": canceled, "requested": asked, "refused": refused}


class OrderByClientIdView(AccountView):
    """One order, by its client_order_id."""

    endpoint = "orders"
    permission = Permission.ACCOUNT_READ

    @schema.read_order_by_client_order_id
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """Read the order with its timeline, attempts and executions."""
        query = query_of(request, ("client_order_id",))
        wanted = query.get("client_order_id")
        if not wanted:
            raise bad_parameter("client_order_id", "required", "client_order_id is required.")
        row = queries.find_by_client_order_id(account_id, wanted) if _is_text(wanted) else None
        if row is None:
            raise _no_order(account_id)
        return answer(queries.order_detail(row))


class OrderEventsView(AccountView):
    """What happened to one order, entry by entry."""

    endpoint = "orders"
    permission = Permission.ACCOUNT_READ

    @schema.list_order_events
    def get(self, request: Request, account_id: str, order_id: str) -> HttpResponse:
        """Read the order's journal entries, oldest first."""
        query_of(request, ())
        mark = as_of(account_id)
        row = _order(account_id, order_id)
        entries = [journal.entry_json(entry) for entry in queries.order_entries(row["id"])]
        return answer(paged("entries", entries, None) | mark)


class ReconciliationView(AccountView):
    """Where the broker's books and ours differ."""

    permission = Permission.ACCOUNT_READ

    @schema.read_reconciliation
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """Compare the open orders now, changing nothing: a drift report."""
        query_of(request, ())
        account = _account(account_id)
        mark = as_of(account_id)
        database.release()
        try:
            with get_threads().waiting():
                drift = reconciler.drift(account)
        except BrokerError as error:
            raise reads.unreadable(account, error) from error
        return answer({"account_id": account_id, **drift.as_json(), **mark})


class FillsView(AccountView):
    """The executions of one account."""

    permission = Permission.ACCOUNT_READ

    @schema.list_fills
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """List fills, newest first."""
        query = query_of(request, ("limit", "page_token"))
        mark = as_of(account_id)
        fills, token = queries.list_fills(
            account_id, after_id=_fill_token(query.get("page_token")), limit=limit_of(query)
        )
        return answer(paged("fills", fills, None if token is None else str(token)) | mark)


def _symbols(query: Mapping[str, str]) -> list[str]:
    symbols = [symbol for symbol in query.get("symbols", "").split(",") if symbol]
    if len(symbols) <= MAX_SYMBOLS and all(map(SYMBOL.fullmatch, symbols)):
        return symbols
    message = f"symbols is a list such as AAPL,MSFT of at most {MAX_SYMBOLS}."
    raise bad_parameter("symbols", "not-symbols", message)


def _fill_token(token: str | None) -> int | None:
    if token is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,17}", token):
        message = "This page_token was not given by this API."
        raise bad_parameter("page_token", "unknown-token", message)
    return int(token)


def headers_of(account_id: str, accepted: Accepted) -> dict[str, str]:
    """Say where the order is found, and whether it was there before."""
    headers = {"Location": f"/api/v1/accounts/{account_id}/orders/{accepted.order_id}"}
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return headers


def _placed(request: Request, account_id: str, accepted: Accepted) -> HttpResponse:
    headers = headers_of(account_id, accepted)
    seconds = _preferred_wait(request)
    if accepted.denied is not None:
        if seconds is not None:
            headers["Preference-Applied"] = f"wait={seconds}"
        return problem_kept(accepted.denied, request._request, body=accepted.body, headers=headers)
    if seconds is None:
        return answer(accepted.body, status=202, headers=headers)
    headers["Preference-Applied"] = f"wait={seconds}"
    row = get_waits().verdict(accepted.order_id, seconds)
    if row is None or row["status"] == "unknown":
        return answer(accepted.body, status=202, headers=headers)
    if row["status"] == "rejected":
        return _refused(request, row, headers)
    return answer(shapes.order_json(row), headers=headers)


def _refused(request: Request, row: dict[str, Any], headers: Mapping[str, str]) -> HttpResponse:
    response = problem_answer(shapes.rejection(row), request._request)
    for name, value in headers.items():
        response[name] = value
    return response


def _preferred_wait(request: Request) -> int | None:
    found = _WAIT.search(request.META.get("HTTP_PREFER", "").lower())
    return None if found is None else min(int(found[1]), LONGEST)


def _idempotency_key(meta: Mapping[str, Any]) -> str | None:
    key: str | None = meta.get("HTTP_IDEMPOTENCY_KEY")
    if key is None or _KEY.fullmatch(key):
        return key
    message = "An Idempotency-Key is 1–255 visible ASCII characters."
    raise bad_parameter("Idempotency-Key", "malformed", message)


def caller_of(request: Request) -> Caller:
    """Say who calls. Raises Problem 401 where no token came."""
    floor: Any = request._request
    return Caller(
        principal=principal_of(request),
        request_id=floor.request_id,
        received_at=floor.received_at,
        ip=floor.client_ip,
        method=str(request.method),
        path=request.path,
    )


def _account(account_id: str) -> PooledAccount:
    account = get_pool().get(account_id)
    if account is None:
        raise Problem(Reason.NOT_FOUND)
    return account


def _order(account_id: str, order_id: str) -> dict[str, Any]:
    row = queries.find_order(account_id, order_id) if _is_text(order_id) else None
    if row is None:
        raise _no_order(account_id)
    return row


def _is_text(value: str) -> bool:
    # Postgres takes no NUL in a text; such an id is simply not there.
    return "\x00" not in value and len(value) <= LONGEST_ID


def _no_order(account_id: str) -> Problem:
    return Problem(Reason.NOT_FOUND, "This account has no such order.", account_id=account_id)
