"""The single question "may this principal do this to that account", and the DRF classes over it.

Order of refusal: 401 token, 404 account, 403 permission (api.md §1). The principal's own set is
asked before anything about the account is (law 7), so a foreign account costs and says what an
unknown one does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request

from accounts.gate import get_gate, known_principal, principal_from
from accounts.models import Account
from accounts.pool import PooledAccount, get_pool
from accounts.tokens import NOT_VALID, Permission, Principal
from opitios.core import client_address
from opitios.core.admission import (
    Allowance,
    Asker,
    Lane,
    get_admission,
    refusal,
    seconds_waited,
)
from opitios.core.errors import Problem, Reason
from opitios.core.http import ApiView

__all__ = [
    "AccountView",
    "Permission",
    "Principal",
    "TokenAuthentication",
    "TokenView",
    "asker_of",
    "authorize",
    "is_low_priority",
    "principal_of",
    "remembered",
    "require_permission",
]

# One sentence for a foreign, an unknown and a malformed account: the answers must not differ.
NO_SUCH_ACCOUNT = "There is no such account for this token."
NO_TOKEN = "This endpoint needs a token."  # noqa: S105 - a sentence # nosec B105


class TokenAuthentication(BaseAuthentication):
    """Reads `Authorization: Bearer <token>`; the principal is `request.auth`."""

    def authenticate(self, request: Request) -> tuple[Principal, Principal] | None:
        """Verify the token; None where no Authorization header came. Raises Problem 401."""
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        get_gate().wait_until_loaded()
        address = client_address.of_request(request._request)
        principal = _listed(principal_from(bearer_token(header), address))
        # For the access log's line, and for whoever is told of a refusal.
        floor: Any = request._request
        floor.subject, floor.principal = principal.sub, principal
        return principal, principal

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme for WWW-Authenticate."""
        return "Bearer"


def remembered(header: str, address: str | None) -> Principal | None:
    """Find out who asks where this token was verified before and none of its accounts is barred.

    None: TokenAuthentication finds out, or says why not. Raises Problem as it does.
    """
    principal = known_principal(bearer_token(header), address)
    return None if principal is None or principal.barred else principal


def _listed(principal: Principal) -> Principal:
    """Write out the accounts of a token for all, where some may not be reached from here."""
    if not principal.barred:
        return principal
    reached = {account.account_id for account in get_pool().held(None)} - principal.barred
    return replace(principal, accounts=frozenset(reached), barred=frozenset())


def bearer_token(header: str) -> str:
    """Take the token out of one Authorization header (RFC 6750; the scheme's case is free).

    Two headers arrive joined by a comma and fail as a token. Raises Problem 401.
    """
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Problem(Reason.UNAUTHORIZED, NOT_VALID)
    return token.strip(" ")


def principal_of(request: Request) -> Principal:
    """Take the principal of a request. Raises Problem 401 where no token came."""
    principal = request.auth
    if not isinstance(principal, Principal):
        raise Problem(Reason.UNAUTHORIZED, NO_TOKEN)
    return principal


def authorize(principal: Principal, account_id: str, permission: Permission) -> None:
    """Let pass, or raise Problem: 404 for an account not held or not there, then 403.

    Existence is answered by this process's pool: no query, the same cost for every account.
    """
    _require_account(principal, account_id)
    require_permission(principal, permission)


def _require_account(principal: Principal, account_id: str) -> PooledAccount:
    account = get_pool().get(account_id) if principal.holds(account_id) else None
    if account is None:
        raise Problem(Reason.NOT_FOUND, NO_SUCH_ACCOUNT, account_id=account_id)
    return account


def require_permission(principal: Principal, permission: Permission) -> None:
    """Let pass, or raise Problem 403 naming the permission."""
    if not principal.may(permission):
        raise Problem(Reason.FORBIDDEN, f"The token lacks the permission `{permission}`.")


_LANES = {"GET": Lane.READ, "HEAD": Lane.READ, "DELETE": Lane.CANCEL}


def is_low_priority(account_id: str | None) -> bool:
    """Say whether an account gives way to the others where there is too much to do."""
    account = None if account_id is None else get_pool().get(account_id)
    return account is not None and account.priority == Account.Priority.LOW


