"""A client that was away says what it had, and gets every entry after it once, in order (G19)."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from threading import Thread
from typing import Any

import pytest

from accounts import journal
from opitios.core import clock, database
from streaming import replay
from tests.streaming import orders
from tests.streaming.conftest import Token
from tests.streaming.stream_process import PATIENCE, Client, StreamProcess, narrow
from tests.trading.outages import proxied_url

pytestmark = pytest.mark.django_db

Connect = Callable[..., Client]
Message = dict[str, Any]
ENTRIES = {"order", "account", "gap"}


def resumes(socket: Client, after: Mapping[str, int], *named: str) -> None:
    """Subscribe with `after`; nothing stands between the answer and the first entry."""
    answer = socket.asks(action="subscribe", orders=list(named or after), after=dict(after))
    assert answer[0]["T"] == "subscription", answer


def updates(
    socket: Client, count: int, *, at_least: bool = False, seconds: float = PATIENCE
) -> list[Message]:
    """The next so many entries, of whatever kind, without the time they left.

    `at_least`: and what came in the same frame. Raises TimeoutError where none comes in time.
    """
    found: list[Message] = []
    deadline = clock.monotonic() + seconds
    while len(found) < count:
        told = [each for each in socket.hears(seconds=seconds) if each["T"] in ENTRIES]
        found += [{key: each[key] for key in each if key != "sent_at"} for each in told]
        if told:
            deadline = clock.monotonic() + seconds
        elif clock.monotonic() > deadline:
            raise TimeoutError(f"{len(found)} of {count} entries")
    assert len(found) == count or at_least
    return found


def told_by_the_journal(account_id: str, *, after: int = 0) -> list[Message]:
    """What a replay has to show: one message an entry, as many as `GET …/journal` lists."""
    found: list[Message] = []
    while page := replay.messages_after({account_id: after + len(found)}):
        found += [dict(each) for each in page]
    listed = journal.entries(account_id, after=after, kind=None, limit=1_000_000)
    database.release()
    assert [each["seq"] for each in found] == [entry.seq for entry in listed]
    kinds = [entry.kind.removeprefix("order.").removeprefix("account.") for entry in listed]
    assert [each["event"] for each in found] == kinds
    return found


def test_what_was_missed_is_replayed_and_then_the_stream_is_live(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    orders.whole_life(mine)
    orders.note(mine)
    orders.whole_life(mine)
    socket = client(token(mine))

    resumes(socket, {mine: 2})
    replayed = updates(socket, 7)
    orders.whole_life(mine)
    live = updates(socket, 4)

    assert [each["seq"] for each in replayed + live] == list(range(3, 14))
    assert replayed + live == told_by_the_journal(mine, after=2)


def test_live_and_replayed_are_the_same_bytes_but_for_when_they_left(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    live, late = client(token(mine)), client(token(mine))
    live.follows(mine)
    orders.whole_life(mine)
    orders.note(mine)

    heard = list(_texts(live, 5))
    resumes(late, {mine: 0})
    again = list(_texts(late, 5))

    assert heard == again


def _texts(socket: Client, count: int) -> Iterator[str]:
    while count > 0:
        frame = socket.socket.recv(timeout=60)
        for message in json.loads(frame):
            if message["T"] in {"order", "account"}:
                sent_at = message["sent_at"]
                assert list(message)[-1] == "sent_at"
                text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
                assert text in str(frame)
                count -= 1
                yield text.replace(sent_at, "")


def test_who_missed_nothing_is_live_at_once(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, still = account(), account()
    orders.whole_life(mine)
    socket = client(token(mine, still))

    resumes(socket, {mine: 4, still: 0})
    orders.place(mine)
    orders.place(still)

    # In order within an account: of two, a push that was late lets the other go first.
    heard = {(each["account_id"], each["seq"]) for each in updates(socket, 2)}
    assert heard == {(mine, 5), (still, 1)}


def test_only_accounts_without_after_begin_with_a_snapshot(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    old, new = account(), account()
    orders.whole_life(old)
    orders.whole_life(new)
    socket = client(token(old, new))

    resumes(socket, {old: 3}, "*")

    assert socket.hears_next("snapshot") == {"T": "snapshot", "account_id": new, "seq": 4}
    assert [(each["account_id"], each["seq"]) for each in updates(socket, 1)] == [(old, 4)]


def test_no_gap_and_no_double_at_the_seam_while_entries_keep_coming(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    orders.notes(mine, 300)
    sockets = [client(token(mine, sub=f"bot-{number}")) for number in range(4)]

    def trade() -> None:
        for _ in range(15):
            orders.whole_life(mine)
        database.release()

    trading = Thread(target=trade)
    trading.start()
    for number, socket in enumerate(sockets):
        resumes(socket, {mine: number * 80})
    trading.join()

    there = told_by_the_journal(mine)
    assert len(there) == 360
    for number, socket in enumerate(sockets):
        assert updates(socket, 360 - number * 80) == there[number * 80 :]


def test_a_long_replay_is_read_as_fast_as_its_client_reads_and_nobody_else_waits(
    stream: StreamProcess, client: Connect, account: Callable[[], str], token: Token
) -> None:
    """Of 10 MB a slow client's queue and the kernel hold but a part: it is not closed 4008."""
    mine, other = account(), account()
    orders.notes(mine, 1200, reason="x" * 8000)
    good = client(token(other))
    good.follows(other)
    with narrow(stream.port) as sock, stream.client(token=token(mine), sock=sock) as late:
        late.hears()
        late.hears()

        # It does not read yet.
        resumes(late, {mine: 0})
        orders.place(other)

        assert updates(good, 1)[0]["account_id"] == other
        orders.place(mine)
        heard = updates(late, 1201)
    assert [each["seq"] for each in heard] == list(range(1, 1202))


