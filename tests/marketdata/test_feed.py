"""The live feed over real sockets: follows demand, heals, and says how it is."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from opitios.core import clock
from tests.support.buses import lone_bus
from tests.support.crowd import crowding, patient
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

if TYPE_CHECKING:
    from tests.marketdata.feeds import Heard, Process

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_database")]

QUICK = {"quotes_per_second": 50}
WRONG = "not-its-secret"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        process.post("feed", QUICK)
        yield process


@pytest.fixture
def accounts(_django_db_helper: None, sandbox: SandboxProcess) -> Iterator[dict[str, list[str]]]:
    """Two data accounts, a master and a backup; those of the last test are gone."""
    from accounts.models import Account  # noqa: PLC0415 - Django is set up by now
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    sandbox.post("feed", QUICK)
    counts = {"data": 2, "master": 1, "backup": 1}
    yield {
        kind: open_accounts(count, url=sandbox.url, account_type=kind)
        for kind, count in counts.items()
    }
    Account.objects.filter(enabled=True).update(enabled=False)


@pytest.fixture
def heard(accounts: dict[str, list[str]]) -> Iterator["Heard"]:
    from tests.marketdata.feeds import Heard  # noqa: PLC0415

    one = Heard(lone_bus())
    yield one
    one.close()


@pytest.fixture
def process(heard: "Heard") -> Iterator[Callable[[], "Process"]]:
    from tests.marketdata.feeds import market  # noqa: PLC0415

    with market(heard.bus) as start:
        yield start


def a_contract(sandbox: SandboxProcess, account: str) -> str:
    query = {"underlying_symbols": "AAPL", "limit": 1}
    answer = sandbox.trade(account, "GET", "/v2/options/contracts", params=query)
    return str(answer.json()["option_contracts"][0]["symbol"])


def test_symbols_are_subscribed_on_demand_and_unsubscribed_at_its_end(
    sandbox: SandboxProcess,
    accounts: dict[str, list[str]],
    heard: "Heard",
    process: Callable[[], "Process"],
) -> None:
    one = process()
    occ = a_contract(sandbox, accounts["data"][0])
    heard.demand.hold("quotes", ["AAPL"])
    heard.demand.hold("trades", ["MSFT"])
    heard.demand.hold("option_quotes", [occ])

    quote, option = heard.hears("quotes", "AAPL"), heard.hears("option_quotes", occ)
    assert (quote.feed, option.feed) == ("iex", "indicative")
    assert {"bp", "ap", "t"} <= set(quote.body)
    assert not {"T", "S"} & set(quote.body)
    heard.hears("trades", "MSFT")
    assert heard.until_live("quotes") < quote.at + patient(1)

    heard.demand.release("quotes", ["AAPL"])
    until(lambda: not any("AAPL" in carried for carried in one.carries().values()))
    assert any("MSFT" in carried for carried in one.carries().values())


def test_after_a_cut_everything_is_subscribed_again_and_the_gap_is_told(
    sandbox: SandboxProcess,
    accounts: dict[str, list[str]],
    heard: "Heard",
    process: Callable[[], "Process"],
) -> None:
    process()
    heard.demand.hold("quotes", ["AAPL", "MSFT"])
    heard.hears("quotes", "AAPL")
    before = heard.until_live("quotes")

    # Nobody is let in again before the gap was told: a short one may pass between two looks.
    sandbox.post("feed", QUICK | {"connections": 0})
    for account in accounts["data"]:
        sandbox.fault("data_drop", account=account)
    until(lambda: heard.state("quotes")["state"] == "down")
    sandbox.post("feed", QUICK)

    heard.hears("quotes", "AAPL")
    heard.hears("quotes", "MSFT")
    assert heard.until_live("quotes") > before


def test_a_mute_socket_is_told_and_opened_again(
    sandbox: SandboxProcess,
    accounts: dict[str, list[str]],
    heard: "Heard",
    process: Callable[[], "Process"],
) -> None:
    process()
    heard.demand.hold("quotes", ["AAPL", "MSFT"])
    heard.hears("quotes", "AAPL")
    before = heard.until_live("quotes")

    sandbox.fault("data_mute")

    until(lambda: "stale" in heard.words("quotes"))
    heard.hears("quotes", "AAPL")
    heard.hears("quotes", "MSFT")
    assert heard.until_live("quotes") > before


def test_while_the_broker_holds_a_dead_connection_another_account_carries_its_symbols(
    sandbox: SandboxProcess,
    accounts: dict[str, list[str]],
    heard: "Heard",
    process: Callable[[], "Process"],
) -> None:
    one = process()
    heard.demand.hold("quotes", ["AAPL", "MSFT"])
    heard.hears("quotes", "AAPL")
    carrier = next(name for name, carried in one.carries().items() if "AAPL" in carried)
    account = carrier.partition(" ")[0]

    began = clock.monotonic()
    sandbox.fault("data_half_dead", account=account, ms=int(3000 * crowding()))
    until(lambda: one.feed.streams.states()[carrier] == "throttled")
    tick = heard.hears("quotes", "AAPL")
    assert "AAPL" not in one.carries()[carrier]
    assert heard.until_live("quotes") <= tick.at
    until(lambda: one.feed.streams.states()[carrier] == "listening")

    # Both sockets of the account: the cut, and one try each second (reaped) since then.
    seconds = clock.monotonic() - began
    assert one.feed.streams.counts["failures"] <= 2 * (1 + seconds)


def test_the_backup_carries_what_the_others_cannot_and_gives_it_back(
    sandbox: SandboxProcess,
    accounts: dict[str, list[str]],
    heard: "Heard",
    process: Callable[[], "Process"],
) -> None:
    one = process()
    heard.demand.hold("quotes", ["AAPL"])
    heard.hears("quotes", "AAPL")
    assert {name.partition(" ")[0] for name in one.carries()} == set(accounts["data"])

    # All that are open, in one go: for as long as the master needs to take over.
    sandbox.fault("data_half_dead", account="*", ms=int(1500 * crowding()))
    # The master's socket is not open yet, and nobody holds its place.
    helper = f"{accounts['master'][0]} stock"
    until(lambda: "AAPL" in one.carries().get(helper, ()))
    heard.hears("quotes", "AAPL")

    until(lambda: helper not in one.carries())
    heard.hears("quotes", "AAPL")
    assert heard.until_live("quotes")


def test_refused_keys_leave_their_symbols_to_others_and_are_shown(
    sandbox: SandboxProcess,
    accounts: dict[str, list[str]],
    heard: "Heard",
    process: Callable[[], "Process"],
) -> None:
    from tests.marketdata.feeds import socket_row  # noqa: PLC0415 - Django is set up by now
    from tests.support.accounts import open_accounts  # noqa: PLC0415

    [bad] = open_accounts(1, url=sandbox.url, account_type="data", secret=WRONG)
    one = process()
    heard.demand.hold("quotes", ["AAPL", "MSFT", "SPY"])

    for symbol in ("AAPL", "MSFT", "SPY"):
        heard.hears("quotes", symbol)
    until(lambda: socket_row(bad, "stock").state == "unauthorized")
    assert socket_row(bad, "stock").reason == "402 auth failed"
    assert one.carries()[f"{bad} stock"] == set()
    assert heard.until_live("quotes")


def test_a_symbol_limit_spreads_symbols_and_names_those_without_a_place(
    sandbox: SandboxProcess,
    accounts: dict[str, list[str]],
    heard: "Heard",
    process: Callable[[], "Process"],
) -> None:
    sandbox.post("feed", QUICK | {"symbol_limit": 3})
    one = process()
    names = ["AAPL", "AMD", "MSFT", "NVDA", "SPY", "TSLA", "META"]
    for name in names:
        heard.demand.touch("quotes", name)
    heard.demand.hold("quotes", ["TSLA", "META"])

    until(lambda: sorted(len(each) for each in one.carries().values()) == [0, 0, 3, 3])

    def left_out() -> list[str]:
        state = heard.state("quotes")
        told = (state["state"], state.get("reason")) == ("behind", "symbol-limit")
        return list(state["missing"]) if told else []

    # Who follows a symbol comes before who asked once, as soon as both are known.
    until(lambda: len(left_out()) == 1 and not {"TSLA", "META"} & set(left_out()))


def test_the_pool_view_shows_the_sockets_and_the_row_what_they_do(
    sandbox: SandboxProcess,
    accounts: dict[str, list[str]],
    heard: "Heard",
    process: Callable[[], "Process"],
) -> None:
    from accounts.poolview import merged  # noqa: PLC0415

    one = process()
    heard.demand.hold("quotes", ["AAPL"])
    heard.hears("quotes", "AAPL")
    # Those of options too, of both data accounts.
    until(lambda: list(one.feed.streams.states().values()).count("listening") == 4)
    one.pool.write_row()

    def shown() -> dict[str, Any]:
        told = merged(None, clock.now())
        return {row["account_id"]: row["data_streams"] for row in told["accounts"]}

    until(lambda: any(each and each["stock"]["symbols"] == 1 for each in shown().values()))
    stock = next(each["stock"] for each in shown().values() if each and each["stock"]["symbols"])
    assert (stock["state"], stock["feed"]) == ("listening", "iex")
    assert stock["owner"] == one.feed.owner.partition("/")[0]
    assert shown()[accounts["backup"][0]]["stock"]["state"] == "closed"
    row = next(
        each for each in merged(None, clock.now())["processes"] if each["name"] == stock["owner"]
    )
    assert row["feed"]["sockets"] == 4
    assert row["feed"]["symbols"] == 1
    assert row["feed"]["last_tick_age_ms"] is not None


def test_the_end_closes_sockets_and_leaves_leases_to_others_at_once(
    sandbox: SandboxProcess, heard: "Heard", process: Callable[[], "Process"]
) -> None:
    from tests.marketdata.feeds import owners  # noqa: PLC0415

    first, second = process(), process()
    heard.demand.hold("quotes", ["AAPL"])
    heard.hears("quotes", "AAPL")
    held = until(lambda: owners("stock"))
    assert owners("option") == held
    ending, staying = (first, second) if held == {first.feed.owner} else (second, first)

    ending.feed.stop()

    until(lambda: owners("stock") == {staying.feed.owner})
    heard.hears("quotes", "AAPL")
    assert "down" in heard.words("quotes")
    assert staying.feed.streams.counts["failures"] == 0
