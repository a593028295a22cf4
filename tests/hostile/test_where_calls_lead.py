"""A call to a broker leads to that broker and nowhere else (H177, H178)."""

from itertools import product
from pathlib import Path

import pytest

from accounts.roster.reading import is_loopback
from opitios.broker.alpaca.endpoints import sandbox_endpoint
from opitios.broker.alpaca.trading import AlpacaTrading
from opitios.broker.alpaca.transport import Transport
from opitios.broker.errors import BrokerError
from opitios.broker.guard import Bulkhead, Guard
from opitios.broker.port import Credentials
from tests.accounts.refusals import refused
from tests.accounts.rosters import entry, roster, write
from tests.broker.conftest import BrokerStarter
from tests.broker.loopback import answering, http
from tests.broker.test_misbehaving_brokers import ORDER
from tests.hostile.corpus import MANY, in_every_case

pytestmark = pytest.mark.django_db

ELSEWHERE = [
    "http://169.254.169.254", "http://169.254.169.254/latest/meta-data/", "http://[::]:8092",
    "http://0.0.0.0:8092", "http://0:8092", "http://2130706433:8092", "http://0x7f000001",
    "http://0x7f.1", "http://0177.0.0.1", "http://127.1", "http://127.0.0.1.nip.io",
    "http://localhost.example", "http://localtest.me", "http://127.0.0.1@evil.example",
    "http://evil.example#127.0.0.1", "http://evil.example?127.0.0.1", "http://user:pw@127.0.0.1:8092",
    "http://127.0.0.1:8092@evil.example", "http://127.0.0.1:8092/../x", "http://127.0.0.1:8092?x=1",
    "http://127.0.0.1\\@evil.example", "http://127.0.0.1%2eevil.example", "http://127。0。0。1",
    "http://１２７.0.0.1", "http://[::ffff:169.254.169.254]", "http://[fe80::1%25lo]",
    "http://10.0.0.1", "http://192.168.0.1", "http://metadata.google.internal", "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_", "ftp://127.0.0.1", "unix:/tmp/x", "https://127.0.0.1:8092",
    "//127.0.0.1", "127.0.0.1:8092", "http://", "http:///x", "http://127.0.0.1:99999",
    "http://127.0.0.1:x", "http://LOCALHOST.evil", "javascript:alert(1)", "http://127.0.0.1:8092 ",
    "http://127.0.0.1:8092\thttp://evil.example", "http://[::1", "dict://127.0.0.1:11211/",
]  # fmt: skip


def test_h177_a_broker_s_url_that_leads_elsewhere(tmp_path: Path) -> None:
    """Paper and live have their hosts in the code; a sandbox is an origin on this machine."""
    brokers = ["http://127.0.0.1:8092", "https://paper-api.alpaca.markets", *ELSEWHERE[:3]]
    cases = [*product(["sandbox"], ELSEWHERE), *product(["paper", "live"], brokers)]

    def check(case: tuple[str, str]) -> None:
        environment, url = case
        quoted = '"' + url.replace("\\", "\\\\").replace("\t", "\\t") + '"'
        keys = None if environment == "sandbox" else '{api_key: "env:USER", secret_key: "env:HOME"}'
        changed = {"environment": environment, "url": quoted}
        changed |= {} if keys is None else {"alpaca_credentials": keys}
        path = write(tmp_path, roster(entry("h177", **changed)))
        _, said = refused(path)
        assert "url" in said or "OPITIOS_ALLOW_LIVE" in said

    in_every_case(cases, check)
    assert [url for url in ELSEWHERE if is_loopback(url)] == []
    good = (
        "http://127.0.0.1:8092",
        "http://localhost:8092",
        "http://[::1]:8092",
        "http://127.0.0.1",
    )
    assert all(map(is_loopback, good))


def test_h178_a_redirect_is_not_followed_and_a_name_is_not_resolved(
    broker_that: BrokerStarter, credentials: Credentials, transport: Transport
) -> None:
    """The keys go to the host of the account alone."""
    trap = broker_that(answering(http(200, {"id": "stolen"})))
    places = [trap.origin + "/v2/orders", f"//127.0.0.1:{trap.port}/", "/v2/elsewhere",
              "http://169.254.169.254/", "file:///etc/passwd"]  # fmt: skip
    cases = [*product((301, 302, 303, 307, 308), places)]
    assert len(cases) >= MANY

    def check(case: tuple[int, str]) -> None:
        status, place = case
        broker = broker_that(answering(http(status, b"", Location=place)))
        trading = AlpacaTrading(
            credentials=credentials,
            endpoint=sandbox_endpoint(broker.origin),
            transport=transport,
            guard=Guard(process=Bulkhead(2000)),
        )
        with pytest.raises(BrokerError):
            trading.submit_order(ORDER)
        with pytest.raises(BrokerError):
            trading.account()
        assert [each.target for each in broker.requests] == ["/v2/orders", "/v2/account"]

    in_every_case(cases, check)
    assert trap.requests == []
    names = ("1u.ms", "rbndr.us", "nip.io", "xip.io", "sslip.io", "localtest.me", "lvh.me")
    firsts = ("127.0.0.1.", "7f000001.c0a80001.", "make-127.0.0.1-rebind-1.")
    rebinding = [f"http://{first}{name}:8092" for first, name in product(firsts, names)]
    assert [url for url in rebinding if is_loopback(url)] == []
