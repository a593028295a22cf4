"""Starts that are refused: keys that are weak or missing, a journal that could be changed."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps.config import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register

from accounts.tokens import BadTokenKeys, verifier
from accounts.vault import BadKeyRing, key_ring
from opitios.core import database, startup
from opitios.core.config import Config
from opitios.core.startup import Connection, error, warning

# Design law 2: the application reads the journal and appends through one function only.
JOURNAL = ("accounts_journalentry", "accounts_journalhead")
GUARDS = {
    "journal_entry_is_final",
    "journal_entries_stay",
    "journal_head_moves_by_one",
    "journal_head_stays",
    "journal_heads_stay",
}

# As the login that asks. A right on one column is a right; whoever can become the owner can grant
# himself anything, and whoever sets the replication role passes every other trigger.
_POWERS = r"""
SELECT 'is a superuser' FROM pg_roles WHERE rolname = current_user AND rolsuper
UNION ALL SELECT 'bypasses row security' FROM pg_roles
    WHERE rolname = current_user AND rolbypassrls AND NOT rolsuper
UNION ALL SELECT 'may ' || verb || ' ' || relname FROM pg_class, unnest(%(verbs)s::text[]) AS verb
    WHERE oid = ANY(%(tables)s::regclass[]) AND (has_table_privilege(oid, verb)
    OR verb IN ('INSERT', 'UPDATE') AND has_any_column_privilege(oid, verb))
UNION ALL SELECT 'may act as the owner of ' || relname FROM pg_class
    WHERE oid = ANY(%(tables)s::regclass[]) AND pg_has_role(relowner, 'MEMBER')
UNION ALL SELECT 'may act as the owner of ' || proname FROM pg_proc
    WHERE proname LIKE 'journal\_%%' AND pg_has_role(proowner, 'MEMBER')
UNION ALL SELECT 'may set session_replication_role'
    WHERE has_parameter_privilege('session_replication_role', 'SET')
"""

_GUARDS = """
SELECT tgname FROM pg_trigger WHERE tgrelid = ANY(%s::regclass[]) AND tgenabled = 'A'
"""

# Keys in use that are sealed under a master key of another ring.
_MISSING = """
SELECT DISTINCT k.master_key_id FROM accounts_account a
JOIN accounts_credential k ON k.account_id = a.account_id AND k.version = a.key_version
WHERE a.enabled AND NOT k.master_key_id = ANY(%s) ORDER BY 1
"""


@register(Tags.security, startup.TAG)
def check_master_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001: without a good master key ring no account's key can be sealed or opened."""
    try:
        key_ring()
    except BadKeyRing as error:
        hint = 'Write OPITIOS_MASTER_KEYS as "k1:<base64 of 32 random bytes>", the newest first.'
        return [Error(str(error), hint=hint, id="accounts.E001")]
    return []


@register(Tags.security, startup.TAG)
def check_token_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002: a weak or doubled token key would let strangers in."""
    try:
        verifier()
    except BadTokenKeys as error:
        hint = "Correct OPITIOS_JWT_KEYS or JWT_JWKS_URL: docs/tokens.md says what each needs."
        return [Error(str(error), hint=hint, id="accounts.E002")]
    return []


@startup.of_database
def check_grants(connection: Connection, config: Config) -> Iterator[CheckMessage]:
    """E003: this process's login cannot change the journal, and its guards stand (G11)."""
    there = connection.execute("SELECT to_regclass(%s), current_user", [JOURNAL[0]]).fetchone()
    if there is None or there[0] is None:
        remedy = "Run manage.py migrate with DATABASE_OWNER_URL."
        yield error("accounts.E003", "the database has no journal", remedy)
        return
    about = {"verbs": ["INSERT", "UPDATE", "DELETE", "TRUNCATE"], "tables": list(JOURNAL)}
    powers = [row[0] for row in connection.execute(_POWERS, about)]
    if powers:
        remedy = "Give processes a login that owns nothing; manage.py migrate sets its rights."
        yield error("accounts.E003", f"{there[1]} {', '.join(powers)}", remedy)
    standing = {row[0] for row in connection.execute(_GUARDS, [list(JOURNAL)])}
    if missing := GUARDS - standing:
        found = f"guards of the journal are off: {', '.join(sorted(missing))}"
        remedy = "Find out who switched them off, verify_journal, then ENABLE ALWAYS TRIGGER."
        yield error("accounts.E003", found, remedy)


@startup.of_database
def check_live(connection: Connection, config: Config) -> Iterator[CheckMessage]:
    """E004: real money moves only where somebody said so."""
    if config.allow_live or not _has_tables(connection):
        return
    asked = "SELECT count(*) FROM accounts_account WHERE environment = 'live' AND enabled"
    row = connection.execute(asked).fetchone()
    if row and row[0]:
        found = f"{row[0]} live accounts are enabled without OPITIOS_ALLOW_LIVE"
        remedy = "Set OPITIOS_ALLOW_LIVE=true, or take them out of the account file."
        yield error("accounts.E004", found, remedy)


@startup.of_database
def check_keys(connection: Connection, config: Config) -> Iterator[CheckMessage]:
    """W001: a process without the right ring starts, and is not ready."""
    if not _has_tables(connection):
        return
    asked = connection.execute(_MISSING, [list(key_ring().keys)])
    if missing := [row[0] for row in asked]:
        found = f"accounts' keys are sealed under master keys we lack: {', '.join(missing)}"
        remedy = "Add them to OPITIOS_MASTER_KEYS, behind the newest."
        yield warning("accounts.W001", found, remedy)


def missing_master_keys() -> list[str]:
    """Name the master keys that keys in use need and this process has not. Raises DatabaseError."""
    return [row["master_key_id"] for row in database.rows(_MISSING, [list(key_ring().keys)])]


def _has_tables(connection: Connection) -> bool:
    return connection.execute("SELECT to_regclass('accounts_credential')").fetchone() != (None,)
