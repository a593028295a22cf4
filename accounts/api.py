"""The REST face of accounts: a token's own, what the broker says of one, journal and pool."""

import re
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from accounts import journal, limits, listing, parameters, poolview, reads, schema
from accounts.access import AccountView, Permission, TokenView, principal_of
from accounts.paging import account_token, as_of, limit_of, number_of, paged
from accounts.pool import PooledAccount, get_pool
from opitios.core import clock
from opitios.core.errors import Problem, Reason
from opitios.core.http import answer, bad_parameter, query_of

_KIND = re.compile(r"[a-z][a-z_.]{0,63}")


def pooled(account_id: str) -> PooledAccount:
    """Find an account that the permission check has let pass. Raises Problem 404."""
    account = get_pool().get(account_id)
    if account is None:
        raise Problem(Reason.NOT_FOUND, account_id=account_id)
    return account


class TokenOwnView(TokenView):
    """What the token allows: for any token, also one without permissions."""

    @schema.read_token
    def get(self, request: Request) -> HttpResponse:
        """Tell what a verified token says, never the token; nothing is looked up."""
        query_of(request, ())
        principal = principal_of(request)
        held = get_pool().held(principal.accounts)
        return answer(
            {
                "subject": principal.sub,
                "act": principal.act,
                "accounts": None if principal.accounts is None else sorted(principal.accounts),
                "account_scope": "all" if principal.accounts is None else None,
                "account_type": principal.account_type,
                "permissions": sorted(principal.permissions),
                "issued_at": clock.rfc3339(principal.issued_at),
                "expires_at": clock.rfc3339(principal.expires_at),
                "limits": [row.as_json() for row in limits.of_token(principal)],
                "environments": sorted({account.environment for account in held}),
            }
        )


class LimitsView(TokenView):
    """How near the token is to each of its limits."""

    @schema.list_limits
    def get(self, request: Request) -> HttpResponse:
        """List them: first those no account has for itself, then account by account."""
        query = query_of(request, ("limit", "page_token"))
        principal, after, size = principal_of(request), account_token(query), limit_of(query)
        held = sorted(each.account_id for each in get_pool().held(principal.accounts))
        asked = [account_id for account_id in held if account_id > after]
        rows = [] if after else limits.rows_of(principal, ())
        if asked:
            rows += limits.rows_of(principal, asked[:size])
        token = asked[size - 1] if len(asked) > size else None
        return answer(paged("limits", [row.as_json() for row in rows], token))


class AccountsView(TokenView):
    """The token's own accounts, as their desks last saw them."""

    @schema.list_accounts
    def get(self, request: Request) -> HttpResponse:
        """List them by id; nothing is asked of the broker."""
        query = query_of(request, ("state", "environment", "limit", "page_token"))
        filters = parameters.read_listing(query)
        asked = listing.Listing(
            held=principal_of(request).accounts,
            limit=limit_of(query),
            after=account_token(query),
            **filters,
        )
        return answer(paged("accounts", *listing.list_accounts(asked)))


class BrokerAccountView(AccountView):
    """The account at the broker: balances, buying power, status."""

    permission = Permission.ACCOUNT_READ

    @schema.read_account
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """Read Alpaca's account object, with ours beside it."""
        query_of(request, ())
        account = pooled(account_id)
        mark = as_of(account_id)
        body, at = reads.account(account)
        ours = {"account_id": account_id, "environment": account.environment}
        return answer({**body, **ours, **mark, "as_of": at})


class ConfigurationsView(AccountView):
    """The account's settings at the broker."""

    permission = Permission.ACCOUNT_READ

    @schema.read_configurations
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """Read Alpaca's configurations object."""
        query_of(request, ())
        mark = as_of(account_id)
        body, at = reads.configurations(pooled(account_id))
        return answer({**body, **mark, "as_of": at})


class PortfolioHistoryView(AccountView):
    """Equity and profit of one account over time."""

    permission = Permission.ACCOUNT_READ

    @schema.read_portfolio_history
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """Read Alpaca's time series, asked for by its own names."""
        filters = parameters.read_history(query_of(request, tuple(parameters.HISTORY)))
        mark = as_of(account_id)
        body, at = reads.portfolio_history(pooled(account_id), filters)
        return answer({**body, **mark, "as_of": at})


class ActivitiesView(AccountView):
    """What changed the account's cash and positions: fills, deposits, fees …"""

    permission = Permission.ACCOUNT_READ

    @schema.list_activities
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """List activities as Alpaca has them; a full page has a next one, which may be empty."""
        filters = parameters.read_activities(query_of(request, tuple(parameters.ACTIVITIES)))
        mark = as_of(account_id)
        body, at = reads.activities(pooled(account_id), filters)
        token = activity_token(body) if len(body) >= int(filters["page_size"]) else None
        return answer(paged("activities", body, token) | mark | {"as_of": at})


def activity_token(page: list[Any]) -> str | None:
    """The id of a page's last activity: Alpaca's token of the next page."""
    last = page[-1] if page else None
    found = last.get("id") if isinstance(last, dict) else None
    return found if isinstance(found, str) else None


class PositionsView(AccountView):
    """The open positions of one account."""

    endpoint = "positions"
    permission = Permission.ACCOUNT_READ

    @schema.list_positions
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """List positions as Alpaca has them."""
        query_of(request, ())
        mark = as_of(account_id)
        body, at = reads.positions(pooled(account_id))
        return answer(paged("positions", body, None) | mark | {"as_of": at})


class PositionView(AccountView):
    """One open position."""

    endpoint = "positions"
    permission = Permission.ACCOUNT_READ

    @schema.read_position
    def get(self, request: Request, account_id: str, symbol: str) -> HttpResponse:
        """Read one position; 404 where there is none."""
        query_of(request, ())
        if not parameters.SYMBOL.fullmatch(symbol):
            message = "A symbol is capital letters and digits, such as AAPL."
            raise bad_parameter("symbol", "not-a-symbol", message)
        mark = as_of(account_id)
        body, at = reads.position(pooled(account_id), symbol)
        return answer({**body, **mark, "as_of": at})


class JournalView(AccountView):
    """The account's journal: audit trail, stream source and proof."""

    permission = Permission.ACCOUNT_READ

    @schema.read_journal
    def get(self, request: Request, account_id: str) -> HttpResponse:
        """Read entries past `after`, oldest first, and the head they lead to."""
        query = query_of(request, ("after", "kind", "limit", "page_token"))
        kind = query.get("kind")
        if kind is not None and not _KIND.fullmatch(kind):
            raise bad_parameter("kind", "not-a-kind", "A kind is a word such as order.fill.")
        after = number_of(query, "page_token" if "page_token" in query else "after", 0)
        limit = limit_of(query)
        head = journal.head(account_id)
        found = journal.entries(account_id, after=after, kind=kind, limit=limit + 1)
        token = str(found[limit - 1].seq) if len(found) > limit else None
        entries = [journal.entry_json(entry) for entry in found[:limit]]
        return answer({"entries": entries, "head": head, "next_page_token": token})


class PoolView(TokenView):
    """Every process and every account, as the processes last wrote it."""

    permission = Permission.MONITOR

    @schema.read_pool
    def get(self, request: Request) -> HttpResponse:
        """Merge the processes' rows; a token sees the accounts it holds (api.md §7)."""
        query = query_of(request, ("limit", "page_token"))
        view = poolview.merged(
            principal_of(request).accounts,
            clock.now(),
            limit=limit_of(query),
            after=account_token(query),
        )
        return answer(view)
