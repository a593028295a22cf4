"""The staff page on which the stream is tried, and the short-lived token that it signs in with.

The token is made for whoever is signed in, for the accounts that they name and for reading alone;
each one is an entry of the system's journal. It never stands in an address.
"""

import re
from collections.abc import Sequence
from datetime import timedelta

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_POST

from accounts import journal
from accounts.claims import ACCOUNT_ID, MAX_ACCOUNTS, VISIBLE
from accounts.journal import Actor
from accounts.models import SYSTEM_JOURNAL, Account
from accounts.tokens import CannotMint, Grant, Permission, Principal, mint, verifier
from opitios.core import clock
from opitios.core.config import get_config
from streaming.protocol import EVERYTHING
from streaming.routing import STREAM_PATH

# What a member of staff must be allowed to view: what the stream shows is what these pages show.
SEEN_WITH = ("accounts.view_account", "trading.view_order")

# A page that is left open asks for another one in time. design.md §7: renewed in place.
TOKEN_LIFE = timedelta(minutes=10)

# What somebody reads who watches the stream; the entry of the system's journal.
KIND = "staff.stream_token"

_WORDS = re.compile(r"[,\s]+")


class Refused(Exception):
    """No token is made; the text says why and what to do."""


def page(request: HttpRequest) -> HttpResponse:
    """Show the page. What it may open a socket to is said to the browser."""
    _allow(request)
    url = get_config().stream_url
    context = admin.site.each_context(request) | {
        "title": "Stream",
        "stream_url": url or STREAM_PATH,
        "first_account": _first_account(),
    }
    answer = TemplateResponse(request, "admin/stream.html", context)
    answer["Content-Security-Policy"] = _policy(url)
    return answer


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """Make a token for the accounts named, or say why not (422).

    The answer is {"token", "subject", "expires_at"}.
    """
    _allow(request)
    try:
        accounts = _named(request.POST.get("accounts", ""))
        signed, principal = _minted(request, accounts)
    except (Refused, CannotMint) as refusal:
        return JsonResponse({"message": str(refusal)}, status=422)
    return JsonResponse(
        {
            "token": signed,
            "subject": principal.sub,
            "expires_at": clock.rfc3339(principal.expires_at),
        }
    )


def _allow(request: HttpRequest) -> None:
    if not request.user.has_perms(SEEN_WITH):
        raise PermissionDenied


def _first_account() -> str:
    found = Account.objects.filter(enabled=True, account_type=Account.Type.TRADING)
    return found.order_by("account_id").values_list("account_id", flat=True).first() or ""


def _named(text: str) -> Sequence[str] | None:
    """Read which accounts are asked for; None means all. Raises Refused."""
    names = [*dict.fromkeys(word for word in _WORDS.split(text) if word)]
    if names == [EVERYTHING]:
        return None
    if len(names) > MAX_ACCOUNTS:
        raise Refused(f"Name at most {MAX_ACCOUNTS} accounts, or {EVERYTHING} for all of them.")
    sound = [name for name in names if ACCOUNT_ID.fullmatch(name)]
    known = set(Account.objects.filter(pk__in=sound, enabled=True).values_list("pk", flat=True))
    if strangers := [name for name in names if name not in known]:
        raise Refused(f"There is no account {', '.join(strangers[:5])}.")
    return names


def _minted(request: HttpRequest, accounts: Sequence[str] | None) -> tuple[str, Principal]:
    """Make the token and write who got it, for what. Raises CannotMint: then nothing is written."""
    reads = [] if accounts == [] else [Permission.ACCOUNT_READ.value]
    grant = Grant(
        sub=_subject(request),
        accounts=accounts,
        permissions=[Permission.MARKET_DATA.value, *reads],
        ttl=TOKEN_LIFE,
    )
    signed = mint(grant, now=clock.now())
    # As everybody will read it: a token that nobody would take is not handed out.
    principal = verifier().principal(signed)
    with transaction.atomic():
        journal.append(SYSTEM_JOURNAL, KIND, _entry(request, principal))
    return signed, principal


def _entry(request: HttpRequest, principal: Principal) -> dict[str, object]:
    accounts = EVERYTHING if principal.accounts is None else sorted(principal.accounts)
    asked = {"request_id": request.request_id, "idempotency_key": None, "body_sha256": None}  # type: ignore[attr-defined] # RequestFloor
    return journal.body(
        actor=Actor("staff", request.user.get_username()),
        request=asked,
        after={
            "subject": principal.sub,
            "jti": principal.jti,
            "accounts": accounts,
            "permissions": sorted(principal.permissions),
            "expires_at": clock.rfc3339(principal.expires_at),
            "ip": request.client_ip,  # type: ignore[attr-defined] # RequestFloor
        },
    )


def _subject(request: HttpRequest) -> str:
    """Name the token's subject: the login, or its number where the login is no subject's name."""
    named = f"staff:{request.user.get_username()}"
    return named if VISIBLE.fullmatch(named) else f"staff:{request.user.pk}"


def _policy(stream_url: str | None) -> str:
    """Say where the page may send anything: a token that is stolen has nowhere to go.

    The theme draws with scripts of its own that are evaluated, and with styles in the page.
    """
    reached = "'self'" if stream_url is None else f"'self' {stream_url.removesuffix(STREAM_PATH)}"
    return "; ".join(
        (
            "default-src 'self'",
            f"connect-src {reached}",
            "script-src 'self' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
