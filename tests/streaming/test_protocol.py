"""What clients may write, judged without a socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.ticks import Tick
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
        (
            '{"action":"subscribe","orders":["A"],"quotes":["AAPL","BRK.B","AAPL"],"bars":["SPY"]}',
            Subscribe(
                ("A",), frozenset({("quotes", "AAPL"), ("quotes", "BRK.B"), ("bars", "SPY")})
            ),
        ),
        (
            '{"action":"subscribe","option_trades":["AAPL261218C00190000"],"trades":null}',
            Subscribe((), frozenset({("option_trades", "AAPL261218C00190000")})),
        ),
        (
            '{"action":"unsubscribe","trades":["AAPL"]}',
            Unsubscribe((), frozenset({("trades", "AAPL")})),
        ),
        (
            '{"action":"subscribe","orders":["A","B"],"after":{"A":812,"B":0}}',
            Subscribe(("A", "B"), after={"A": 812, "B": 0}),
        ),
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
        ({"action": "subscribe", "quotes": ["aapl"]}, Code.SYNTAX),
        ({"action": "subscribe", "quotes": ["AAPL", "../account"]}, Code.SYNTAX),
        ({"action": "subscribe", "quotes": ["ААPL"]}, Code.SYNTAX),
        ({"action": "subscribe", "trades": ["AAPL", ""]}, Code.SYNTAX),
        ({"action": "subscribe", "trades": ["AAPL\n"]}, Code.SYNTAX),
        ({"action": "subscribe", "trades": [1]}, Code.SYNTAX),
        ({"action": "subscribe", "trades": ["BTC/USD"]}, Code.SYNTAX),
        ({"action": "subscribe", "bars": ["*"]}, Code.SYNTAX),
        ({"action": "subscribe", "option_quotes": ["*"]}, Code.SYNTAX),
        ({"action": "subscribe", "option_quotes": ["AAPL"]}, Code.SYNTAX),
        ({"action": "subscribe", "option_trades": ["AAPL260230C00190000"]}, Code.SYNTAX),
        ({"action": "subscribe", "quotes": ["AAPL261218C00190000"]}, Code.SYNTAX),
        ({"action": "subscribe", "option_bars": ["AAPL261218C00190000"]}, Code.NOT_AVAILABLE),
        ({"action": "subscribe", "dailyBars": ["AAPL"], "quotes": ["AAPL"]}, Code.NOT_AVAILABLE),
        ({"action": "unsubscribe", "statuses": ["*"]}, Code.NOT_AVAILABLE),
        ({"action": "unsubscribe", "bars": ["AAPL", "*"]}, Code.SYNTAX),
        ({"action": "subscribe", "orders": ["A"], "after": 1}, Code.SYNTAX),
        ({"action": "subscribe", "orders": ["A"], "after": ["A", 1]}, Code.SYNTAX),
        ({"action": "subscribe", "orders": ["*"], "after": {"*": 1}}, Code.SYNTAX),
        ({"action": "unsubscribe", "orders": ["A"], "after": {"A": 1}}, Code.SYNTAX),
        ({"action": "subscribe", "after": {"A": 1}}, Code.SYNTAX),
        ({"action": "subscribe", "orders": [f"a{n}" for n in range(2001)]}, Code.LIMIT),
    ],
)
def test_a_command_is_refused_with_its_code(body: dict[str, object], code: Code) -> None:
    with pytest.raises(Refusal) as refused:
        read_command(json.dumps(body))

    assert refused.value.code is code
    assert refused.value.as_json()["msg"] == WORDS[code]


@pytest.mark.parametrize(
    "number",
    ["-1", "-0", "1.0", "1e3", "1.5", "true", "null", '"1"', "[1]", "{}", "9223372036854775808"],
)
def test_h158_after_is_a_number_that_a_journal_can_have(number: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_command(f'{{"action":"subscribe","orders":["A"],"after":{{"A":{number}}}}}')

    assert refused.value.code is Code.SYNTAX


def test_a_fleet_may_take_up_again_in_one_message() -> None:
    numbers = {f"account_{number:04d}": 10_000 + number for number in range(1500)}

    text = json.dumps({"action": "subscribe", "orders": ["*"], "after": numbers})

    assert len(text) < 65_536
    assert read_command(text) == Subscribe(("*",), after=numbers)


def test_many_messages_are_few_frames_and_each_is_whole() -> None:
    numbers = {f"account_{number:04d}": number for number in range(1000)}

    frames = list(protocol.snapshots(numbers))

    told = [message for each in frames for message in json.loads(each.text)]
    assert {message["account_id"]: message["seq"] for message in told} == numbers
    assert len(frames) == 2
    assert [each.size for each in frames] == [len(each.text) for each in frames]


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


def test_a_subscription_lists_every_channel() -> None:
    items = [("quotes", "MSFT"), ("quotes", "AAPL"), ("option_quotes", "AAPL261218C00190000")]

    frame = protocol.subscription(["B", "A"], items)

    assert json.loads(frame.text) == [
        {
            "T": "subscription",
            "orders": ["A", "B"],
            "trades": [],
            "quotes": ["AAPL", "MSFT"],
            "bars": [],
            "option_trades": [],
            "option_quotes": ["AAPL261218C00190000"],
        }
    ]


def test_a_tick_has_alpacas_keys_and_ours() -> None:
    body = {"t": "2026-11-20T14:30:00.161331123Z", "bp": 187.2, "bs": 3, "ap": 187.21, "as": 1}

    text = protocol.tick(Tick("quotes", "iex", "AAPL", 1000.0, body), now=1000.0124)

    ours = {"symbol": "AAPL", "feed": "iex", "source": "stream", "age_ms": 12}
    assert json.loads(text) == {"T": "q", "S": "AAPL"} | body | ours


@pytest.mark.parametrize(
    ("channel", "word"),
    [("trades", "t"), ("bars", "b"), ("option_trades", "t"), ("option_quotes", "q")],
)
def test_the_type_of_a_tick_is_alpacas_and_clocks_that_differ_make_no_age(
    channel: str, word: str
) -> None:
    told = json.loads(protocol.tick(Tick(channel, "iex", "S", 1000.0, {}), now=999.0))

    assert (told["T"], told["age_ms"]) == (word, 0)
