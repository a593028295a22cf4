"""The grammar of `/ws/v1/stream` (api.md §6): what clients may write, and every frame we write.

Pure: text in, commands out; messages in, frames out. Every frame is one JSON array in text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from marketdata import symbols
from marketdata.ticks import OPTION_CHANNELS, STOCK_CHANNELS, Item, Tick
from opitios.core import jsontext
from opitios.core.errors import Problem
from streaming.frames import Frame

Message = Mapping[str, Any]

# All accounts of the token.
EVERYTHING = "*"

# A fleet twice the size that design.md is made for.
MAX_ACCOUNTS = 2000

# design.md §7, R22: each counts once, on however many channels it is followed.
MAX_SYMBOLS = 100

# Channels of market data, and what a symbol of each looks like.
MARKET_CHANNELS: Mapping[str, symbols.Check] = {
    **dict.fromkeys(STOCK_CHANNELS.values(), symbols.stock_symbol),
    **dict.fromkeys(OPTION_CHANNELS.values(), symbols.option_symbol),
}
# What else Alpaca's data sockets carry (alpaca-wire.md §3b), or do not for options (§3c).
NOT_CARRIED = frozenset(
    {
        *("updatedBars", "dailyBars", "statuses", "lulds", "imbalances", "corrections"),
        *("cancelErrors", "option_bars"),
    }
)
# Alpaca's `T` of each.
_TYPES = {
    channel: word
    for channels in (STOCK_CHANNELS, OPTION_CHANNELS)
    for word, channel in channels.items()
}

# A frame of many messages ends with the one that makes it so long, in bytes: clients often take no
# more than 1 MiB, and a page of replay must fit well into what may wait for a socket.
LONG_FRAME = 32_768


class Code(IntEnum):
    """Error codes: Alpaca's up to 500, ours from 4403 on."""

    SYNTAX = 400
    NOT_AUTHENTICATED = 401
    AUTH_FAILED = 402
    ALREADY_AUTHENTICATED = 403
    AUTH_TIMEOUT = 404
    LIMIT = 405
    TOO_MANY_SOCKETS = 406
    NOT_AVAILABLE = 410
    INTERNAL = 500
    FORBIDDEN = 4403
    NO_SUCH_ACCOUNT = 4404
    TOO_OLD = 4410
    TOO_MANY = 4429


class Gap(StrEnum):
    """Why a `gap` stands where an update should: nothing that we can do brings it.

    LOST: the journal does not hold this number, although it holds later ones.
    UNREADABLE: the entry is there and cannot be told; REST shows the order as it is now.
    REWOUND: the journal ends before what was shown (a database was restored from an older copy).
    `seq` is its end: forget what you heard beyond, the next update is `seq` + 1 anew.
    """

    LOST = "lost"
    UNREADABLE = "unreadable"
    REWOUND = "rewound"


# Alpaca's words are kept verbatim: clients compare them.
WORDS: Mapping[Code, str] = {
    Code.SYNTAX: "invalid syntax",
    Code.NOT_AUTHENTICATED: "not authenticated",
    Code.AUTH_FAILED: "auth failed",
    Code.ALREADY_AUTHENTICATED: "already authenticated",
    Code.AUTH_TIMEOUT: "auth timeout",
    Code.LIMIT: "symbol limit exceeded",
    Code.TOO_MANY_SOCKETS: "connection limit exceeded",
    Code.NOT_AVAILABLE: "invalid subscribe action for this feed",
    Code.INTERNAL: "internal error",
    Code.FORBIDDEN: "permission missing",
    Code.NO_SUCH_ACCOUNT: "no such account",
    Code.TOO_OLD: "after is too old",
    Code.TOO_MANY: "too many frames",
}


