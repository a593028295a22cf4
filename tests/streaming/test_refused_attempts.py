"""What a socket is refused is counted as over HTTP, and told when the process ends (api.md §8)."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus

from accounts.models import SYSTEM_JOURNAL, JournalEntry
from accounts.refusals import KIND
from tests.streaming.conftest import Token
from tests.streaming.stream_process import Client, StreamProcess
from tests.support.orders import entries

pytestmark = pytest.mark.django_db


def told_by(process: str) -> list[dict[str, Any]]:
    """The entries one process wrote."""
    found = JournalEntry.objects.filter(account_id=SYSTEM_JOURNAL, kind=KIND)
    bodies = [json.loads(entry.body) for entry in found.filter(body__contains=process)]
    return [body for body in bodies if body["after"]["process"] == process]


def test_what_a_socket_was_refused_is_in_the_system_journal(
    own_stream: Callable[..., StreamProcess],
    client: Callable[..., Client],
    token: Token,
    account: Callable[..., str],
) -> None:
    name, sub, mine, theirs = f"stream-{uuid4().hex}", uuid4().hex, account(), account()
    stream = own_stream(OPITIOS_PROCESS=name, OPITIOS_TIMERS__REFUSAL_WINDOW="3600")
    trader = client(token(mine, sub=sub), to=stream)
    assert [trader.refused(action="subscribe", orders=[theirs]) for _ in range(3)] == [4404] * 3
    stranger = client(to=stream)
    stranger.asks(action="auth", token="x.y.z")  # noqa: S106 - none
    assert stranger.end() == 4401
    with pytest.raises(InvalidStatus):
        stream.client({"Origin": "https://evil.example"})
    assert told_by(name) == []
    trader.close()

    stream.stop()

    by_actor = {body["actor"]["kind"]: body for body in told_by(name)}
    assert len(told_by(name)) == 2
    known, unknown = by_actor["principal"], by_actor["unknown"]
    assert (known["actor"]["name"], known["reason"]) == (sub, "not-found")
    assert (known["after"]["count"], known["after"]["account_ids"]) == (3, [theirs])
    assert unknown["actor"]["name"] == "127.0.0.1"
    assert unknown["after"]["reasons"] == {"unauthorized": 1, "missing-permission": 1}
    assert (entries(mine), entries(theirs)) == ([], [])
    refused = [line for line in stream.log() if line.get("logger") == "security"]
    assert [line["reason"] for line in refused].count("not-found") == 3