def test_a_replay_goes_on_when_postgres_is_there_again(
    own_stream: Callable[..., StreamProcess], account: Callable[[], str], token: Token
) -> None:
    mine = account()
    orders.notes(mine, 1200, reason="x" * 8000)
    with proxied_url(os.environ["DATABASE_URL"]) as (proxy, url):
        process = own_stream(DATABASE_URL=url)
        with narrow(process.port) as sock, process.client(token=token(mine), sock=sock) as late:
            late.hears()
            late.hears()
            resumes(late, {mine: 0})
            first = updates(late, 1, at_least=True)

            proxy.vanish()
            # More than was under way: the journal was away when it was asked for more.
            heard = first + _until_nothing_comes(late)
            assert len(heard) < 1200
            proxy.come_back()

            heard += updates(late, 1200 - len(heard))
        assert [each["seq"] for each in heard] == list(range(1, 1201))


def _until_nothing_comes(socket: Client) -> list[Message]:
    found: list[Message] = []
    while True:
        try:
            found += updates(socket, 1, at_least=True, seconds=1)
        except TimeoutError:
            return found


def test_an_account_that_is_followed_begins_anew_where_its_client_says(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    socket = client(token(mine))
    socket.follows(mine)
    orders.whole_life(mine)
    assert [each["seq"] for each in updates(socket, 4)] == [1, 2, 3, 4]

    resumes(socket, {mine: 1})
    orders.place(mine)

    assert [each["seq"] for each in updates(socket, 4)] == [2, 3, 4, 5]


def test_who_leaves_in_mid_replay_hears_no_more_of_it(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine, other = account(), account()
    orders.notes(mine, 2000)
    socket = client(token(mine, other))
    resumes(socket, {mine: 0, other: 0})

    socket.says(action="unsubscribe", orders=[mine])

    while socket.hears_next("subscription")["orders"] != [other]:
        pass
    orders.place(mine)
    orders.place(other)
    assert updates(socket, 1)[0]["account_id"] == other


@pytest.mark.parametrize("number", [5, 10**12, 10**17])
def test_h158_a_number_beyond_the_journal_is_refused_and_changes_nothing(
    client: Connect, account: Callable[[], str], token: Token, number: int
) -> None:
    mine, also_mine = account(), account()
    orders.whole_life(mine)
    socket = client(token(mine, also_mine))

    refused = socket.refused(
        action="subscribe", orders=[also_mine, mine], after={also_mine: 0, mine: number}
    )

    assert refused == 400
    assert socket.asks(action="list")[0]["orders"] == []


def test_h158_after_of_another_account_is_an_account_that_is_not_there(
    client: Connect, account: Callable[..., str], token: Token
) -> None:
    mine, also_mine, foreign, gone = account(), account(), account(), account(enabled=False)
    socket = client(token(mine, also_mine, gone))
    fleet = client(token(everything=True))

    for name in (foreign, "nobody", "_system"):
        assert socket.refused(action="subscribe", orders=[mine], after={name: 0}) == 4404
        assert socket.refused(action="subscribe", orders=["*"], after={name: 0}) == 4404
    assert socket.refused(action="subscribe", orders=["*"], after={gone: 0}) == 4404
    assert fleet.refused(action="subscribe", orders=["*"], after={gone: 0}) == 4404
    assert fleet.refused(action="subscribe", orders=["*"], after={"nobody": 0}) == 4404
    # It is the client's, and not subscribed in the same message.
    assert socket.refused(action="subscribe", orders=[mine], after={also_mine: 0}) == 400
    for each in (socket, fleet):
        assert each.asks(action="list")[0]["orders"] == []


def test_replay_needs_the_permission_to_read_the_account(
    client: Connect, account: Callable[[], str], token: Token
) -> None:
    mine = account()
    socket = client(token(mine, permissions=("trade",)))

    assert socket.refused(action="subscribe", orders=[mine], after={mine: 9}) == 4403


def test_who_was_away_too_long_is_told_to_take_a_snapshot(
    own_stream: Callable[..., StreamProcess],
    client: Connect,
    account: Callable[[], str],
    token: Token,
) -> None:
    mine = account()
    process = own_stream(OPITIOS_STREAM_REPLAY="3")
    orders.whole_life(mine)
    socket = client(token(mine), to=process)

    answer = socket.asks(action="subscribe", orders=[mine], after={mine: 0})[0]

    assert (answer["code"], answer["msg"]) == (4410, "after is too old")
    assert "at most 3 entries" in answer["detail"]
    assert socket.asks(action="list")[0]["orders"] == []
    assert socket.follows(mine) == {mine: 4}
    resumes(socket, {mine: 1})
    assert [each["seq"] for each in updates(socket, 3)] == [2, 3, 4]


def test_without_redis_a_replay_ends_live_all_the_same(
    own_stream: Callable[..., StreamProcess], account: Callable[[], str], token: Token
) -> None:
    """C18."""
    mine = account()
    orders.whole_life(mine)
    process = own_stream(REDIS_URL="redis://127.0.0.1:1/0")
    with process.client(token=token(mine)) as socket:
        socket.hears()
        socket.hears()
        resumes(socket, {mine: 1})
        orders.whole_life(mine)

        assert [each["seq"] for each in updates(socket, 7)] == list(range(2, 9))
