"""A key in clear shows up in no text of any object, error or log."""

import logging
import pickle
import traceback

import pytest

from opitios.broker.alpaca.clients import clients_for
from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.transport import Transport
from opitios.broker.errors import BrokerError
from opitios.broker.guard import Guard
from opitios.broker.port import Credentials
from tests.broker.conftest import KEY_ID, SECRET, BrokerStarter, TradingAt
from tests.broker.loopback import Behaviour, answering, hanging, http, resetting


def _shows_a_key(text: str) -> bool:
    return SECRET in text or KEY_ID in text


def test_no_object_of_the_room_shows_a_key(
    broker_that: BrokerStarter, credentials: Credentials, transport: Transport, guard: Guard
) -> None:
    broker = broker_that(answering(http(200, {"id": "1"})))
    clients = clients_for(
        credentials=credentials,
        endpoint=sandbox_endpoint(broker.origin),
        transport=transport,
        guard=guard,
    )
    answer = clients.trading.account()

    things = [credentials, clients, clients.trading, clients.data, transport, guard, answer]
    things += [inner for thing in things[2:4] for inner in vars(thing).values()]
    things += [clients.trading._client._session, transport.connections(broker.origin)]
    assert not [type(thing) for thing in things if _shows_a_key(f"{thing!r} {thing!s}")]


def test_credentials_cannot_be_pickled(credentials: Credentials) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(credentials)


@pytest.mark.parametrize("behaviour", [hanging, resetting, answering(http(422, {"message": "no"}))])
def test_no_error_and_no_log_shows_a_key(
    broker_that: BrokerStarter,
    hasty_at: TradingAt,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour,
) -> None:
    broker = broker_that(behaviour)

    with caplog.at_level(logging.DEBUG), pytest.raises(BrokerError) as caught:
        hasty_at(broker.origin).submit_order({"qty": "1"})

    chain = "".join(traceback.format_exception(caught.value))
    assert not _shows_a_key(f"{caught.value!r} {caught.value} {vars(caught.value)} {chain}")
    assert not _shows_a_key(caplog.text)
