"""Data sockets against the sandbox, a real process: subscribe, hear, and come back."""

import re
from collections.abc import Callable, Iterator

import pytest

from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.port import Credentials
from tests.broker.data_sockets import Heard, listening
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.contract

NANOSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox")) as process:
        process.post("feed", {"quotes_per_second": 50})
        yield process


@pytest.fixture
def heard() -> Iterator[Callable[..., Heard]]:
    with listening() as start:
        yield start


def keys(account: str) -> Credentials:
    return Credentials(SandboxProcess.key(account), SandboxProcess.secret(account))


def opened(
    start: Callable[..., Heard],
    sandbox: SandboxProcess,
    account: str,
    path: str = "/v2/iex",
    **timers: float,
) -> Heard:
    one = start(**timers)
    one.open(sandbox_endpoint(sandbox.url).data_stream_url + path, keys(account))
    until(lambda: one.condition.state == "listening")
    return one


@pytest.mark.parametrize("is_packed", [True, False])
def test_prices_come_in_alpacas_keys_with_all_their_nanoseconds(
    sandbox: SandboxProcess, heard: Callable[[], Heard], is_packed: bool
) -> None:
    one = heard()
    url = sandbox_endpoint(sandbox.url).data_stream_url + "/v2/iex"
    one.open(url, keys(f"packed_{is_packed}"), is_packed=is_packed)

    one.want("quotes AAPL", "trades AAPL")

    quote, trade = one.hears("q", "AAPL"), one.hears("t", "AAPL")
    assert {"T", "S", "bp", "bs", "ap", "as", "bx", "ax", "c", "z", "t"} == set(quote)
    assert NANOSECONDS.fullmatch(quote["t"])
    assert NANOSECONDS.fullmatch(trade["t"])
    assert one.states == ["connecting", "listening"]


def test_options_are_heard_on_their_own_socket(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    query = {"underlying_symbols": "AAPL", "limit": 1}
    listed = sandbox.trade("options", "GET", "/v2/options/contracts", params=query).json()
    occ = listed["option_contracts"][0]["symbol"]
    one = opened(heard, sandbox, "options", "/v1beta1/indicative")

    one.want(f"quotes {occ}", f"trades {occ}")

    assert isinstance(one.hears("q", occ)["c"], str)
    one.until_has(f"quotes {occ}", f"trades {occ}")


def test_only_the_difference_is_subscribed_and_unsubscribed(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    one = opened(heard, sandbox, "difference")
    one.want("quotes AAPL", "quotes MSFT")
    one.until_has("quotes AAPL", "quotes MSFT")

    one.want("quotes MSFT", "trades SPY")
    one.until_has("quotes MSFT", "trades SPY")
    one.messages.clear()
    one.hears("t", "SPY")

    assert ("q", "AAPL") not in one.told()
    one.want()
    one.until_has()


def test_hundreds_of_symbols_take_several_messages(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    one = opened(heard, sandbox, "hundreds")
    names = [f"quotes A{chr(65 + n // 26 // 26)}{chr(65 + n // 26 % 26)}{chr(65 + n % 26)}"
             for n in range(900)]  # fmt: skip

    one.want(*names)

    one.until_has(*names)


def test_after_a_cut_everything_is_subscribed_again(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    one = opened(heard, sandbox, "cut")
    one.want("quotes AAPL", "trades MSFT")
    one.until_has("quotes AAPL", "trades MSFT")

    assert sandbox.fault("data_drop", account="cut")["dropped"] == 1
    until(lambda: one.states[-2:] == ["connecting", "listening"] and "lost" in one.states)

    one.until_has("quotes AAPL", "trades MSFT")
    one.messages.clear()
    one.hears("q", "AAPL")


def test_a_mute_socket_is_opened_again_when_its_owner_says_so(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    one = opened(heard, sandbox, "mute")
    one.want("quotes AAPL")
    one.hears("q", "AAPL")
    sandbox.fault("data_mute", account="mute")

    one.streams.reopen("one")
    until(lambda: one.states == ["connecting", "listening", "lost", "connecting", "listening"])

    one.messages.clear()
    one.hears("q", "AAPL")


def test_a_connection_that_is_still_taken_is_tried_again_after_it_is_reaped(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    # The first try comes while it is taken, the next one after that, however crowded it is here.
    one = opened(heard, sandbox, "half_dead", reaped=1.8)
    one.want("quotes AAPL")
    one.hears("q", "AAPL")

    sandbox.fault("data_half_dead", account="half_dead", ms=1500)
    until(lambda: one.condition.state == "throttled")
    assert one.condition.reason == "406 connection limit exceeded"

    one.messages.clear()
    one.hears("q", "AAPL")
    # One try too early, and none in between.
    assert one.states.count("throttled") == 1


def test_a_symbol_limit_leaves_what_there_is_and_names_what_is_not(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    sandbox.post("feed", {"quotes_per_second": 50, "symbol_limit": 3})
    try:
        one = opened(heard, sandbox, "limit")
        one.want(*(f"quotes {name}" for name in ("AAPL", "AMD", "MSFT", "NVDA", "SPY")))

        until(lambda: len(one.condition.refused) == 2)
        assert len(one.condition.subscribed) == 3
        assert set(one.condition.refused.values()) == {405}
        assert one.condition.state == "listening"

        one.want("quotes SPY")
        one.until_has("quotes SPY")
        assert one.condition.refused == {}
    finally:
        sandbox.post("feed", {"quotes_per_second": 50})


def test_one_bad_symbol_keeps_no_other_from_being_subscribed(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    one = opened(heard, sandbox, "bad")

    one.want("quotes AAPL", "quotes no symbol", "quotes MSFT", "trades SPY")

    one.until_has("quotes AAPL", "quotes MSFT", "trades SPY")
    assert one.condition.refused == {("quotes", "no symbol"): 400}


def test_other_keys_take_the_place_of_refused_ones(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    one = heard()
    url = sandbox_endpoint(sandbox.url).data_stream_url + "/v2/iex"
    one.open(url, Credentials("SANDBOX_wrong", "not-its-secret"))
    one.want("quotes AAPL")
    until(lambda: one.condition.state == "unauthorized")

    one.open(url, keys("right"))

    one.hears("q", "AAPL")


def test_a_plan_without_the_feed_is_told_and_not_tried_again(
    sandbox: SandboxProcess, heard: Callable[..., Heard]
) -> None:
    sandbox.post("feed", {"quotes_per_second": 50, "plan": "basic"})
    try:
        one = heard()
        one.open(sandbox_endpoint(sandbox.url).data_stream_url + "/v2/sip", keys("plan"))

        until(lambda: one.condition.state == "refused")
        assert one.condition.reason == "409 insufficient subscription"
        assert one.states == ["connecting", "refused"]
    finally:
        sandbox.post("feed", {"quotes_per_second": 50})