def asker_of(principal: Principal, **about: Any) -> Asker:
    """Describe a request of this principal to the limits; `about`: Asker's other fields."""
    claimed = principal.rate_limits
    per_minute = None if claimed is None else claimed.get("requests_per_minute")
    return Asker(subject=principal.sub, per_minute=per_minute, **about)


# In a request's META: what the express way took for it. No header of a client is named so.
ALLOWANCE = "opitios.allowance"


def admitted(asker: Asker, meta: Mapping[str, Any]) -> Allowance:
    """Ask for a request's permits. Raises Problem 503 where it is shed."""
    waited = seconds_waited(meta.get("HTTP_X_REQUEST_START"))
    admission = get_admission()
    shed = admission.shed(asker, waited=waited, low_priority=is_low_priority(asker.account_id))
    if shed is not None:
        raise shed
    return admission.admit(asker)


class TokenView(ApiView):
    """An endpoint for a token, without an account in its path.

    `permission` holds for every method, None for any token; `permissions` by method wins over it.
    """

    authentication_classes: Sequence[type[BaseAuthentication]] = [TokenAuthentication]
    permission: ClassVar[Permission | None] = None
    permissions: ClassVar[Mapping[str, Permission]] = {}

    # By method, where it is not a GET that reads, a DELETE that cancels, anything else that orders.
    lanes: ClassVar[Mapping[str, Lane]] = {}
    # Which limit of an endpoint counts it besides: quotes, orders or positions (R23).
    endpoint: ClassVar[str | None] = None

    def check_permissions(self, request: Request) -> None:
        """Judge the principal: DRF calls this after authentication and before the handler."""
        principal = principal_of(request)
        self.check_access(request, principal)
        self.check_limits(request, principal)

    def check_limits(self, request: Request, principal: Principal) -> None:
        """Judge whether it may be asked now, and so often. Raises Problem 429, 503."""
        asker = self.asker(request, principal)
        allowance = request.META.get(ALLOWANCE) or admitted(asker, request.META)
        # For the answer's headers.
        request._request.allowance = allowance  # type: ignore[attr-defined]
        if allowance.refused_for is not None:
            raise refusal(allowance, asker.account_id)

    def asker(self, request: Request, principal: Principal, *, cost: int = 1) -> Asker:
        """Describe the request to the limits; `cost`: how many it counts for."""
        return asker_of(
            principal,
            lane=self._lane(str(request.method)),
            account_id=self.kwargs.get("account_id"),
            endpoint=self.endpoint,
            cost=cost,
        )

    def _lane(self, method: str) -> Lane:
        if self.permission is Permission.MARKET_DATA:
            return Lane.MARKET_DATA
        return self.lanes.get(method) or _LANES.get(method, Lane.ORDER)

    def check_access(self, request: Request, principal: Principal) -> None:
        """Judge the permission of the method. Raises Problem 403, MethodNotAllowed."""
        needed = self.needed_permission(request)
        if needed is not None:
            require_permission(principal, needed)

    def needed_permission(self, request: Request) -> Permission | None:
        """Find the permission of the method. Raises MethodNotAllowed where none is declared."""
        method = str(request.method)
        if not self.permissions:
            return self.permission
        # HEAD is answered by the handler of GET.
        needed = self.permissions.get("GET" if method == "HEAD" else method)
        if needed is None:
            raise MethodNotAllowed(method)
        return needed


class AccountView(TokenView):
    """An endpoint under `accounts/{account_id}/`: the account is judged before anything else is.

    Either `permission` or `permissions` must be declared.
    """

    # Whether new orders come in here: only accounts of the type `trading` take them (ADR 13).
    opens_orders: ClassVar[bool] = False

    def check_access(self, request: Request, principal: Principal) -> None:
        """Judge the account, then the permission. Raises Problem 404, 403, MethodNotAllowed."""
        account = _require_account(principal, self.kwargs["account_id"])
        super().check_access(request, principal)
        if self.opens_orders and account.account_type != Account.Type.TRADING:
            raise Problem(
                Reason.NO_TRADING_ACCOUNT, f"This account is of the type {account.account_type}."
            )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a view that forgot to say what it needs: it would be open to every token."""
        super().__init_subclass__(**kwargs)
        if cls.permission is None and not cls.permissions:
            raise TypeError(f"{cls.__name__} declares neither permission nor permissions")
