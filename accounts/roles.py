"""The groups that staff belong to, and what each may do (design.md §8)."""

from collections.abc import Sequence

from django.contrib.auth.models import Group, Permission

COMPLIANCE, OPERATOR, ADMIN = "compliance", "operator", "admin"

_READ = (
    "accounts.view_account",
    "accounts.view_halt",
    "accounts.view_limits",
    "accounts.view_journalentry",
    "accounts.view_journalhead",
    "accounts.view_processrow",
    "accounts.view_rosterversion",
    "trading.view_order",
    "trading.view_attempt",
    "trading.view_fill",
)
_OPERATE = (
    "accounts.suspend_account",
    "accounts.reload_roster",
    "accounts.set_halt",
    "accounts.set_limits",
)
_APPOINT = tuple(
    f"auth.{verb}_{model}"
    for verb in ("view", "add", "change", "delete")
    for model in ("user", "group")
)

# Each role may do what those before it may.
ROLES: dict[str, Sequence[str]] = {
    COMPLIANCE: _READ,
    OPERATOR: (*_READ, *_OPERATE),
    ADMIN: (*_READ, *_OPERATE, *_APPOINT),
}


def ensure() -> None:
    """Make the groups that are missing, and give each what it lacks; nothing is taken away."""
    for name, rights in ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(*_permissions(rights))


def _permissions(rights: Sequence[str]) -> list[Permission]:
    """Find those there are: after a migration to an earlier state some are not there yet."""
    known = Permission.objects.select_related("content_type")
    return [one for one in known if f"{one.content_type.app_label}.{one.codename}" in rights]
