"""The stream refuses, hangs, floods or overflows: the account comes back, and not in a hurry."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from opitios.broker.alpaca.drains import Handler, Overflow
from opitios.broker.port import Credentials
from tests.broker.conftest import STREAM_TIMERS, Owner, ServerStarter, StreamsStarter
from tests.broker.stream_server import (
    AUTHORIZED,
    UNAUTHORIZED,
    StreamServer,
    replying,
    sending,
    update,
)

TEXT = json.dumps(update(1))


def test_refused_keys_are_told_and_tried_again_slowly(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(replying(UNAUTHORIZED), sending(TEXT))

    began = time.monotonic()
    streams_for().listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.states() == ["connecting", "unauthorized", "connecting", "listening"]
    assert time.monotonic() - began >= STREAM_TIMERS.unauthorized_wait


def test_a_throttled_handshake_waits_as_long_as_it_was_told(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT), refusals=[(429, {"Retry-After": "1"}), (429, {})])

    began = time.monotonic()
    streams_for().listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.states() == [
        *("connecting", "throttled", "connecting", "throttled", "connecting", "listening")
    ]
    assert time.monotonic() - began >= 1
    assert server.handshakes == 3


@pytest.mark.parametrize(("status", "state"), [(401, "unauthorized"), (503, "lost")])
def test_other_refused_handshakes_are_tried_again(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
    status: int,
    state: str,
) -> None:
    server = stream_server(sending(TEXT), refusals=[(status, {})])

    streams_for().listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.states() == ["connecting", state, "connecting", "listening"]


def test_a_redirect_is_not_followed_with_the_keys(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    elsewhere = stream_server(sending(TEXT))
    server = stream_server(sending(TEXT), refusals=[(302, {"Location": elsewhere.url})])

    streams_for().listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert elsewhere.handshakes == 0
    assert owner.states() == ["connecting", "lost", "connecting", "listening"]


@pytest.mark.parametrize(
    "replies",
    [
        (AUTHORIZED, {"stream": "listening", "data": {"streams": []}}),
        (AUTHORIZED, {"stream": "authorization", "data": {"status": "unauthorized"}}),
        ({"action": "error", "data": {"error_message": "internal"}},),
        (AUTHORIZED,),
    ],
)
def test_a_sign_in_that_does_not_end_in_listening_is_given_up(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
    replies: tuple[dict[str, Any], ...],
) -> None:
    server = stream_server(replying(*replies), sending(TEXT))

    streams_for(timers=replace(STREAM_TIMERS, sign_in=0.5)).listen(
        "account_001", credentials, server.url
    )
    owner.wait_until(lambda heard: heard.messages())

    assert owner.states()[-2:] == ["connecting", "listening"]
    assert owner.states().count("listening") == 1


def test_a_mute_connection_is_given_up_after_its_pings(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    async def mute(server: StreamServer, socket: ServerConnection) -> None:
        await server.sign_in(socket)
        socket.transport.pause_reading()
        await server.closing.wait()

    server = stream_server(mute, sending(TEXT))

    streams = streams_for(timers=replace(STREAM_TIMERS, ping_answer=0.6))
    streams.listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.states()[:5] == ["connecting", "listening", "lost", "connecting", "listening"]


def test_an_overflow_reconnects_so_that_the_owner_reconciles(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT))
    streams = streams_for(deliver=_overflowing_once(owner))

    streams.listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.states() == ["connecting", "listening", "lost", "connecting", "listening"]
    assert streams.counts["overflows"] == 1


def test_an_account_that_keeps_overflowing_waits_longer_each_time(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending(TEXT))

    def deliver(account_id: str, _raw: bytes, _received_at: float) -> None:
        raise Overflow(account_id)

    began = time.monotonic()
    streams_for(deliver=deliver).listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.states().count("lost") == 5)

    shortest = sum(STREAM_TIMERS.first_wait * 2**failures / 2 for failures in range(4))
    assert time.monotonic() - began >= shortest


def test_a_fault_of_the_owner_does_not_end_the_stream(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    def on_state(account_id: str, state: str) -> None:
        owner.on_state(account_id, state)
        raise LookupError("a fault")

    server = stream_server(sending(TEXT))
    streams_for(on_state=on_state).listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.states() == ["connecting", "listening"]


def test_a_message_beyond_the_limit_ends_only_its_connection(
    stream_server: ServerStarter,
    streams_for: StreamsStarter,
    owner: Owner,
    credentials: Credentials,
) -> None:
    server = stream_server(sending("x" * (1024 * 1024 + 1)), sending(TEXT))

    streams_for().listen("account_001", credentials, server.url)
    owner.wait_until(lambda heard: heard.messages())

    assert owner.messages() == [TEXT.encode()]


def _overflowing_once(owner: Owner) -> Handler:
    refused: list[bytes] = []

    def deliver(account_id: str, raw: bytes, received_at: float) -> None:
        if not refused:
            refused.append(raw)
            raise Overflow(account_id)
        owner.deliver(account_id, raw, received_at)

    return deliver
