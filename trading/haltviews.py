"""The REST face of halts: set, list, lift (api.md §2)."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from accounts import custody
from accounts.access import Permission, Principal, TokenView, authorize, principal_of
from accounts.claims import ACCOUNT_ID
from accounts.models import Halt
from accounts.paging import limit_of, one_of, paged
from opitios.core.admission import Lane
from opitios.core.errors import FieldError, Problem, Reason
from opitios.core.http import answer, bad_parameter, query_of, read_body
from trading import halts, schema
from trading.api import caller_of
from trading.executions import Row
from trading.halts import SYMBOL, Target

FIELDS = ("scope", "account_id", "symbol", "mode", "reason", "cancel_orders")
STATES = ("standing", "lifted", "all")
_STANDING = {"standing": True, "lifted": False, "all": None}

# Who may do anything here; what exactly, is judged for each halt.
_EITHER = (Permission.TRADE, Permission.OPERATOR)


class _HaltView(TokenView):
    """For who may trade or operate; nothing but halts uses up its allowance."""

    lanes: ClassVar[Mapping[str, Lane]] = {"POST": Lane.CONTROL, "DELETE": Lane.CONTROL}

    def check_access(self, request: Request, principal: Principal) -> None:
        """Judge that the token has either permission. Raises Problem 403."""
        if not any(map(principal.may, _EITHER)):
            raise Problem(Reason.FORBIDDEN, "The token lacks the permission `trade` or `operator`.")


class HaltsView(_HaltView):
    """The halts that concern the token's accounts."""

    @schema.list_halts
    def get(self, request: Request) -> HttpResponse:
        """List them, the newest first; `state` is standing, lifted or all."""
        query = query_of(request, ("state", "limit", "page_token"))
        limit, before = limit_of(query), _token(query.get("page_token"))
        standing = _STANDING[one_of(query, "state", STATES)]
        held = principal_of(request).accounts
        found = halts.list_halts(held, standing=standing, limit=limit + 1, before=before)
        page = [halts.halt_json(row) for row in found[:limit]]
        return answer(paged("halts", page, page[-1]["id"] if len(found) > limit else None))

    @schema.set_halt
    def post(self, request: Request) -> HttpResponse:
        """Set one: 201, or 200 where the same subject's stands; with what is being sent."""
        query_of(request, ())
        _, body = read_body(request)
        asked = _read(body)
        principal = principal_of(request)
        _require_target(principal, asked["target"])
        by = caller_of(request).asked()
        done = halts.set_halt(**asked, actor=by.actor, request=by.as_json())
        told = {**halts.halt_json(done.row), "in_flight": halts.in_flight(done.row)}
        return answer(told, status=201 if done.is_new else 200)


class HaltView(_HaltView):
    """One halt."""

    @schema.lift_halt
    def delete(self, request: Request, halt_id: str) -> HttpResponse:
        """Lift it; with `trade` alone, only what the same subject set."""
        query = query_of(request, ("reason",))
        reason = _reason(query.get("reason"))
        row = _visible(principal_of(request), halt_id)
        _require_lifting(principal_of(request), row)
        by = caller_of(request).asked()
        done = halts.lift(row["id"], actor=by.actor, reason=reason, request=by.as_json())
        return answer(halts.halt_json(done))


def _read(body: Mapping[str, Any]) -> dict[str, Any]:
    """Read what is to be halted. Raises Problem 422, naming every wrong field at once."""
    given = {name: value for name, value in body.items() if value is not None}
    errors = [*_unknown(given), *_target_errors(given), *_manner_errors(given)]
    if errors:
        detail = "; ".join(f"{error.field}: {error.message}" for error in errors[:3])
        raise Problem(Reason.INVALID_PARAMETER, detail, errors=errors)
    return {
        "target": Target(given.get("account_id"), given.get("symbol")),
        "mode": given.get("mode", Halt.Mode.HALT),
        "reason": given["reason"],
        "cancel_orders": given.get("cancel_orders", False),
    }


def _unknown(given: Mapping[str, Any]) -> list[FieldError]:
    return [
        FieldError(name[:64], "unknown-field", "This field is not known.", FIELDS)
        for name in given
        if name not in FIELDS
    ]


