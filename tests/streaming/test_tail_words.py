"""What `manage.py tail` reads of its command line, counts, and writes: without a socket."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from opitios.core.embedded.runfolder import env_text, write_private
from opitios.management.tail import lines, views, wishes
from opitios.management.tail.follower import Refused, _read
from opitios.management.tail.following import Following, Gap
from opitios.management.tail.source import BadSource, Source
from opitios.management.tail.wishes import BadWish, Wishes

NOW = datetime(2026, 11, 20, 14, 30, 0, 200_000, tzinfo=UTC)
OPTION = "AAPL261218C00190000"


def wish(**given: Any) -> Wishes:
    blank: dict[str, Any] = {"orders": "", "quotes": "", "trades": False, "after": ""}
    return wishes.read(**(blank | given))


def test_contracts_are_asked_for_on_their_own_channel() -> None:
    asked = wish(quotes=f"AAPL,{OPTION}, AAPL", trades=True, orders="a_1")

    assert asked.message({}) == {
        "action": "subscribe", "orders": ["a_1"], "quotes": ["AAPL"], "option_quotes": [OPTION],
        "trades": ["AAPL"], "option_trades": [OPTION],
    }  # fmt: skip


def test_it_asks_again_from_the_numbers_it_has_seen() -> None:
    asked = wish(orders="a_1", after="a_1=812")

    assert asked.after == {"a_1": 812}
    assert asked.message({"a_1": 815, "gone": 3})["after"] == {"a_1": 815}
    assert wish(orders="*").message({"a_1": 2, "a_2": 9})["after"] == {"a_1": 2, "a_2": 9}


@pytest.mark.parametrize(
    "given",
    [
        {}, {"trades": True, "orders": "a"}, {"orders": "a", "after": "a"},
        {"orders": "a", "after": "a=-1"}, {"orders": "a", "after": "b=1"},
        {"quotes": "AAPL", "after": "a=1"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_a_sentence(given: dict[str, Any]) -> None:
    with pytest.raises(BadWish, match="--"):
        wish(**given)


def order(seq: int, **more: Any) -> dict[str, Any]:
    return {"T": "order", "account_id": "a_1", "seq": seq, "event": "new"} | more


def test_a_gap_is_noticed_once_and_a_repetition_is_none() -> None:
    seen = Following()
    seen.hear({"T": "snapshot", "account_id": "a_1", "seq": 4})

    told = [seen.hear(order(seq)) for seq in (5, 6, 6, 9, 10)]

    assert told == [None, None, None, Gap("a_1", 7, 8), None]
    assert (seen.seen, seen.gaps, seen.updates) == ({"a_1": 10}, 1, 5)


def test_a_gap_that_the_gateway_tells_of_is_one_and_the_stream_goes_on_behind_it() -> None:
    seen = Following(seen={"a_1": 4})

    told = seen.hear({"T": "gap", "account_id": "a_1", "seq": 5, "reason": "lost"})

    assert told == Gap("a_1", 5, 5, "lost")
    assert seen.hear(order(6)) is None
    assert seen.gaps == 1


def test_a_snapshot_does_not_hide_what_is_replayed_before_it() -> None:
    seen = Following(seen={"a_1": 4})
    seen.hear({"T": "snapshot", "account_id": "a_1", "seq": 9})

    assert seen.hear(order(5)) is None
    assert seen.hear(order(7)) == Gap("a_1", 6, 6)


def test_a_delay_is_told_in_two_parts() -> None:
    message = order(1, at="2026-11-20T14:30:00.161331123Z", sent_at="2026-11-20T14:30:00.163020Z")

    assert str(lines.delay(message, NOW)) == "38.7 ms (1.7+37.0)"
    assert str(lines.delay(order(1), NOW)) == lines.NOTHING
    assert lines.instant("yesterday") is None


def test_a_line_tells_what_happened_and_no_text_steers_the_terminal() -> None:
    about = {
        "side": "buy", "qty": "10", "symbol": "AAPL\x1b[2J", "type": "limit", "status": "filled",
        "limit_price": "187.25", "filled_qty": "4", "filled_avg_price": "187.21",
    }  # fmt: skip

    text = "  ".join(cell for cell, _ in lines.update_cells(order(816, order=about), NOW))

    assert "\x1b" not in text
    assert "buy 10 AAPL\\x1b[2J limit 187.25" in text
    assert "4 of 10 at 187.21" in text
    assert "#816" in text


def test_json_is_the_message_as_it_came() -> None:
    out: list[str] = []
    message = order(1, note="x\x9b2J\n")

    views.JsonView(out.append, out.append).show(message, NOW)

    assert json.loads(out[0]) == message
    assert out[0].isascii()
    assert "\n" not in out[0]


@pytest.mark.parametrize("frame", ["<html>", "7", '["a"]', '[{"T":"order","seq":1}]'])
def test_what_is_no_stream_is_refused_and_not_followed(frame: str) -> None:
    with pytest.raises(Refused, match="does not speak"):
        _read(frame)


@pytest.mark.parametrize("words", [[], ["--orders", "a", "--after", "b=1"], ["--url", "http://h"]])
def test_what_cannot_be_read_ends_with_code_2(words: list[str]) -> None:
    with pytest.raises(CommandError) as told:
        call_command("tail", *words)

    assert told.value.returncode == 2


def run_folder(root: Path, **values: str) -> Path:
    (root / ".run").mkdir()
    write_private(root / ".run" / "opitios.env", env_text(values))
    return root


def test_the_runs_token_goes_to_the_runs_gateway_alone(tmp_path: Path) -> None:
    handed_out = {"WS_URL": "ws://127.0.0.1:8091/ws/v1/stream", "TOKEN_TRADER": "t.t.t"}
    root = run_folder(tmp_path, **handed_out)

    own, other = Source(root, {}), Source(root, {}, "wss://else.example/ws/v1/stream")

    assert (own.token(), own.is_in_clear) == ("t.t.t", False)
    with pytest.raises(BadSource, match="OPITIOS_TOKEN"):
        other.token()
    assert Source(root, {"OPITIOS_TOKEN": "o.o.o"}, other.given_url).token() == "o.o.o"
    assert Source(root, {}, "ws://else.example/ws/v1/stream").is_in_clear


@pytest.mark.parametrize(
    "url", ["http://h/", "ws://", "ws://h/s?token=abc", "ws://me:word@h/s", "nonsense"]
)
def test_an_address_that_is_none_or_carries_a_secret_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadSource) as told:
        _ = Source(tmp_path, {}, url).url

    assert "abc" not in str(told.value)
    assert "word@" not in str(told.value)
