"""One call to the broker for the last answers of many symbols, and what it told, checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from marketdata.kinds import Kind
from marketdata.refusals import no_answer
from marketdata.routing import Router
from opitios.broker.errors import Refused
from opitios.broker.port import Answer, DataPort

# Symbols in one call: their names make its URL.
MOST_A_CALL = 400


def call(router: Router, kind: Kind, symbols: Sequence[str], feed: str) -> dict[str, bytes]:
    """Ask for symbols, MOST_A_CALL at most: of each that there is, a JSON object in Alpaca's keys.

    One that the broker calls invalid is unknown, the others are not. Raises as Router.ask does.
    """
    left = list(symbols)
    while left:
        try:
            return router.ask(lambda account: _read(account.data, kind, left, feed))
        except Refused as error:
            bad = next((each for each in left if _is_blamed(each, error)), None)
            if bad is None:
                raise
            left.remove(bad)
    return {}


def _read(port: DataPort, kind: Kind, symbols: Sequence[str], feed: str) -> dict[str, bytes]:
    """Ask one account. Raises BrokerError, also where its answer is none of this kind."""
    answer = kind.read(port, symbols, feed)
    try:
        return {
            symbol: msgspec.json.encode(msgspec.convert(told, kind.shape))
            for symbol, told in _told(answer, kind).items()
            if symbol in symbols
        }
    except msgspec.ValidationError as error:
        raise no_answer(answer, error) from error


def _told(answer: Answer, kind: Kind) -> Mapping[str, Any]:
    body = answer.body if kind.wrapper is None else answer.body.get(kind.wrapper)
    return {} if body is None else msgspec.convert(body, dict[str, Any])


def _is_blamed(symbol: str, error: Refused) -> bool:
    return error.message.endswith(f"invalid symbol: {symbol}")