# Which names a scope needs, and which it may have.
_NEEDS = {"global": (), "account": ("account_id",), "symbol": ("symbol",)}
_TAKES = {"global": (), "account": ("account_id",), "symbol": ("symbol", "account_id")}


def _target_errors(given: Mapping[str, Any]) -> list[FieldError]:
    scope = given.get("scope")
    if type(scope) is not str or scope not in _NEEDS:
        message = "This must be global, account or symbol."
        return [FieldError("scope", "not-allowed", message, tuple(_NEEDS))]
    errors = [
        FieldError(name, "required", f"A halt of scope {scope} needs {name}.")
        for name in _NEEDS[scope]
        if name not in given
    ]
    for name in ("account_id", "symbol"):
        if name in given and name not in _TAKES[scope]:
            message = f"A halt of scope {scope} takes no {name}."
            errors.append(FieldError(name, "not-allowed", message))
        elif name in given and (wrong := _shape_error(name, given[name])) is not None:
            errors.append(wrong)
    return errors


_SHAPES = {"account_id": (ACCOUNT_ID, "account_001"), "symbol": (SYMBOL, "AAPL")}


def _shape_error(name: str, value: Any) -> FieldError | None:
    shape, example = _SHAPES[name]
    if type(value) is str and shape.fullmatch(value):
        return None
    return FieldError(name, "malformed", f"This must be a word such as {example}.")


def _manner_errors(given: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    mode = given.get("mode", Halt.Mode.HALT.value)
    if type(mode) is not str or mode not in Halt.Mode.values:
        message = f"This must be {' or '.join(Halt.Mode.values)}."
        errors.append(FieldError("mode", "not-allowed", message, tuple(Halt.Mode.values)))
    if not isinstance(given.get("cancel_orders", False), bool):
        errors.append(FieldError("cancel_orders", "not-a-boolean", "This must be true or false."))
    try:
        reason = given.get("reason")
        custody.reason_of(reason if type(reason) is str else "")
    except custody.Refused as why:
        errors.append(FieldError("reason", "required", f"{why}.".capitalize()))
    return errors


def _reason(text: str | None) -> str | None:
    try:
        return None if text is None else custody.reason_of(text)
    except custody.Refused as why:
        raise bad_parameter("reason", "not-a-reason", f"{why}.".capitalize()) from why


def _require_target(principal: Principal, target: Target) -> None:
    """Let pass who may halt this. Raises Problem: 404 for an account not held, 403."""
    if target.account_id is not None:
        held = Permission.TRADE if principal.may(Permission.TRADE) else Permission.OPERATOR
        authorize(principal, target.account_id, held)
    elif not _may_halt_all(principal):
        raise _not_for_all()


def _may_halt_all(principal: Principal) -> bool:
    return principal.accounts is None and principal.may(Permission.OPERATOR)


def _not_for_all() -> Problem:
    detail = "A halt of more than one account needs `operator` with `account_scope: all`."
    return Problem(Reason.FORBIDDEN, detail)


def _visible(principal: Principal, halt_id: str) -> Row:
    """Find a halt that concerns the token's accounts. Raises Problem 404 for any other."""
    wanted = _uuid(halt_id)
    row = None if wanted is None else halts.find(wanted)
    account_id = None if row is None else row["account_id"]
    if row is None or not (account_id is None or principal.holds(account_id)):
        raise Problem(Reason.NOT_FOUND, "There is no such halt for this token.")
    return row


def _require_lifting(principal: Principal, row: Row) -> None:
    is_own = (row["actor_kind"], row["actor"]) == ("principal", principal.sub)
    if row["account_id"] is None and not _may_halt_all(principal):
        raise _not_for_all()
    if not is_own and not principal.may(Permission.OPERATOR):
        detail = "With `trade` only the subject that set a halt lifts it; others need `operator`."
        raise Problem(Reason.FORBIDDEN, detail)


def _uuid(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def _token(text: str | None) -> UUID | None:
    if text is None:
        return None
    found = _uuid(text)
    if found is None:
        message = "This page_token was not given by this API."
        raise bad_parameter("page_token", "unknown-token", message)
    return found
