"""A client's address is the peer's; a header counts only where a trusted proxy wrote it."""

import pytest

from opitios.core import client_address
from opitios.core.client_address import read_networks

PROXY = "10.0.0.5"


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two proxies of the operator's, and one that speaks IPv6."""
    trusted = read_networks(["10.0.0.0/28", "127.0.0.1", "2001:db8::1"])
    monkeypatch.setattr(client_address, "_trusted", lambda: trusted)


@pytest.mark.parametrize("said", [None, "", "1.2.3.4", "1.2.3.4, 10.0.0.5", "evil"])
def test_without_trusted_proxies_a_header_says_nothing(said: str | None) -> None:
    assert client_address.client_address("203.0.113.9", said) == "203.0.113.9"
    assert client_address.client_address("127.0.0.1", said) == "127.0.0.1"


@pytest.mark.usefixtures("proxies")
@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        (PROXY, "203.0.113.9", "203.0.113.9"),
        # What the client wrote itself stands further left.
        (PROXY, "8.8.8.8, 203.0.113.9", "203.0.113.9"),
        (PROXY, "8.8.8.8,203.0.113.9,10.0.0.6 , 127.0.0.1", "203.0.113.9"),
        # Nobody but proxies: the first of them.
        (PROXY, "10.0.0.7, 10.0.0.6", "10.0.0.7"),
        # An entry that is no address: who wrote it is the last that is known.
        (PROXY, "203.0.113.9, unknown, 10.0.0.6", "10.0.0.6"),
        (PROXY, "203.0.113.9:4711", PROXY),
        (PROXY, "", PROXY),
        (PROXY, None, PROXY),
        (PROXY, ",".join(["8.8.8.8"] + ["10.0.0.6"] * 50), "10.0.0.6"),
        ("2001:db8::1", "2001:DB8:0::9", "2001:db8::9"),
        ("::ffff:10.0.0.5", "::ffff:203.0.113.9", "203.0.113.9"),
        # A stranger's header, whatever it claims.
        ("203.0.113.9", "10.0.0.6", "203.0.113.9"),
        ("10.0.0.16", "8.8.8.8", "10.0.0.16"),
    ],
)
def test_the_last_untrusted_entry_of_a_trusted_proxy_counts(
    peer: str, said: str | None, client: str
) -> None:
    assert client_address.client_address(peer, said) == client


@pytest.mark.parametrize("peer", [None, "", "unix:", "localhost", "999.1.1.1"])
def test_a_peer_without_an_address_is_nobody(peer: str | None) -> None:
    assert client_address.client_address(peer, "1.2.3.4") is None


def test_a_zone_is_not_part_of_an_address() -> None:
    assert str(client_address.read_address("fe80::1%eth0")) == "fe80::1"


@pytest.mark.parametrize("odd", ["10.0.0.1/8", "10.0.0.0/33", "ten", ""])
def test_a_network_that_is_none_is_refused(odd: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)host bits|network|address"):
        read_networks([odd])
