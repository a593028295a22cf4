"""A process that follows an issuer's published keys: in, on while the issuer is away, and out."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.accounts.issuer import claims, pair, pair_token
from tests.accounts.jwks_server import JwksServer, jwk
from tests.streaming.stream_process import StreamProcess
from tests.support.until import until

pytestmark = pytest.mark.django_db

ES, ED = jwk("ES256", pair("ES256")[0]), jwk("EdDSA", pair("EdDSA")[0])


@pytest.fixture
def issuer() -> Iterator[JwksServer]:
    """An issuer that publishes two keys."""
    with JwksServer() as server:
        server.publish(ES, ED)
        yield server


def test_sockets_come_in_by_published_keys_and_go_with_them(
    own_stream: Callable[..., StreamProcess], issuer: JwksServer
) -> None:
    process = own_stream(
        OPITIOS_JWT_KEYS="[]",
        JWT_JWKS_URL=issuer.url,
        JWT_CLAIMS='{"sub":"user_id"}',
        OPITIOS_TIMERS__JWKS_REFRESH="0.2",
        OPITIOS_TIMERS__JWKS_COOLDOWN="0.1",
    )
    until(lambda: _read_by(process))
    es, ed = (pair_token(alg, claims(sub=None, user_id=alg)) for alg in ("ES256", "EdDSA"))
    with process.client() as one, process.client() as other:
        for socket, token in ((one, es), (other, ed)):
            socket.hears()
            until(lambda: socket.asks(action="auth", token=token)[0]["T"] == "success")  # noqa: B023

        # The issuer is away: known keys go on, for those inside and for new ones.
        issuer.status = 503
        asked = issuer.asked
        until(lambda: issuer.asked > asked + 1)
        with process.client(token=es) as late:
            late.hears()
            assert late.hears()[0]["T"] == "success"
        assert one.asks(action="ping")[0]["msg"] == "pong"

        issuer.publish(ED)
        assert one.last_words()[-1]["code"] == 402
        assert one.end() == 4401
        assert other.asks(action="ping")[0]["msg"] == "pong"
    assert [line["kids"] for line in _read_by(process)] == [["ES256", "EdDSA"], ["EdDSA"]]


def _read_by(process: StreamProcess) -> list[dict[str, Any]]:
    """What a process told of the sets that it read."""
    return [line for line in process.log() if line["event"] == "the issuer's keys were read"]
