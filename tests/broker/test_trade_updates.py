"""One socket per account: it signs in, tells its owner, delivers raw messages, comes back."""

import asyncio
import json
import logging
import time
from dataclasses import replace

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection

from opitios.broker.alpaca.streams import TradeUpdates, Wanted
from opitios.broker.port import Credentials
from tests.broker.conftest import (
    KEY_ID,
    SECRET,
    STREAM_TIMERS,
    Owner,
    ServerStarter,
    StreamsStarter,
)
from tests.broker.stream_server import StreamServer, replying, sending, update
from tests.support.until import until

TEXT = json.dumps(update(1))
BINARY = json.dumps(update(2)).encode()
PACKED = msgspec.msgpack.encode(update(3))
FRAGMENTS = [TEXT[:20], TEXT[20:25], TEXT[25:]]


def test_the_owner_hears_listening_before_the_first_message(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT))

    streams_for().listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.events == [
        ("account_001", "connecting"),
        ("account_001", "listening"),
        ("account_001", TEXT.encode()),
    ]
    assert server.heard == [
        {"action": "authenticate", "data": {"key_id": KEY_ID, "secret_key": SECRET}},
        {"action": "listen", "data": {"streams": ["trade_updates"]}},
    ]


def test_every_kind_of_frame_arrives_as_its_bytes(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT, BINARY, PACKED, FRAGMENTS))

    streams_for().listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: len(heard.messages()) == 4)

    assert owner.messages() == [TEXT.encode(), BINARY, PACKED, TEXT.encode()]


def test_a_lost_connection_is_opened_again_and_told(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT, then_close=True), sending(BINARY))

    streams = streams_for()
    streams.listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: BINARY in heard.messages())

    assert owner.states() == ["connecting", "listening", "lost", "connecting", "listening"]
    assert streams.counts["connections"] == 2


def test_a_dropped_account_is_closed_when_drop_returns(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT))
    streams = streams_for()
    streams.listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    streams.drop("account_001")
    streams.drop("account_001")

    assert streams.states() == {}
    streams.listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: len(heard.messages()) == 2)
    assert server.open == 1


def test_listening_again_replaces_the_connection(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT))
    streams = streams_for()
    streams.listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    streams.listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: len(heard.messages()) == 2)

    assert server.open == 1
    assert streams.states() == {"account_001": "listening"}


def test_many_accounts_connect_spread_out(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT))
    names = [f"account_{number:03d}" for number in range(1, 51)]
    # The spread is that of 1000 accounts: these fifty take a minute of it, one alone a second.
    streams = streams_for(timers=replace(STREAM_TIMERS, spread=1200.0))

    streams.listen_all([Wanted(name, credentials, server.url) for name in names])
    streams.listen("alone", credentials, server.url)
    owner.wait_until(lambda heard: ("alone", TEXT.encode()) in heard.events)

    assert server.handshakes < len(names) / 2


def test_many_accounts_do_not_connect_one_after_the_other(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    names = [f"account_{number:03d}" for number in range(1, 51)]
    everybody = asyncio.Event()

    async def together(server: StreamServer, socket: ServerConnection) -> None:
        if server.open == len(names):
            everybody.set()
        await everybody.wait()
        await sending(TEXT)(server, socket)

    server = stream_server(together)
    streams = streams_for(timers=replace(STREAM_TIMERS, spread=1.0))

    streams.listen_all([Wanted(name, credentials, server.url) for name in names])
    owner.wait_until(lambda heard: len(heard.messages()) == len(names))

    assert streams.states() == dict.fromkeys(names, "listening")


def test_dropping_many_waits_for_no_peer_that_does_not_close(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT))
    names = [f"account_{number:03d}" for number in range(1, 21)]
    # So long it waits for them, once it is asked to wait.
    streams = streams_for(timers=replace(STREAM_TIMERS, close=1.0))
    streams.listen_all([Wanted(name, credentials, server.url) for name in names])
    owner.wait_until(lambda heard: len(heard.messages()) == len(names))

    with server.deaf():
        streams.drop_all(names)
        assert streams.states() == dict.fromkeys(names, "listening")
        # One account's next connection waits for the end of its last one.
        streams.drop(names[0])
        assert names[0] not in streams.states()

    until(lambda: not streams.states())


def test_an_update_before_listening_is_left_to_the_reconciliation(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    early = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
    server = stream_server(replying(early, update(1)), sending(BINARY))

    streams_for(timers=replace(STREAM_TIMERS, sign_in=0.5)).listen(
        "account_001", credentials, server.url
    )
    owner.wait_until(lambda heard: BINARY in heard.messages())

    assert owner.messages() == [BINARY]


def test_no_log_shows_the_keys_even_at_debug(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = stream_server(sending(TEXT))

    # websockets logs whole frames at this level; its server, which is not ours, is left out.
    logging.getLogger("websockets.server").setLevel(logging.WARNING)
    with caplog.at_level(logging.DEBUG):
        streams_for().listen("account_001", credentials, server.url)
        owner.wait_until(lambda heard: heard.messages())

    assert SECRET not in caplog.text
    assert KEY_ID not in caplog.text


def test_a_callback_that_would_wait_for_itself_is_told_so(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT, BINARY))
    streams: TradeUpdates = streams_for(
        deliver=lambda *message: _drop_and_deliver(streams, owner, *message)
    )

    streams.listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.messages()[0] == b"RuntimeError"


def _drop_and_deliver(
    streams: TradeUpdates, owner: Owner, account_id: str, _raw: bytes, received_at: float
) -> None:
    try:
        streams.drop(account_id)
    except RuntimeError as error:
        owner.deliver(account_id, type(error).__name__.encode(), received_at)


def test_when_an_account_s_last_message_came_is_known(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server, quiet = stream_server(sending(TEXT)), stream_server(sending())
    streams = streams_for()

    streams.listen("account_001", credentials, server.url)
    streams.listen("account_002", credentials, quiet.url)
    owner.wait_until(lambda heard: heard.messages() and len(heard.events) == 5)

    assert list(streams.last_messages()) == ["account_001"]
    assert time.time() - 60 < streams.last_messages()["account_001"] <= time.time()