class Refusal(Exception):
    """A client's message is not followed, and why. `detail` never repeats what the client wrote.

    account_id: the one that was asked for and is not the client's, for our books alone.
    """

    def __init__(
        self, code: Code, detail: str | None = None, *, account_id: str | None = None
    ) -> None:
        super().__init__(WORDS[code])
        self.code, self.detail, self.account_id = code, detail, account_id

    def as_json(self) -> dict[str, Any]:
        """The `error` message."""
        told = {"T": "error", "code": int(self.code), "msg": WORDS[self.code]}
        return told if self.detail is None else {**told, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Auth:
    """Sign in, or renew in place."""

    token: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Follow the orders of these accounts, or of EVERYTHING, and these symbols.

    `after`: the last number that the client has of an account. Every later entry is replayed, then
    the stream is live. An account without one begins with a snapshot. An account that is followed
    already begins anew after the number; without one it goes on as it was.
    """

    orders: tuple[str, ...]
    market: frozenset[Item] = frozenset()
    after: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Follow these accounts and symbols no more."""

    orders: tuple[str, ...]
    market: frozenset[Item] = frozenset()


@dataclass(frozen=True, slots=True)
class ListAll:
    """Say what is subscribed."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Say that you are there."""


# What only a signed-in client may ask.
Command = Subscribe | Unsubscribe | ListAll | Ping


def read_command(text: str) -> Auth | Command:
    """Read one text frame of a client. Raises Refusal."""
    try:
        body = jsontext.read_object(text.encode(), max_keys=MAX_ACCOUNTS)
    except jsontext.Unreadable as error:
        raise Refusal(Code.SYNTAX, f"{error}") from error
    action = body.pop("action", None)
    read = _ACTIONS.get(action) if isinstance(action, str) else None
    if read is None:
        raise Refusal(Code.SYNTAX, f"action is one of {', '.join(_ACTIONS)}")
    # An explicit null means absent (api.md §1).
    return read({name: value for name, value in body.items() if value is not None})


def _auth(body: Mapping[str, Any]) -> Auth:
    _only(body, ("token",))
    if not _is_text(body.get("token")):
        raise Refusal(Code.SYNTAX, "auth needs a token")
    return Auth(body["token"])


def _subscribe(body: dict[str, Any]) -> Subscribe:
    _refuse_not_carried(body)
    _only(body, ("orders", "after", *MARKET_CHANNELS))
    after = _after(body.pop("after", {}))
    return Subscribe(*_channels(body), after)


# A journal's number is a bigint.
_JOURNAL_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


def _after(value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or not all(map(_is_journal_number, value.values())):
        raise Refusal(Code.SYNTAX, "after gives an account the last number you have: 0, 1, 2 …")
    if EVERYTHING in value:
        raise Refusal(Code.SYNTAX, "after names each account by itself")
    return {name: int(number) for name, number in value.items()}


def _is_journal_number(value: Any) -> bool:
    return isinstance(value, jsontext.Number) and _JOURNAL_NUMBER.fullmatch(value) is not None


def _unsubscribe(body: Mapping[str, Any]) -> Unsubscribe:
    _refuse_not_carried(body)
    _only(body, ("orders", *MARKET_CHANNELS))
    return Unsubscribe(*_channels(body))


def _list(body: Mapping[str, Any]) -> ListAll:
    _only(body, ())
    return ListAll()


def _ping(body: Mapping[str, Any]) -> Ping:
    _only(body, ())
    return Ping()


def _channels(body: Mapping[str, Any]) -> tuple[tuple[str, ...], frozenset[Item]]:
    if not body:
        raise Refusal(Code.SYNTAX, "name at least one channel")
    lists = {name: _items(value) for name, value in body.items()}
    orders = lists.pop("orders", ())
    if len(orders) > MAX_ACCOUNTS:
        raise Refusal(Code.LIMIT, f"at most {MAX_ACCOUNTS} accounts in one message")
    if EVERYTHING in orders and len(orders) > 1:
        raise Refusal(Code.SYNTAX, f"{EVERYTHING} stands alone")
    return orders, frozenset(_item(name, each) for name in lists for each in lists[name])


def _item(channel: str, symbol: str) -> Item:
    """Read one symbol. No plan of a data account holds every symbol: EVERYTHING is none."""
    try:
        return channel, MARKET_CHANNELS[channel](symbol)
    except Problem as problem:
        raise Refusal(Code.SYNTAX, f"{channel}: {problem.errors[0].message}") from problem


def _refuse_not_carried(body: Mapping[str, Any]) -> None:
    if not body.keys().isdisjoint(NOT_CARRIED):
        raise Refusal(Code.NOT_AVAILABLE, f"market data is {', '.join(MARKET_CHANNELS)}")


def _items(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(map(_is_text, value)):
        raise Refusal(Code.SYNTAX, "a channel is a list of strings")
    # Twice is once; the order stays.
    return tuple(dict.fromkeys(value))


def _only(body: Mapping[str, Any], allowed: Iterable[str]) -> None:
    if not body.keys() <= set(allowed):
        raise Refusal(Code.SYNTAX, f"only these keys stand here: {', '.join(('action', *allowed))}")


def _is_text(value: Any) -> bool:
    # A Number is text of ours, not of the client.
    return isinstance(value, str) and not isinstance(value, jsontext.Number)


_ACTIONS: Mapping[str, Callable[[dict[str, Any]], Auth | Command]] = {
    "auth": _auth,
    "subscribe": _subscribe,
    "unsubscribe": _unsubscribe,
    "list": _list,
    "ping": _ping,
}


def frame(messages: Iterable[Message]) -> Frame:
    """Encode messages as one frame."""
    raw = jsontext.dumps(list(messages))
    return Frame(raw.decode(), len(raw))


def success(word: str) -> Frame:
    """Encode `connected`, `authenticated` or `pong`."""
    return frame([{"T": "success", "msg": word}])


def subscription(orders: Iterable[str], market: Iterable[Item]) -> Frame:
    """Encode everything a socket follows: complete lists, after each change and on `list`."""
    lists: dict[str, list[str]] = {name: [] for name in MARKET_CHANNELS}
    for channel, symbol in sorted(market):
        lists[channel].append(symbol)
    return frame([{"T": "subscription", "orders": sorted(orders), **lists}])


def snapshots(numbers: Mapping[str, int]) -> Iterator[Frame]:
    """Encode from which journal number each account's stream goes on: `seq` + 1 comes next.

    A fleet's are few frames. The orders themselves are read by REST: the list's `as_of_seq` says
    which updates it holds already.
    """
    return _packed(
        {"T": "snapshot", "account_id": name, "seq": seq} for name, seq in numbers.items()
    )


def expiring(seconds: int) -> Frame:
    """Encode the notice that the token ends soon."""
    return frame([{"T": "token", "expires_in": seconds}])


def heartbeat(at: str, accounts: Mapping[str, int]) -> Frame:
    """Encode a beat with the accounts that moved since the last one."""
    return frame([{"T": "heartbeat", "at": at, "accounts": accounts}])


def gap(account_id: str, seq: int, reason: Gap) -> Message:
    """Write that the update of this number cannot be shown, in its place in line (G19)."""
    return {"T": "gap", "account_id": account_id, "seq": seq, "reason": reason.value}


def stamped(message: Message, sent_at: str) -> Message:
    """Stamp a message as it leaves (RFC 3339): all that an entry live and replayed differ in."""
    return {**message, "sent_at": sent_at}


def update(message: Message, *, sent_at: str) -> Frame:
    """Encode one journal entry's message, once for all its receivers."""
    return frame([stamped(message, sent_at)])


def updates(messages: Iterable[Message]) -> Iterator[Frame]:
    """Encode stamped messages of a replay, many in a frame; each is taken when its frame is."""
    return _packed(messages)


def _packed(messages: Iterable[Message]) -> Iterator[Frame]:
    """Encode messages, each once, as frames of up to LONG_FRAME bytes and a message."""
    written: list[bytes] = []
    size = 0
    for message in messages:
        written.append(jsontext.dumps(message))
        size += len(written[-1]) + 1
        if size >= LONG_FRAME:
            yield _joined(written)
            written, size = [], 0
    if written:
        yield _joined(written)


def _joined(written: list[bytes]) -> Frame:
    raw = b"[" + b",".join(written) + b"]"
    return Frame(raw.decode(), len(raw))


def tick(told: Tick, *, now: float) -> str:
    """Encode one tick as a message, once for everybody who follows it (api.md §6).

    Alpaca's `T`, `S` and short keys, then ours as in REST. `age_ms` is the tick's age as it is
    encoded: milliseconds from its receipt to `now`, both in epoch seconds.
    """
    message = {"T": _TYPES[told.channel], "S": told.symbol, "symbol": told.symbol} | told.body
    # Ours last: what the broker says stands in its way nowhere.
    message |= {"symbol": told.symbol, "feed": told.feed, "source": "stream"}
    message["age_ms"] = max(0, round((now - told.at) * 1000))
    return jsontext.dumps(message).decode()


def dropped(channel: str, count: int) -> str:
    """Encode how many messages of a channel a slow client was spared, as a message."""
    return jsontext.dumps({"T": "dropped", "channel": channel, "count": count}).decode()


def joined(messages: Iterable[str]) -> Frame:
    """Put encoded messages into one frame."""
    text = f"[{','.join(messages)}]"
    return Frame(text, len(text.encode()))


def status(
    channel: str, *, feed: str | None, state: str, since: str, missing: Sequence[str]
) -> Frame:
    """Encode how a channel's feed is, and since when (RFC 3339).

    Of the channel `orders`, which has no feed: `degraded` while Redis is away, when each update
    comes from the journal within a second instead of being pushed; `live` again afterwards.
    missing: the receiver's symbols that have no prices, because the broker knows no such symbol or
    no data account has room for it.
    """
    told = {"T": "status", "channel": channel, "feed": feed, "state": state, "since": since}
    return frame([told | {"missing": list(missing)}])
