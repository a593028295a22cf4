"""Starting and stopping `python -m sandbox`."""

from pathlib import Path

import pytest

from tests.support.sandbox_process import SandboxProcess


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    broker = SandboxProcess(tmp_path)
    broker.start()
    broker.trade("a", "GET", "/v2/account")

    assert broker.stop() == 0
    assert (tmp_path / "stderr.log").read_text() == ""


def test_sigterm_does_not_wait_for_a_request_that_hangs(tmp_path: Path) -> None:
    broker = SandboxProcess(tmp_path)
    broker.start()
    broker.fault("hang")
    with pytest.raises(OSError, match="timed out"):
        broker.trade("a", "GET", "/v2/account", timeout=0.1)

    assert broker.stop() == 0


def test_accounts_may_be_opened_at_the_start(tmp_path: Path) -> None:
    with SandboxProcess(
        tmp_path, options=("--accounts", "3", "--cash", "5000"), measured=True
    ) as broker:
        assert broker.get("health")["accounts"] == 3
        account = broker.trade("account_003", "GET", "/v2/account").json()

    assert account["cash"] == "5000"


def test_two_sandboxes_do_not_share_books(tmp_path: Path) -> None:
    with (
        SandboxProcess(tmp_path),
        pytest.raises(RuntimeError, match="in use by another sandbox"),
    ):
        SandboxProcess(tmp_path).start()


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with (
        SandboxProcess(tmp_path / "one") as first,
        pytest.raises(RuntimeError, match=r"address already in use"),
    ):
        SandboxProcess(tmp_path / "two", port=first.port).start()


def test_the_limit_is_enforced_when_asked(tmp_path: Path) -> None:
    options = ("--rate-limit", "on", "--per-minute", "0")
    with SandboxProcess(tmp_path, options=options, measured=True) as broker:
        answer = broker.trade("a", "GET", "/v2/account")

    assert answer.status_code == 429


def test_a_closed_market_from_the_start(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, options=("--market", "closed")) as broker:
        clock = broker.trade("a", "GET", "/v2/clock").json()

    assert clock["is_open"] is False
