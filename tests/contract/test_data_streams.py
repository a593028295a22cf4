"""The market data sockets message by message, and through the real alpaca-py streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack  # type: ignore[import-untyped] # it has no stubs here
import pytest
from alpaca.data.live.option import OptionDataStream
from alpaca.data.live.stock import StockDataStream
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.crowd import patient
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.contract

PATIENCE = patient(15.0)
MSGPACK = {"Content-Type": "application/msgpack"}


class Feed:
    """A client of one data socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def hear(self) -> list[dict[str, Any]]:
        data = await asyncio.wait_for(self.connection.recv(), PATIENCE)
        told: list[dict[str, Any]] = (
            json.loads(data) if isinstance(data, str) else msgpack.unpackb(data, timestamp=1)
        )
        return told

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Say something, and take the control message that answers it."""
        await self.say(**message)
        while True:
            for each in await self.hear():
                if each["T"] in {"success", "error", "subscription"}:
                    return each

    async def prices(self, *kinds: str) -> list[dict[str, Any]]:
        """Wait for a frame of prices of these kinds."""
        while True:
            told = [each for each in await self.hear() if each["T"] in kinds]
            if told:
                return told

    async def is_over(self) -> bool:
        try:
            while True:
                await self.hear()
        except ConnectionClosed:
            return True


@asynccontextmanager
async def feed(
    broker: SandboxProcess, path: str = "/v2/iex", headers: dict[str, str] | None = None
) -> AsyncIterator[Feed]:
    url = broker.url.replace("http", "ws") + path
    async with connect(url, proxy=None, additional_headers=headers) as connection:
        one = Feed(connection)
        assert (await one.hear())[0]["msg"] == "connected"
        yield one


@asynccontextmanager
async def signed_in(
    broker: SandboxProcess, account: str, path: str = "/v2/iex", **more: str
) -> AsyncIterator[Feed]:
    async with feed(broker, path, broker.headers(account) | more) as one:
        assert (await one.hear())[0] == {"T": "success", "msg": "authenticated"}
        yield one


def login(account: str) -> dict[str, str]:
    return {
        "action": "auth",
        "key": SandboxProcess.key(account),
        "secret": SandboxProcess.secret(account),
    }


async def test_a_client_signs_in_subscribes_and_hears_quotes_and_trades(
    broker: SandboxProcess, account: str
) -> None:
    async with feed(broker) as one:
        assert (await one.ask(**login(account)))["msg"] == "authenticated"
        lists = await one.ask(action="subscribe", quotes=["AAPL", "SPY"], trades=["AAPL"])
        quotes = await one.prices("q")
        [trade] = await one.prices("t")

    assert (lists["quotes"], lists["trades"], lists["corrections"]) == (
        ["AAPL", "SPY"],
        ["AAPL"],
        ["AAPL"],
    )
    assert {each["S"] for each in quotes} == {"AAPL", "SPY"}
    assert all(0 < each["bp"] < each["ap"] for each in quotes)
    assert set(trade) == {"T", "S", "x", "p", "s", "c", "i", "z", "t"}


async def test_subscriptions_add_up_and_an_unsubscribed_symbol_is_silent(
    broker: SandboxProcess, account: str
) -> None:
    async with signed_in(broker, account) as one:
        await one.ask(action="subscribe", quotes=["AAPL"])
        both = await one.ask(action="subscribe", quotes=["MSFT"])
        left = await one.ask(action="unsubscribe", quotes=["AAPL"])
        heard = {each["S"] for _ in range(3) for each in await one.prices("q")}

    assert (both["quotes"], left["quotes"]) == (["AAPL", "MSFT"], ["MSFT"])
    assert heard == {"MSFT"}


async def test_msgpack_has_its_own_timestamps(broker: SandboxProcess, account: str) -> None:
    async with signed_in(broker, account, **MSGPACK) as one:
        message = msgpack.packb({"action": "subscribe", "quotes": ["AAPL"]})
        await one.connection.send(message)
        [quote] = await one.prices("q")

    assert isinstance(quote["t"], float)


async def test_everything_may_be_heard_of_stocks(broker: SandboxProcess, account: str) -> None:
    async with signed_in(broker, account) as one:
        await one.ask(action="subscribe", quotes=["*"])
        heard = {each["S"] for each in await one.prices("q")}

    assert {"AAPL", "BRK.B", "SPY"} <= heard


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"action": "dance"}, 400),
        ({"action": "subscribe", "quotes": "AAPL"}, 400),
        ({"action": "subscribe", "quotes": ["aapl!"]}, 400),
        ({"action": "subscribe", "quotes": [7]}, 400),
        ({"action": "subscribe", "news": ["AAPL"]}, 410),
        ({"action": "auth", "key": "x", "secret": "y"}, 403),
    ],
)
async def test_a_wrong_message_changes_nothing_and_the_socket_lives(
    broker: SandboxProcess, account: str, message: dict[str, Any], code: int
) -> None:
    async with signed_in(broker, account) as one:
        refused = await one.ask(**message)
        lists = await one.ask(action="subscribe", trades=["AAPL"])

    assert (refused["T"], refused["code"]) == ("error", code)
    assert (lists["trades"], lists["quotes"]) == (["AAPL"], [])


async def test_what_is_no_json_is_invalid_syntax(broker: SandboxProcess, account: str) -> None:
    async with signed_in(broker, account) as one:
        await one.connection.send("{")
        assert (await one.hear())[0]["code"] == 400


async def test_nobody_subscribes_before_he_signed_in(broker: SandboxProcess) -> None:
    async with feed(broker) as one:
        refused = await one.ask(action="subscribe", quotes=["AAPL"])

    assert refused["code"] == 401


async def test_a_wrong_key_ends_the_socket(broker: SandboxProcess) -> None:
    async with feed(broker) as one:
        refused = await one.ask(action="auth", key="SANDBOX_x", secret="wrong")  # noqa: S106 - it is none
        assert await one.is_over()

    assert refused["code"] == 402


async def test_a_second_connection_of_an_account_is_refused_a_later_one_is_not(
    broker: SandboxProcess, account: str
) -> None:
    async with signed_in(broker, account):
        async with feed(broker) as second:
            refused = await second.ask(**login(account))
            assert await second.is_over()
        async with signed_in(broker, account, "/v2/sip"):
            pass
    async with signed_in(broker, account):
        pass

    assert refused["code"] == 406


async def test_limits_of_a_plan_are_kept(broker: SandboxProcess, account: str) -> None:
    broker.post("feed", {"symbol_limit": 2, "plan": "basic"})
    try:
        async with signed_in(broker, account) as one:
            await one.ask(action="subscribe", quotes=["AAPL", "SPY"])
            refused = await one.ask(action="subscribe", quotes=["MSFT"])
            lists = await one.ask(action="unsubscribe", quotes=["SPY"])
        async with feed(broker, "/v2/sip") as other:
            denied = await other.ask(**login(account))
    finally:
        broker.post("feed", {})

    assert (refused["code"], lists["quotes"], denied["code"]) == (405, ["AAPL"], 409)


async def test_options_speak_msgpack_only_and_quotes_of_everything_are_refused(
    broker: SandboxProcess, account: str
) -> None:
    async with feed(broker, "/v1beta1/indicative", broker.headers(account)) as one:
        assert (await one.hear())[0]["code"] == 412
        assert await one.is_over()
    async with signed_in(broker, account, "/v1beta1/indicative", **MSGPACK) as one:
        for asked, code in ({"quotes": ["*"]}, 413), ({"bars": ["AAPL"]}, 410):
            await one.connection.send(msgpack.packb({"action": "subscribe", **asked}))
            assert (await one.hear())[0]["code"] == code


async def test_a_mute_socket_stays_open_and_silent(broker: SandboxProcess, account: str) -> None:
    async with signed_in(broker, account) as one:
        await one.ask(action="subscribe", quotes=["AAPL"])
        await one.prices("q")
        broker.fault("data_mute", account=account)
        await one.ask(action="subscribe", trades=["AAPL"])

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.connection.recv(), 1.5)
        await asyncio.wait_for(await one.connection.ping(), PATIENCE)


async def test_a_half_dead_connection_keeps_its_place_for_a_while(
    broker: SandboxProcess, account: str
) -> None:
    codes: list[int | None] = []
    ms = 350
    # Where a sign-in takes longer than that, the place is free again when it comes.
    while codes[:1] in ([], [None]) and ms < patient(15_000):
        ms *= 2
        codes = await codes_while_half_dead(broker, account, ms)

    assert codes[0] == 406
    assert codes[-1] is None


async def codes_while_half_dead(broker: SandboxProcess, account: str, ms: int) -> list[int | None]:
    """What sign-ins are refused with after a cut that goes unnoticed for so long; None at last."""
    async with signed_in(broker, account) as one:
        broker.fault("data_half_dead", account=account, ms=ms)
        assert await one.is_over()
    codes: list[int | None] = []
    while not codes or codes[-1] is not None:
        async with feed(broker) as again:
            codes.append((await again.ask(**login(account))).get("code"))
    return codes


def a_contract(broker: SandboxProcess, account: str) -> str:
    query = {"underlying_symbols": "AAPL", "strike_price_gte": "185", "type": "call"}
    answer = broker.trade(account, "GET", "/v2/options/contracts", params=query)
    return str(answer.json()["option_contracts"][0]["symbol"])


async def heard_by(stream: Any, subscribe: Any, *symbols: str) -> Any:
    """The first message a real alpaca-py stream hands to its handler."""
    heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handler(message: Any) -> None:
        if not heard.done():
            heard.set_result(message)

    subscribe(handler, *symbols)
    running = asyncio.create_task(stream._run_forever())
    try:
        return await asyncio.wait_for(heard, PATIENCE)
    finally:
        await stream.stop_ws()
        await asyncio.wait_for(running, PATIENCE)


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "parsed"])
async def test_the_real_streams_work_unchanged(
    broker: SandboxProcess, account: str, *, raw: bool
) -> None:
    url, keys = broker.url.replace("http", "ws"), (broker.key(account), broker.secret(account))
    stocks: Any = StockDataStream(*keys, raw_data=raw, url_override=f"{url}/v2/iex")
    options: Any = OptionDataStream(*keys, raw_data=raw, url_override=f"{url}/v1beta1/indicative")
    symbol = a_contract(broker, account)

    quote = await heard_by(stocks, stocks.subscribe_quotes, "AAPL")
    option = await heard_by(options, options.subscribe_quotes, symbol)

    assert (quote["S"] if raw else quote.symbol) == "AAPL"
    assert (option["S"] if raw else option.symbol) == symbol
    assert raw or quote.ask_price > quote.bid_price > 0
