"""No secret comes to light: every one is a canary, and every place is searched (G13, law 8)."""

import pickle
import re
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from accounts.refusals import KIND
from opitios.core.config import get_config
from tests.api.calls import GOOD, new_key
from tests.hostile.secrecy import MINE, THEIRS, Client, Gateway, gateway
from tests.support.until import until

pytestmark = [pytest.mark.django_db, pytest.mark.journeys]

ADMIN_PAGES = 120


@pytest.fixture(scope="module")
def searched(
    own_database: None,
    server_url: str,
    session_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Gateway:
    """A gateway that lived for a while, with everything that came out of it."""
    with gateway(tmp_path_factory.mktemp("secrecy"), server_url) as found:
        with found.serving() as client:
            trade(found, client)
            be_refused(found, client)
            read_everything(found, client)
            speak_on_sockets(found)
            client.sign_in()
            assert len(client.walk(most=ADMIN_PAGES)) > 15
            break_down(found, client)
        found.dump(session_folder / "postgres.log")
    return found


def trade(found: Gateway, client: Client) -> None:
    """Orders that fill, that the broker refuses, that are changed and canceled."""
    for account in (MINE, THEIRS):
        path = f"/api/v1/accounts/{account}/orders"
        for body in (GOOD | {"limit_price": "1"}, GOOD | {"qty": "99999999"}):
            answer = client.ask("POST", f"{path}/stocks", bearer=found.token,
                                json=body | {"client_order_id": new_key()})  # fmt: skip
            assert answer.status_code == 202, answer.text
            order = f"{path}/{answer.json()['id']}"
            until(partial(_is_answered, found, client, order), seconds=60)
            client.ask("DELETE", order, bearer=found.token)


def _is_answered(found: Gateway, client: Client, order: str) -> bool:
    status = client.ask("GET", order, bearer=found.token).json()["status"]
    return status not in {"queued", "submitting"}


def be_refused(found: Gateway, client: Client) -> None:
    """Every way of being refused that could repeat what was sent."""
    token, orders = found.token, f"/api/v1/accounts/{MINE}/orders"
    client.ask("GET", orders)
    client.ask("GET", orders, bearer=f"{token}x")
    client.ask("GET", f"{orders}?token={token}&api_key={found.canaries['SECRET_KEY']}")
    client.ask("GET", f"{orders}?token={token}", bearer=token)
    client.ask("GET", f"/api/v1/{token}", bearer=token)
    client.ask("GET", f"/api/v1/accounts/nobody/orders?{token}", bearer=token)
    secret = found.canaries[f"secret of {MINE}"]
    for body in ({"token": token, "secret": secret}, [secret], {"symbol": secret, "qty": token}):
        client.ask("POST", f"{orders}/stocks", bearer=token, json=body)
    client.ask("POST", f"{orders}/stocks", bearer=token, data=f'{{"key":"{secret}"')


def read_everything(found: Gateway, client: Client) -> None:
    """Every path of the OpenAPI that is read, for both accounts, and what needs no token."""
    told = client.ask("GET", "/api/schema?format=json").json()
    for path in ("/", "/health/live", "/health/ready", "/api/docs"):
        client.ask("GET", path)
    for path, methods in told["paths"].items():
        for account in (MINE, THEIRS) if "get" in methods else ():
            filled = re.sub(r"\{[^}]+\}", "AAPL", path.replace("{account_id}", account))
            assert client.ask("GET", filled, bearer=found.token).status_code < 600


def speak_on_sockets(found: Gateway) -> None:
    """Sign in by header, by message, wrongly, and by the query."""
    url = f"ws://127.0.0.1:{found.stream_port}/ws/v1/stream"
    heard: list[str] = []
    bearer = {"Authorization": f"Bearer {found.token}"}
    for given, messages in (
        (bearer, ['{"action":"subscribe","orders":["*"]}']),
        ({}, [f'{{"action":"auth","token":"{found.token}"}}', '{"action":"list"}']),
        ({}, [f'{{"action":"auth","token":"{found.token}x"}}']),
        ({}, [f'{{"action":"{found.token}"}}', found.token]),
    ):
        with connect(f"{url}?token={found.token}", additional_headers=given) as socket:
            try:
                for message in messages:
                    socket.send(message)
                    heard += [str(socket.recv(timeout=60)), str(socket.recv(timeout=2))]
            except (TimeoutError, ConnectionClosed) as ended:
                heard.append(str(ended))
    found.sinks["frames of sockets"] = "\n".join(heard)


def break_down(found: Gateway, client: Client) -> None:
    """Errors that nobody foresaw: a table that is gone under a page, a function under an order."""
    name = psycopg.conninfo.conninfo_to_dict(found.settings["DATABASE_OWNER_URL"])
    with psycopg.connect(**name, autocommit=True) as owner:  # type: ignore[arg-type] # its own
        rename = sql.SQL("ALTER TABLE {} RENAME TO {}").format
        there, away = sql.Identifier("accounts_processrow"), sql.Identifier("gone")
        owner.execute(rename(there, away))
        answer = client.ask("GET", "/api/v1/pool", bearer=found.token)
        client.ask("GET", "/admin/accounts/processrow/")
        owner.execute(rename(away, there))
    assert (answer.status_code, answer.json()["reason"]) == (500, "internal-error")


def leaks(found: Gateway, *sinks: str) -> list[tuple[str, str, str]]:
    """What came to light in sinks of these names; they must be there and not be empty."""
    for name in sinks:
        assert any(sink.startswith(name) and text for sink, text in found.sinks.items()), name
    return [leak for leak in found.leaks() if leak[1].startswith(sinks)]


def test_h121_h122_h123_no_canary_is_anywhere(searched: Gateway) -> None:
    """H121, H122, H123: broker's keys, tokens, master key, signing key, passwords of DSNs."""
    assert {name.partition(" of ")[0] for name in searched.canaries} >= {
        "key", "secret", "token", "its signature", "master key", "JWT", "SECRET_KEY",
        "DATABASE_URL", "DATABASE_OWNER_URL", "redis password", "STAFF",
    }  # fmt: skip
    assert all(len(value) >= 12 for value in searched.canaries.values())
    assert searched.leaks() == []


def test_h124_h125_logs_tell_of_errors_and_of_no_secret(searched: Gateway) -> None:
    """H124, H125: every process at DEBUG, a traceback, refusals, commands."""
    web = searched.sinks["log of web"]
    assert "unforeseen error" in web
    assert "Traceback" in web
    assert "refused" in web
    assert leaks(searched, "log of", "output of") == []


def test_h126_admin_pages_show_no_secret(searched: Gateway) -> None:
    """H126: every page of the admin a link leads to."""
    assert f"/admin/accounts/account/{MINE}" in str(searched.sinks.keys())
    assert leaks(searched, "answer to GET /admin/", "answer to POST /admin/") == []


def test_h128_process_listings_show_no_secret(searched: Gateway) -> None:
    """H128: command lines are for everybody; an environment is its user's and root's alone."""
    assert "opitios.wsgi:application" in searched.sinks["process listing"]
    assert leaks(searched, "process listing") == []


def test_h129_neither_postgres_nor_redis_hears_a_secret(searched: Gateway) -> None:
    """H129: every statement with its parameters, every key, command and slow command."""
    # Where the session's server is somebody else's, its log is not ours to read.
    if "log of postgres" in searched.sinks:
        assert "trading_order" in searched.sinks["log of postgres"]
        assert leaks(searched, "log of postgres") == []
    assert "opitios" in searched.sinks["redis monitor"]
    assert leaks(searched, "log of redis", "redis keys", "redis monitor", "redis slow log") == []


def test_h130_a_dump_holds_no_secret(searched: Gateway) -> None:
    """H130: what an operator carries away as a backup; exports as CSV do not exist yet."""
    dump = searched.sinks["database dump"]
    assert MINE in dump
    assert "accounts_credential" in dump
    assert leaks(searched, "database dump") == []


def test_what_was_refused_is_told_when_the_processes_end(searched: Gateway) -> None:
    # The tests' window is an hour: these entries were written on the way out, of web and stream.
    told = [line for line in searched.sinks["database dump"].splitlines() if KIND in line]
    assert any('"process":"web-' in line for line in told)
    assert any('"process":"stream-' in line for line in told)


def test_h131_answers_repeat_no_secret(searched: Gateway) -> None:
    """H131: the OpenAPI, refusals that were sent secrets, a broker that repeats its caller's."""
    everything = "".join(
        text for sink, text in searched.sinks.items() if sink.startswith("answer to")
    )
    # The broker's own words arrive, its caller's keys hidden.
    assert re.search(r"key \*+ with secret \*+ may not", everything)
    assert leaks(searched, "answer to", "frames of sockets") == []


def test_h127_settings_are_never_pickled() -> None:
    """H127."""
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(get_config())


def test_h127_a_crash_leaves_no_core_file(searched: Gateway) -> None:
    """H127: a core file would hold every key in clear."""
    limits = searched.sinks["limits of processes"]
    found: list[Any] = re.findall(r"Max core file size +(\d+) +(\d+)", limits)
    # granian's own process holds no settings of ours but its environment.
    assert found.count(("0", "0")) >= 4


def test_the_search_would_find_a_leak(tmp_path: Path) -> None:
    class Leaking(Gateway):
        def __init__(self) -> None:
            self.canaries, self.sinks = {"k": "CANARY-1234"}, {"log": "a CANARY-1234 b"}

    assert Leaking().leaks() == [("k", "log", "a CANARY-1234 b")]
