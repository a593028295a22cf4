"""What an operator says about who may come in: denied tokens, subjects, accounts' networks.

Each change has its entry in the system journal, counts the number up that every process polls, and
is in force everywhere within seconds (gate.py).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts import journal
from accounts.claims import COUNT, LIMIT_NAME, MAX_LIFETIME, MAX_LIMITS, VISIBLE
from accounts.custody import Refused, account_of, reason_of
from accounts.journal import Actor
from accounts.models import SYSTEM_JOURNAL, AccountNetworks, DeniedToken, Subject
from accounts.tokenkeys import LEEWAY_SECONDS
from opitios.core import clock, database
from opitios.core.bus import Topic, get_bus
from opitios.core.client_address import read_networks

# Characters; the journal shows it whole.
LONGEST_NOTE = 200
# Networks of one list: more are a mistake, and asked for with each request.
MAX_NETWORKS = 64

_COUNT_UP = """
INSERT INTO accounts_accessversion AS v (id, version) VALUES (1, 1)
ON CONFLICT (id) DO UPDATE SET version = v.version + 1
"""
_DENY = """
INSERT INTO accounts_deniedtoken AS d (kind, value, until, reason, actor, denied_at)
VALUES (%(kind)s, %(value)s, %(until)s, %(reason)s, %(actor)s, clock_timestamp())
ON CONFLICT (kind, value) DO UPDATE SET until = excluded.until, reason = excluded.reason,
    actor = excluded.actor, denied_at = excluded.denied_at
"""
_FORGET_PAST = "DELETE FROM accounts_deniedtoken WHERE until < clock_timestamp()"


def deny(
    kind: str, value: str, *, until: datetime | None, actor: Actor, reason: str
) -> dict[str, Any]:
    """Refuse one token (`jti`) or every token of a subject (`sub`) from now on; what is denied.

    `until` None: a `jti` for as long as any token lives, a `sub` until it is lifted. A denial that
    is there is replaced. Raises Refused.
    """
    _refuse_odd(kind, value)
    now = clock.now()
    if until is None and kind == DeniedToken.Kind.JTI:
        until = now + timedelta(seconds=MAX_LIFETIME + LEEWAY_SECONDS)
    if until is not None and until <= now:
        raise Refused("`until` has passed")
    said = reason_of(reason)
    with transaction.atomic():
        _count_up()
        database.rows(_FORGET_PAST)
        before = DeniedToken.objects.filter(kind=kind, value=value).first()
        about = {"kind": kind, "value": value, "until": until}
        database.rows(_DENY, about | {"reason": said, "actor": actor.name})
        after = _told(kind, value, until)
        was = None if before is None else _told(kind, value, before.until)
        _append("token.denied", actor, said, was, after)
    _hint()
    return after


def lift(kind: str, value: str, *, actor: Actor, reason: str) -> dict[str, Any]:
    """Let what was denied come in again; what was denied. Raises Refused."""
    _refuse_odd(kind, value)
    said = reason_of(reason)
    with transaction.atomic():
        _count_up()
        row = DeniedToken.objects.filter(kind=kind, value=value).first()
        if row is None:
            raise Refused(f"{kind} {value} is not denied")
        before = _told(kind, value, row.until)
        row.delete()
        _append("token.lifted", actor, said, before, None)
    _hint()
    return before


def denied(now: datetime) -> list[DeniedToken]:
    """What is denied now, the newest first."""
    rows = DeniedToken.objects.order_by("-denied_at")
    return [row for row in rows if row.until is None or row.until > now]


def set_subject(
    sub: str, changes: Mapping[str, Any], *, actor: Actor, reason: str
) -> dict[str, Any]:
    """Change what is known of a subject; what then is.

    `changes`: `allowed_ips` (networks, none: from anywhere), `rate_limits` (names and counts, None:
    none), `note`. Raises Refused.
    """
    _refuse_odd(DeniedToken.Kind.SUB, sub)
    said = reason_of(reason)
    checked = {name: _CHECKS[name](value) for name, value in changes.items()}
    with transaction.atomic():
        _count_up()
        row, _ = Subject.objects.get_or_create(sub=sub)
        before = subject_json(row)
        for name, value in checked.items():
            setattr(row, name, value)
        row.updated_at = Now()
        row.save(update_fields=[*checked, "updated_at"])
        after = subject_json(row)
        _append("subject.changed", actor, said, before, after)
    _hint()
    return after


def set_networks(
    account_id: str, networks: Sequence[str], *, actor: Actor, reason: str
) -> dict[str, Any]:
    """Let an account be reached from these networks alone; none: from anywhere. Raises Refused."""
    said, checked = reason_of(reason), _networks(networks)
    account = account_of(account_id)
    with transaction.atomic():
        _count_up()
        row = AccountNetworks.objects.filter(pk=account.pk).first()
        before = [] if row is None else row.allowed_ips
        if checked:
            kept = {"allowed_ips": checked, "updated_at": Now()}
            AccountNetworks.objects.update_or_create(account=account, defaults=kept)
        else:
            AccountNetworks.objects.filter(pk=account.pk).delete()
        after = {"account_id": account_id, "allowed_ips": checked}
        was = {"account_id": account_id, "allowed_ips": before}
        _append("account.networks_changed", actor, said, was, after)
    _hint()
    return after


def subject_json(row: Subject) -> dict[str, Any]:
    """What is known of a subject, as commands and entries show it."""
    return {
        "sub": row.sub,
        "allowed_ips": row.allowed_ips,
        "rate_limits": row.rate_limits,
        "note": row.note,
        "last_seen_at": None if row.last_seen_at is None else clock.rfc3339(row.last_seen_at),
    }


def _count_up() -> None:
    # First of all: two changes wait for each other here, and are numbered as they commit.
    database.rows(_COUNT_UP)


def _hint() -> None:
    get_bus().publish((Topic.ACCESS, {}))


def _append(
    kind: str,
    actor: Actor,
    reason: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    entry = journal.body(actor=actor, reason=reason, before=before, after=after)
    journal.append(SYSTEM_JOURNAL, kind, entry)


def _told(kind: str, value: str, until: datetime | None) -> dict[str, Any]:
    return {kind: value, "until": None if until is None else clock.rfc3339(until)}


def _refuse_odd(kind: str, value: str) -> None:
    if not VISIBLE.fullmatch(value):
        raise Refused(f"no token can have this {kind}: it is 1 to 128 visible ASCII characters")


def _networks(texts: Sequence[str]) -> list[str]:
    if len(texts) > MAX_NETWORKS:
        raise Refused(f"a list has at most {MAX_NETWORKS} networks")
    try:
        return [str(network) for network in read_networks(texts)]
    except ValueError as error:
        raise Refused(f"{error}: write 10.0.0.0/8, or one address") from error


def _limits(limits: Mapping[str, str] | None) -> dict[str, int] | None:
    if limits is None:
        return None
    if len(limits) > MAX_LIMITS:
        raise Refused(f"a subject has at most {MAX_LIMITS} limits")
    for name, count in limits.items():
        if not LIMIT_NAME.fullmatch(name) or not COUNT.fullmatch(count):
            raise Refused(f"{name}={count} is no limit: write orders_per_day=100")
    return {name: int(count) for name, count in limits.items()}


def _note(text: str) -> str:
    if len(text) > LONGEST_NOTE or not (text.isprintable() or not text):
        raise Refused(f"a note is one line of at most {LONGEST_NOTE} characters")
    return text


_CHECKS: Mapping[str, Any] = {"allowed_ips": _networks, "rate_limits": _limits, "note": _note}
