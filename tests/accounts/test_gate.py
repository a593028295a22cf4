"""Denied tokens and callers from elsewhere: in force by the next poll; no request asks for them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine

from accounts import denials, gate
from accounts.claims import Principal
from accounts.gate import Gate
from accounts.models import AccountNetworks, Subject
from accounts.tokens import Grant, mint, verifier
from opitios.core import clock, database
from opitios.core.bus import Bus, namespace
from opitios.core.config import Timers, get_config
from opitios.core.errors import Reason
from tests.accounts.custodial import ME, last_system_seq, system_entries
from tests.accounts.issuer import refused
from tests.support.accounts import open_account
from tests.support.until import until
from tests.trading.outages import patient_url, proxied_postgres

pytestmark = pytest.mark.django_db

HERE, ELSEWHERE = "10.1.2.3", "203.0.113.9"


def signed(sub: str, *accounts: str, everything: bool = False) -> Principal:
    """A verified token of this subject."""
    grant = Grant(sub, None if everything else accounts, ["account_read"], timedelta(hours=1))
    return verifier().principal(mint(grant, now=clock.now()))


@pytest.fixture
def sub() -> str:
    """A subject nobody else has."""
    return f"sub-{uuid4().hex[:12]}"


@pytest.fixture
def lists() -> Gate:
    """A gate that has read the lists."""
    made = Gate(get_config())
    made.refresh()
    return made


def test_a_denied_jti_is_refused_and_no_other_token_of_its_subject(lists: Gate, sub: str) -> None:
    stolen, other = signed(sub), signed(sub)
    before = last_system_seq()

    denials.deny("jti", stolen.jti or "", until=None, actor=ME, reason="stolen")

    assert lists.refresh()
    with refused():
        lists.admit(stolen, HERE)
    assert lists.admit(other, HERE) is other
    (entry,) = system_entries(before)
    assert (entry["kind"], entry["reason"]) == ("token.denied", "stolen")
    assert entry["after"]["jti"] == stolen.jti
    assert entry["actor"]["name"] == "jane"


def test_a_denied_subject_is_refused_with_every_token_until_it_is_lifted(
    lists: Gate, sub: str
) -> None:
    known = signed(sub)
    assert denials.deny("sub", sub, until=None, actor=ME, reason="left") == {
        "sub": sub,
        "until": None,
    }
    lists.refresh()

    for principal in (known, signed(sub), signed(sub, everything=True)):
        with refused():
            lists.admit(principal, HERE)
    assert lists.admit(signed(sub.upper()), HERE).sub == sub.upper()
    before = last_system_seq()
    denials.lift("sub", sub, actor=ME, reason="came back")
    lists.refresh()
    assert lists.admit(known, HERE) is known
    assert [entry["kind"] for entry in system_entries(before)] == ["token.lifted"]


def test_a_denial_ends_by_itself(lists: Gate, sub: str) -> None:
    known = signed(sub)
    end = clock.now() + timedelta(minutes=5)
    denials.deny("sub", sub, until=end, actor=ME, reason="for five minutes")
    lists.refresh()

    with refused():
        lists.admit(known, HERE)
    with time_machine.travel(end + timedelta(seconds=1), tick=False):
        assert lists.admit(known, HERE) is known


def test_a_denial_of_a_jti_outlives_every_token(sub: str) -> None:
    done = denials.deny("jti", f"j-{sub}", until=None, actor=ME, reason="stolen")

    left = clock.now() + timedelta(hours=24, seconds=59)
    assert done["until"] > clock.rfc3339(left)


def test_a_denied_token_was_remembered_as_verified_and_is_refused_all_the_same(
    monkeypatch: pytest.MonkeyPatch, sub: str
) -> None:
    lists = Gate(get_config())
    monkeypatch.setattr(gate, "get_gate", lambda: lists)
    token = mint(Grant(sub, (), [], timedelta(hours=1)), now=clock.now())
    assert gate.principal_from(token, HERE) is gate.principal_from(token, HERE)

    denials.deny("sub", sub, until=None, actor=ME, reason="left")
    lists.refresh()

    with refused():
        gate.principal_from(token, HERE)


@pytest.mark.parametrize(
    "change",
    [
        lambda sub: denials.deny("sub", sub, until=None, actor=ME, reason="x"),
        lambda sub: denials.set_subject(sub, {"note": "n"}, actor=ME, reason="x"),
        lambda _: denials.set_networks(open_account(), [], actor=ME, reason="x"),
    ],
)
def test_every_change_is_noticed_by_one_number(
    lists: Gate, sub: str, change: Callable[[str], object]
) -> None:
    assert not lists.refresh()

    change(sub)

    assert lists.refresh()
    assert not lists.refresh()


def test_the_request_path_asks_no_database(
    lists: Gate, sub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    denials.deny("sub", f"other-{sub}", until=None, actor=ME, reason="left")
    lists.refresh()
    known = signed(sub)
    database.release()

    def no_statement(*_: object) -> None:
        raise AssertionError("a request asked Postgres")

    monkeypatch.setattr("psycopg.Cursor.execute", no_statement)
    assert lists.admit(known, HERE) is known


def test_a_serving_process_lets_nobody_in_before_it_has_read_the_lists(sub: str) -> None:
    fresh = Gate(get_config().model_copy(update={"role": "web"}))

    with pytest.raises(Exception, match="being loaded") as caught:
        fresh.admit(signed(sub), HERE)
    assert caught.value.reason is Reason.UNAVAILABLE  # type: ignore[attr-defined] # a Problem
    fresh.refresh()
    assert fresh.admit(signed(sub), HERE).sub == sub


@pytest.fixture
def running() -> Iterator[Gate]:
    """A gate whose own loop reads the lists."""
    made = Gate(get_config().model_copy(update={"role": "web"}))
    made.start()
    yield made
    made.stop()


def test_the_loop_reads_the_lists_and_notes_who_came(running: Gate, sub: str) -> None:
    running.wait_until_loaded()
    known = signed(sub)
    assert running.admit(known, HERE) is known
    until(lambda: Subject.objects.filter(sub=sub, last_seen_at__isnull=False).exists())

    denials.deny("sub", sub, until=None, actor=ME, reason="left")

    until(lambda: running._lists.denies(known, clock.now()))


def test_a_last_visit_is_written_once_a_minute(lists: Gate, sub: str) -> None:
    lists.admit(signed(sub), HERE)
    lists.note_seen()
    first = Subject.objects.get(pk=sub).last_seen_at

    lists.admit(signed(sub), HERE)
    lists.note_seen()

    assert Subject.objects.get(pk=sub).last_seen_at == first
    assert Subject.objects.get(pk=sub).allowed_ips == []


@pytest.mark.parametrize(
    ("networks", "address", "lets_in"),
    [
        (["10.0.0.0/8"], HERE, True),
        (["10.1.2.3"], HERE, True),
        (["10.0.0.0/8"], ELSEWHERE, False),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["2001:db8::/32"], "2001:DB8::7", True),
        (["2001:db8::/32"], HERE, False),
        (["192.168.0.0/16", "10.0.0.0/8"], HERE, True),
        (["10.0.0.0/8"], None, False),
        (["0.0.0.0/0"], "nonsense", False),
        ([], None, True),
    ],
)
def test_a_subject_with_networks_comes_from_there_alone(
    lists: Gate, sub: str, networks: list[str], address: str | None, lets_in: bool
) -> None:
    denials.set_subject(sub, {"allowed_ips": networks}, actor=ME, reason="its office")
    lists.refresh()
    known = signed(sub)

    if lets_in:
        assert lists.admit(known, address) is known
    else:
        with refused():
            lists.admit(known, address)


def test_an_account_with_networks_is_held_from_there_alone(lists: Gate, sub: str) -> None:
    narrow, open_ = open_account(), open_account()
    denials.set_networks(narrow, ["10.0.0.0/8"], actor=ME, reason="its office")
    lists.refresh()

    for known in (signed(sub, narrow, open_), signed(sub, everything=True)):
        assert lists.admit(known, HERE).holds(narrow)
        away = lists.admit(known, ELSEWHERE)
        assert not away.holds(narrow)
        assert away.holds(open_)
        assert away.sub == sub


def test_a_list_that_cannot_be_read_lets_nobody_in_and_keeps_no_denial_out(
    lists: Gate, sub: str
) -> None:
    account = open_account()
    AccountNetworks.objects.create(account_id=account, allowed_ips=["nonsense"])
    denials.deny("sub", f"other-{sub}", until=None, actor=ME, reason="left")
    lists.refresh()

    try:
        assert not lists.admit(signed(sub, account), HERE).holds(account)
        with refused():
            lists.admit(signed(f"other-{sub}"), HERE)
    finally:
        # Told as every change is, so that no list keeps what nobody meant.
        denials.set_networks(account, [], actor=ME, reason="a test is over")


@pytest.mark.parametrize(
    ("claimed", "held"),
    [
        (None, {"requests_per_minute": 30, "orders_per_day": 0}),
        ({"orders_per_day": 5}, {"requests_per_minute": 30, "orders_per_day": 0}),
        (
            {"requests_per_minute": 7, "x": 1},
            {"requests_per_minute": 7, "orders_per_day": 0, "x": 1},
        ),
    ],
)
def test_of_a_token_s_limits_and_its_subject_s_the_smaller_hold(
    lists: Gate, sub: str, claimed: dict[str, int] | None, held: dict[str, int]
) -> None:
    limits = {"requests_per_minute": "30", "orders_per_day": "0"}
    denials.set_subject(sub, {"rate_limits": limits}, actor=ME, reason="small")
    lists.refresh()

    known = replace(signed(sub), rate_limits=claimed)

    assert lists.admit(known, HERE).rate_limits == held
    assert known.rate_limits == claimed
    assert lists.admit(replace(signed("nobody"), rate_limits=claimed), HERE).rate_limits == claimed


def test_a_hint_makes_the_poll_come_at_once(sub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # No poll makes good here what a hasty bus loses to a slow Redis.
    url = patient_url(get_config().redis_url.get_secret_value())
    made = Bus(url, namespace=namespace())
    monkeypatch.setattr(denials, "get_bus", lambda: made)
    config = get_config().model_copy(
        update={"role": "web", "timers": Timers(access_poll=600, pool_row=600)}
    )
    patient = Gate(config)
    patient.start()
    try:
        # Since then Redis has the subscription: who is connected may not have it yet.
        until(lambda: patient.is_loaded and patient._listener.since)  # type: ignore[union-attr] # started
        known = signed(sub)
        assert patient.admit(known, HERE) is known

        denials.deny("sub", sub, until=None, actor=ME, reason="left")

        until(lambda: patient._lists.denies(known, clock.now()), seconds=5)
    finally:
        patient.stop()


def test_without_postgres_the_lists_go_on_as_they_were(sub: str) -> None:
    lists = Gate(get_config())
    denials.deny("sub", f"other-{sub}", until=None, actor=ME, reason="left")
    lists.refresh()
    with proxied_postgres() as proxy:
        proxy.vanish()

        lists._step(lists.refresh)

        known = signed(sub)
        assert lists.admit(known, HERE) is known
        with refused():
            lists.admit(signed(f"other-{sub}"), HERE)
