"""What clients may write, judged without a socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import protocol
from streaming.protocol import (
    WORDS,
    Auth,
    Code,
    ListAll,
    Ping,
    Refusal,
    Subscribe,
    Unsubscribe,
    read_command,
)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"action":"auth","token":"t"}', Auth("t")),
        ('{"action":"subscribe","orders":["A","B","A"]}', Subscribe(("A", "B"))),
        ('{"action":"subscribe","orders":["*"]}', Subscribe(("*",))),
        ('{"action":"subscribe","orders":["A"],"trades":[],"after":null}', Subscribe(("A",))),
        ('{"action":"subscribe","orders":[]}', Subscribe(())),
        ('{"action":"unsubscribe","orders":["A"]}', Unsubscribe(("A",))),
        ('{"action":"list"}', ListAll()),
        ('{"action":"ping"}', Ping()),
    ],
)
def test_a_command_is_read(text: str, command: object) -> None:
    assert read_command(text) == command


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"action": "auth"}, Code.SYNTAX),
        ({"action": "auth", "token": 7}, Code.SYNTAX),
        ({"action": "auth", "token": "t", "key": "k"}, Code.SYNTAX),
        ({"action": "auth", "key": "k", "secret": "s"}, Code.SYNTAX),
        ({"action": "subscribe"}, Code.SYNTAX),
        ({"action": "subscribe", "orders": None}, Code.SYNTAX),
        ({"action": "subscribe", "orders": "A"}, Code.SYNTAX),
        ({"action": "subscribe", "orders": {"A": 1}}, Code.SYNTAX),
        ({"action": "subscribe", "orders": [1]}, Code.SYNTAX),
        ({"action": "subscribe", "orders": [["A"]]}, Code.SYNTAX),
        ({"action": "subscribe", "orders": ["A", None]}, Code.SYNTAX),
        ({"action": "subscribe", "orders": ["*", "A"]}, Code.SYNTAX),
        ({"action": "subscribe", "order": ["A"]}, Code.SYNTAX),
        ({"action": "subscribe", "trades": "AAPL"}, Code.SYNTAX),
        ({"action": "list", "orders": []}, Code.SYNTAX),
        ({"action": "ping", "id": 1}, Code.SYNTAX),
        ({"action": "subscribe", "orders": ["A"], "quotes": ["AAPL"]}, Code.NOT_AVAILABLE),
        ({"action": "subscribe", "option_trades": ["*"]}, Code.NOT_AVAILABLE),
        ({"action": "unsubscribe", "bars": ["AAPL"]}, Code.NOT_AVAILABLE),
        ({"action": "subscribe", "orders": ["A"], "after": {"A": 1}}, Code.NOT_AVAILABLE),
        ({"action": "subscribe", "orders": [f"a{n}" for n in range(2001)]}, Code.LIMIT),
    ],
)
def test_a_command_is_refused_with_its_code(body: dict[str, object], code: Code) -> None:
    with pytest.raises(Refusal) as refused:
        read_command(json.dumps(body))

    assert refused.value.code is code
    assert refused.value.as_json()["msg"] == WORDS[code]


@given(st.text() | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(json.dumps))  # fmt: skip
def test_whatever_a_client_writes_is_a_command_or_a_refusal(text: str) -> None:
    answer = {}
    try:
        read_command(text)
    except Refusal as refusal:
        answer = refusal.as_json()

    # What is answered can always be encoded.
    assert protocol.frame([answer]).size > 0


def test_every_code_has_its_words() -> None:
    assert WORDS.keys() == set(Code)


def test_a_frame_is_one_array_and_knows_its_bytes() -> None:
    frame = protocol.success("grüezi")

    assert json.loads(frame.text) == [{"T": "success", "msg": "grüezi"}]
    assert frame.size == len(frame.text.encode())
