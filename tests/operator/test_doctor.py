"""`doctor` says what is wrong and what to do, and its exit code says whether anything is."""

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from opitios.core.embedded.runfolder import RunFolder, write_private
from opitios.management.diagnosis import clone, servers
from opitios.management.diagnosis.examination import examine
from opitios.management.diagnosis.finding import Finding, Level, Patient
from opitios.management.state import State
from tests.operator.clone import Clone
from tests.operator.loopback import saying
from tests.support.services import ROOT

NO_SERVER = {"DATABASE_URL": "postgresql:///x?host=/nonexistent", "REDIS_URL": "redis://[::1]:9/0"}
POOL = ("GET", "/api/v1/pool?limit=500")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.prepare()
    return folder


def patient(run: RunFolder, settings: dict[str, str], *, runs: bool = True) -> Patient:
    """A clone whose supervisor is this very process, or nobody."""
    return Patient(run, settings, State.read(run), os.getpid() if runs else None)


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_a_clone_where_nothing_runs_is_not_wrong(tmp_path: Path) -> None:
    copy = Clone(tmp_path)

    code, said = copy.do("doctor --json")

    told = json.loads(said)
    assert (code, told["ok"]) == (0, True)
    assert told["findings"][-1]["found"] == "nothing runs here"


def test_a_secret_others_may_read_is_wrong(tmp_path: Path) -> None:
    copy = Clone(tmp_path)
    copy.run.prepare()
    copy.run.secrets()
    (copy.run.path / "secrets.json").chmod(0o644)

    code, said = copy.do("doctor --json")

    found = by_check([Finding(**one) for one in json.loads(said)["findings"]])["files"]
    assert code == 1
    assert found.level == "wrong"
    assert "644" in found.found
    assert found.remedy.startswith("chmod 600")


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    copy = Clone(tmp_path)
    copy.run.prepare()
    copy.run.state.write_text("{")

    code, said = copy.do("doctor")

    assert code == 1
    assert "state.json is damaged" in said


def test_a_dead_process_and_a_silent_port_are_wrong(run: RunFolder) -> None:
    State("ready", addresses={"ws": 9}, programs={"desk-1": None, "web-1": os.getpid()}).write(run)

    found = by_check(list(clone.programs(patient(run, {}))))

    assert found["desk-1"].level is Level.WRONG
    assert found["web-1"].level is Level.OK
    assert found["port 9"].level is Level.WRONG


def test_servers_that_do_not_answer_are_wrong_only_while_something_runs(run: RunFolder) -> None:
    running = by_check(list(examine(patient(run, NO_SERVER))))
    idle = by_check(list(examine(patient(run, NO_SERVER, runs=False))))

    assert (running["database"].level, running["hints"].level) == (Level.WRONG, Level.WRONG)
    assert (idle["database"].level, idle["hints"].level) == (Level.NOTE, Level.NOTE)


@pytest.mark.usefixtures("django_db_setup")
def test_doctor_says_what_start_up_checks_would(run: RunFolder, server_url: str) -> None:
    database = urlsplit(os.environ["DATABASE_URL"]).path
    owner = urlsplit(server_url)._replace(path=database).geturl()
    here = RunFolder(ROOT)

    good = by_check(list(servers.database(patient(here, dict(os.environ), runs=False))))
    root = {**os.environ, "DATABASE_URL": owner, "OPITIOS_ACCEPTED_FINDINGS": ""}
    bad = by_check(list(servers.database(patient(here, root, runs=False))))

    # The session's Postgres is quick, which its settings accept.
    assert good.get("opitios.E009", good.get("start-up")).level is not Level.WRONG  # type: ignore[union-attr]
    assert bad["accounts.E003"].level is Level.WRONG
    assert "is a superuser" in bad["accounts.E003"].found
    assert "owns nothing" in bad["accounts.E003"].remedy
    assert os.environ["OPITIOS_MASTER_KEYS"] not in str(bad)


@pytest.mark.usefixtures("django_db_setup")
def test_settings_that_cannot_be_read_are_wrong_and_not_shown(run: RunFolder) -> None:
    broken = {**os.environ, "OPITIOS_WEB_THREADS": "CANARY-many"}

    found = by_check(list(servers.database(patient(RunFolder(ROOT), broken, runs=False))))

    assert found["start-up"].level is Level.WRONG
    assert "CANARY" not in str(found)


def test_accounts_in_trouble_are_named(run: RunFolder) -> None:
    rows = [{"account_id": f"a{n}", "state": "quarantined"} for n in range(7)]
    with saying({POOL: [(200, {"accounts": rows, "processes": []})]}) as gateway:
        write_private(run.handout, f"API_URL={gateway.url}\nTOKEN_ADMIN=t\n")

        found = by_check(list(servers.pool(patient(run, {}))))["pool"]

    assert found.level is Level.WRONG
    assert found.found.startswith("7 not ready: a0 quarantined, a1 quarantined")


@pytest.mark.parametrize(
    ("streams", "level", "words"),
    [
        (None, Level.NOTE, "no market process is at work"),
        (
            {"stock": {"state": "listening", "reason": None}},
            Level.OK,
            "1 data sockets with 3 symbols",
        ),
        (
            {"stock": {"state": "throttled", "reason": "406 connection limit exceeded"}},
            Level.NOTE,
            "data_001 stock 406 connection limit exceeded",
        ),
    ],
)
def test_doctor_tells_how_the_live_feed_is(
    run: RunFolder, streams: dict[str, object] | None, level: Level, words: str
) -> None:
    rows = [{"account_id": "data_001", "state": "ready", "data_streams": streams}]
    feed = {"sockets": 1, "symbols": 3, "last_tick_age_ms": None}
    told = {"accounts": rows, "processes": [{"name": "market-1", "feed": feed}]}
    with saying({POOL: [(200, told)]}) as gateway:
        write_private(run.handout, f"API_URL={gateway.url}\nTOKEN_ADMIN=t\n")

        found = by_check(list(servers.pool(patient(run, {}))))["live feed"]

    assert (found.level, found.found) == (level, words)


def test_a_token_that_ran_out_is_told_how_to_renew_it(run: RunFolder) -> None:
    with saying({POOL: [(401, {"reason": "token-expired"})]}) as gateway:
        write_private(run.handout, f"API_URL={gateway.url}\nTOKEN_ADMIN=t\n")

        [found] = servers.pool(patient(run, {}))

    assert (found.level, found.found) == (Level.WRONG, "answers 401")
    assert "make up" in found.remedy


def test_no_finding_repeats_a_password(run: RunFolder) -> None:
    url = "postgresql://u:pass-word@/x?host=/nonexistent"
    settings = {"DATABASE_URL": url, "REDIS_URL": "redis://:pass-word@[::1]:9/0"}

    found = list(examine(patient(run, settings)))

    assert "pass-word" not in str(found)
