"""What the roof looks at before a process serves: settings, files, and the server of Postgres."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage

from opitios.core import clock, startup
from opitios.core.config import Config, secret_files
from opitios.core.startup import Connection, error, warning

# Django's own measure is 50 characters of which 5 differ; base64 of 32 random bytes has 44.
SHORTEST_KEY = 32
FEWEST_CHARACTERS = 5
YEAR_SECONDS = 31_536_000

# What a database must say for an acknowledged order to survive a crash (G1).
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")

# reliability.md §2.2: a statement, a lock and a forgotten transaction all end.
TIME_LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

# Connections of Postgres that are left for people and tools.
SPARE_CONNECTIONS = 5


@startup.of_settings
def check_secret_key(config: Config) -> Iterable[CheckMessage]:
    """E001: sessions are signed with it, and fingerprints of keys made."""
    key = config.secret_key.get_secret_value()
    if len(key) < SHORTEST_KEY or len(set(key)) < FEWEST_CHARACTERS or "insecure" in key:
        found = f"SECRET_KEY is too weak: it has {len(key)} characters, {len(set(key))} different"
        remedy = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        yield error("opitios.E001", found, remedy)


@startup.of_settings
def check_debug(config: Config) -> Iterable[CheckMessage]:
    """E002: debug pages show settings and variables to whoever causes an error."""
    if config.debug and not config.demo:
        remedy = "Set DEBUG=false; OPITIOS_DEMO=true marks a demonstration."
        yield error("opitios.E002", "DEBUG is on outside a demonstration", remedy)


@startup.of_settings
def check_hosts(config: Config) -> Iterable[CheckMessage]:
    """E003: a forged Host header would get into links and pass for our own origin."""
    if "*" in config.allowed_hosts and not config.demo:
        remedy = "Name the hosts: ALLOWED_HOSTS=gateway.example.com"
        yield error("opitios.E003", "ALLOWED_HOSTS allows every host", remedy)


@startup.of_settings
def check_database_tls(config: Config) -> Iterable[CheckMessage]:
    """E004: over a network, Postgres proves who it is."""
    for name, url in (
        ("DATABASE_URL", config.database_url),
        ("DATABASE_OWNER_URL", config.database_owner_url),
    ):
        if url is None or config.demo:
            continue
        parts = urlsplit(url.get_secret_value())
        asked = parse_qs(parts.query)
        host = asked.get("host", [unquote(parts.hostname or "")])[0]
        if is_remote(host) and asked.get("sslmode") != ["verify-full"]:
            found = f"{name} goes over a network without sslmode=verify-full"
            remedy = "Append ?sslmode=verify-full&sslrootcert=/path/to/ca.pem to it."
            yield error("opitios.E004", found, remedy)


@startup.of_settings
def check_redis_tls(config: Config) -> Iterable[CheckMessage]:
    """E005: over a network, hints and their password are read by nobody else."""
    parts = urlsplit(config.redis_url.get_secret_value())
    if parts.scheme == "redis" and is_remote(parts.hostname or "") and not config.demo:
        found = "REDIS_URL goes over a network without TLS"
        yield error("opitios.E005", found, "Write it as rediss://…")


@startup.of_settings
def check_staff_pages(config: Config) -> Iterable[CheckMessage]:
    """E006: a session's cookie never travels in clear."""
    if config.demo or config.debug:
        return
    wrong = [
        name for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
        if not getattr(settings, name)
    ]  # fmt: skip
    if settings.SECURE_HSTS_SECONDS < YEAR_SECONDS:
        wrong.append("SECURE_HSTS_SECONDS")
    if wrong:
        found = f"staff pages may be served in clear: {', '.join(wrong)}"
        yield error("opitios.E006", found, "Leave these settings as they are delivered.")


