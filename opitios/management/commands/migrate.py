"""`manage.py migrate`: as the owner role, then the application's grants and the staff's groups."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import connections, transaction
from psycopg import sql

from accounts import roles

# What the application may never do, whatever a bug asks for (design.md §3, law 2).
READ_ONLY = ("accounts_journalentry", "accounts_journalhead", "django_migrations")
NEVER_DELETED = (
    "accounts_account",
    "accounts_credential",
    "accounts_rosterversion",
    "accounts_accountrevision",
    "accounts_rotation",
    "accounts_halt",
    "accounts_limits",
    "trading_order",
    "trading_attempt",
    "trading_fill",
)
FUNCTIONS = (
    "journal_open(text)",
    "journal_lock(text)",
    "journal_append(text, text, text, uuid)",
)


class Command(DjangoMigrate):
    """Migrates through DATABASE_OWNER_URL and grants the application exactly what it needs."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, then grant, both as the owner; then make the groups of staff.

        Raises CommandError where DATABASE_OWNER_URL is missing: the application's own role may
        neither create tables nor own the journal.
        """
        if "owner" not in settings.DATABASES:
            raise CommandError("Set DATABASE_OWNER_URL: migrations run as the owner role.")
        options["database"] = "owner"
        super().handle(*args, **options)
        grant_application_role(str(settings.DATABASES["default"]["USER"]))
        roles.ensure()


def grant_application_role(role: str) -> None:
    """Grant reading and writing, then take back what would break a law. Idempotent."""
    name, public = sql.Identifier(role), sql.SQL("public")
    statements = [
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(public, name),
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {}").format(
            public, name
        ),
        sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {} TO {}").format(public, name),
    ]
    statements += [
        sql.SQL("REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {} FROM {}").format(
            sql.Identifier(table), name
        )
        for table in READ_ONLY
    ]
    statements += [
        sql.SQL("REVOKE DELETE, TRUNCATE ON {} FROM {}").format(sql.Identifier(table), name)
        for table in NEVER_DELETED
    ]
    for function in FUNCTIONS:
        statements += [
            sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(sql.SQL(function)),
            sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), name),
        ]
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
