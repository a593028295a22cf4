"""Ticks travel as one message of the bus and arrive as they left."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from marketdata.ticks import CHANNELS, Tick, gone, packed, unpacked

TICKS = st.builds(
    Tick,
    channel=st.sampled_from(CHANNELS),
    feed=st.sampled_from(["iex", "sip", "indicative"]),
    symbol=st.from_regex(r"[A-Z]{1,6}", fullmatch=True),
    at=st.floats(1.6e9, 2e9),
    body=st.dictionaries(
        st.sampled_from(["t", "bp", "as", "c"]),
        st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.text()),
    ),
)


@given(st.lists(TICKS))
def test_ticks_arrive_as_they_left_and_in_their_order(ticks: list[Tick]) -> None:
    assert unpacked(orjson.loads(orjson.dumps(packed(ticks)))) == ticks


def test_what_is_gone_travels_along() -> None:
    told = orjson.loads(orjson.dumps(packed([], gone=[("quotes", "AAPL")])))

    assert gone(told) == [("quotes", "AAPL")]
    assert unpacked(told) == []
    assert gone(packed([])) == []
