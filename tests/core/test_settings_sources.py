"""Settings: the environment overrides `.env`, that the secret files, those the YAML (R3)."""

from pathlib import Path

import pytest

from opitios.core.config import Config, get_config

NAME = "OPITIOS_ENVIRONMENT_NAME"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every source but the environment names the installation."""
    (tmp_path / "opitios.yaml").write_text("environment_name: yaml\nlog_level: DEBUG\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "opitios_environment_name").write_text("secret file")
    (tmp_path / "env").write_text(f"{NAME}=env file\n")
    monkeypatch.setenv("OPITIOS_YAML_FILE", str(tmp_path / "opitios.yaml"))
    monkeypatch.setenv("OPITIOS_SECRETS_DIR", str(tmp_path / "secrets"))
    monkeypatch.setenv("OPITIOS_ENV_FILE", str(tmp_path / "env"))
    monkeypatch.delenv(NAME, raising=False)
    return tmp_path


def read() -> Config:
    """The settings as a new process reads them."""
    return get_config.__wrapped__()


def test_each_source_gives_way_to_the_one_before_it(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, "environment")
    found = [read().environment_name]
    monkeypatch.delenv(NAME)
    found.append(read().environment_name)
    (sources / "env").write_text("")
    found.append(read().environment_name)
    (sources / "secrets" / "opitios_environment_name").unlink()
    found.append(read().environment_name)

    assert found == ["environment", "env file", "secret file", "yaml"]


def test_a_nested_setting_and_the_live_switch_come_from_the_environment_too(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sources / "opitios.yaml").write_text("allow_live: true\ntimers: {roster_poll: 9.0}\n")
    monkeypatch.delenv("OPITIOS_TIMERS__ROSTER_POLL")
    assert (read().allow_live, read().timers.roster_poll) == (True, 9.0)

    monkeypatch.setenv("OPITIOS_ALLOW_LIVE", "false")
    monkeypatch.setenv("OPITIOS_TIMERS__ROSTER_POLL", "0.25")

    assert (read().allow_live, read().timers.roster_poll) == (False, 0.25)
