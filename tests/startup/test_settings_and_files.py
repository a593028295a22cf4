"""A start that settings or files make unsafe is refused by a check with an id and a remedy."""

import base64
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage

from opitios import checks
from opitios.core import startup
from opitios.core.config import Config
from opitios.core.startup import SettingsCheck

REMOTE = "postgresql://app:a-long-password@db.example.com/opitios"
CA = "sslrootcert=/etc/ca.pem"
GOOD: dict[str, Any] = {"demo": False, "accepted_findings": []}


def found(check: SettingsCheck, **settings: Any) -> list[CheckMessage]:
    """What a check says of the tests' settings with these changed."""
    config = Config(_env_file=None, **(GOOD | settings))
    return startup.judged(check(config), config)


@pytest.mark.parametrize(
    ("check", "number", "bad"),
    [
        (checks.check_secret_key, "opitios.E001", {"secret_key": "CANARY-short"}),
        (checks.check_secret_key, "opitios.E001", {"secret_key": "abcd" * 20}),
        (checks.check_secret_key, "opitios.E001", {"secret_key": "django-insecure-" + "x7Yq" * 9}),
        (checks.check_debug, "opitios.E002", {"debug": True}),
        (checks.check_hosts, "opitios.E003", {"allowed_hosts": "a.example.com,*"}),
        (checks.check_database_tls, "opitios.E004", {"database_url": REMOTE}),
        (checks.check_database_tls, "opitios.E004", {"database_url": f"{REMOTE}?sslmode=require"}),
        (checks.check_database_tls, "opitios.E004", {"database_owner_url": REMOTE}),
        (checks.check_database_tls, "opitios.E004", {"database_url": "postgresql://a@10.0.0.7/x"}),
        (checks.check_database_tls, "opitios.E004", {"database_url": "postgresql:///x?host=db1"}),
        (checks.check_redis_tls, "opitios.E005", {"redis_url": "redis://:p@cache.example.com/0"}),
        (checks.check_limits, "opitios.E008", {"database_pool_max": 0}),
        (checks.check_limits, "opitios.E008", {"web_threads": -1}),
        (checks.check_limits, "opitios.E008", {"timers": {"lease_valid": 0}}),
        (checks.check_limits, "opitios.E008", {"timers": {"breaker_open": float("inf")}}),
        (checks.check_limits, "opitios.E008", {"timers": {"queue_poll": float("nan")}}),
        (checks.check_accepted, "opitios.E011", {"accepted_findings": "accounts.E003"}),
        (checks.check_accepted, "opitios.E011", {"accepted_findings": "opitios.E999"}),
    ],
)
def test_what_is_unsafe_ends_the_start_and_says_what_to_do(
    check: SettingsCheck, number: str, bad: dict[str, Any]
) -> None:
    (finding,) = found(check, **bad)

    assert (finding.id, finding.is_serious()) == (number, True)
    assert finding.hint
    shown = f"{finding.msg} {finding.hint}"
    assert "CANARY" not in shown
    assert "a-long-password" not in shown


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (checks.check_secret_key, {}),
        (checks.check_debug, {}),
        (checks.check_debug, {"debug": True, "demo": True}),
        (checks.check_hosts, {"allowed_hosts": "a.example.com"}),
        (checks.check_database_tls, {}),
        (checks.check_database_tls, {"database_url": "postgresql://app@127.0.0.1/x"}),
        (checks.check_database_tls, {"database_url": "postgresql://app@[::1]/x"}),
        (checks.check_database_tls, {"database_url": f"{REMOTE}?sslmode=verify-full&{CA}"}),
        (checks.check_redis_tls, {"redis_url": "rediss://:p@cache.example.com/0"}),
        (checks.check_redis_tls, {"redis_url": "redis://localhost:6379/0"}),
        (checks.check_staff_pages, {}),
        (checks.check_limits, {}),
        (checks.check_accepted, {"accepted_findings": "opitios.E004,opitios.E009"}),
    ],
)
def test_what_is_safe_is_not_found(check: SettingsCheck, good: dict[str, Any]) -> None:
    assert found(check, **good) == []


def test_what_an_operator_accepts_is_told_and_ends_nothing() -> None:
    (finding,) = found(
        checks.check_database_tls, database_url=REMOTE, accepted_findings="opitios.E004"
    )

    assert (finding.id, finding.is_serious()) == ("opitios.E004", False)
    assert finding.msg.endswith("(accepted)")


def test_cookies_that_travel_in_clear_end_the_start(settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = False
    settings.SECURE_HSTS_SECONDS = 60

    (finding,) = found(checks.check_staff_pages)

    assert finding.id == "opitios.E006"
    assert "SESSION_COOKIE_SECURE, SECURE_HSTS_SECONDS" in finding.msg


@pytest.mark.parametrize(
    ("mode", "number", "serious"),
    [
        (0o600, None, False),
        (0o400, None, False),
        (0o640, "opitios.W001", False),
        (0o644, "opitios.E007", True),
        (0o602, "opitios.E007", True),
    ],
)
@pytest.mark.parametrize("which", ["settings", "yaml", "secret", "accounts"])
def test_a_file_of_secrets_that_others_may_read_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    mode: int,
    number: str | None,
    serious: bool,
) -> None:
    path = tmp_path / "CANARY"
    path.write_text("")
    path.chmod(mode)
    given: dict[str, Any] = {"accounts_file": path} if which == "accounts" else {}
    named = {"settings": "OPITIOS_ENV_FILE", "yaml": "OPITIOS_YAML_FILE"}
    if which in named:
        monkeypatch.setenv(named[which], str(path))
    if which == "secret":
        monkeypatch.setenv("OPITIOS_SECRETS_DIR", str(tmp_path))

    seen = [(each.id, each.is_serious()) for each in found(checks.check_files, **given)]

    assert seen == ([] if number is None else [(number, serious)])


def test_a_setting_that_is_missing_is_named_and_no_other_is_shown() -> None:
    """H123."""
    secret = base64.b64encode(b"CANARY" * 5).decode()
    with pytest.raises(ValueError, match="web_threads") as caught:
        Config(_env_file=None, master_keys=f"k1:{secret}", web_threads=f"CANARY-{secret}")

    assert secret not in str(caught.value)
    assert "CANARY" not in str(caught.value)