@startup.of_settings
def check_files(config: Config) -> Iterable[CheckMessage]:
    """E007, W001: files with secrets are read by their user alone."""
    for path in secret_files(config):
        mode = path.stat().st_mode & 0o777 if path.is_file() else 0
        found, remedy = f"{path} has mode {mode:o}: ", f"chmod 600 {path}; then change its keys."
        if mode & 0o007 and not config.demo:
            yield error("opitios.E007", f"{found}everybody may read it", remedy)
        elif mode & 0o077:
            yield warning("opitios.W001", f"{found}others may read it", remedy)


@startup.of_settings
def check_limits(config: Config) -> Iterable[CheckMessage]:
    """E008: every wait ends and every pool is bounded (G20)."""
    limits: dict[str, Any] = {
        "OPITIOS_DATABASE_POOL_MAX": config.database_pool_max,
        "OPITIOS_WEB_THREADS": config.web_threads,
        "OPITIOS_CONNECTIONS_PER_ACCOUNT": config.connections_per_account,
        "OPITIOS_CONNECTIONS_IN_ALL": config.connections_in_all,
        **{f"OPITIOS_TIMERS__{name.upper()}": value for name, value in config.timers},
    }
    unset = [name for name, value in limits.items() if not 0 < value < float("inf")]
    if unset:
        found = f"not a limit: {', '.join(unset)}"
        yield error("opitios.E008", found, "Take them out: the defaults are good.")


@startup.of_settings
def check_accepted(config: Config) -> Iterable[CheckMessage]:
    """E011: what may not be accepted is not overlooked."""
    wrong = sorted(set(config.accepted_findings) - startup.ACCEPTABLE)
    if wrong:
        found = f"OPITIOS_ACCEPTED_FINDINGS names what cannot be accepted: {', '.join(wrong)}"
        able = ", ".join(sorted(startup.ACCEPTABLE))
        yield error("opitios.E011", found, f"Only these can: {able}.")


@startup.of_database
def check_durability(connection: Connection, config: Config) -> Iterator[CheckMessage]:
    """E009: an order answered 202 survives a crash (G1)."""
    off = [name for name in DURABLE if setting(connection, name) == "off"]
    if off:
        found = f"Postgres may lose what it confirmed: {', '.join(off)} is off"
        yield error("opitios.E009", found, "Switch it on in postgresql.conf and for this login.")


@startup.of_database
def check_time_limits(connection: Connection, config: Config) -> Iterator[CheckMessage]:
    """E010: no statement, lock or transaction lasts for ever, and the pool fits."""
    unset = [name for name in TIME_LIMITS if setting(connection, name) == "0"]
    if unset:
        found = f"limits of our connections are not in force: {', '.join(unset)}"
        remedy = "A pooler drops them: set them for the login, ALTER ROLE … SET statement_timeout."
        yield error("opitios.E010", found, remedy)
    most = int(str(setting(connection, "max_connections")))
    if config.database_pool_max > most - SPARE_CONNECTIONS:
        found = f"a pool of {config.database_pool_max} does not fit into {most} connections"
        remedy = "Lower OPITIOS_DATABASE_POOL_MAX or raise max_connections."
        yield error("opitios.E010", found, remedy)


@startup.of_database
def check_clock(connection: Connection, config: Config) -> Iterator[CheckMessage]:
    """W003: a process whose clock is off starts, and is not ready (G23)."""
    before = clock.now()
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    drift = clock.drift(before, row[0], clock.now()) if row else None
    if drift is not None and drift.is_more_than(clock.ALARM_MS):
        found = f"the clock is {drift.ms:+.0f} ms from that of Postgres"
        remedy = "Let chrony or systemd-timesyncd keep both clocks; above 1 s nothing is served."
        yield warning("opitios.W003", found, remedy)


def setting(connection: Connection, name: str) -> object:
    """Read what is in force for this login."""
    found = connection.execute("SELECT setting FROM pg_settings WHERE name = %s", [name]).fetchone()
    return found[0] if found else None


def is_remote(host: str) -> bool:
    """Whether bytes to it leave this machine; a Unix socket's do not."""
    if not host or host.startswith("/") or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True
