"""Where a request comes from: the one answer for the journal, limits and allow-lists.

What a client writes about itself is believed only where a proxy of the operator's added it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from django.http import HttpRequest

from opitios.core.config import get_config

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# A chain of more proxies is nobody's.
MAX_HOPS = 16
# Networks as text are few, and asked for with each request.
_KEPT = 4096


def of_request(request: HttpRequest) -> str | None:
    """Find the client's address of an HTTP request; None where the server knows no peer."""
    return of_environ(request.META)


def of_environ(environ: Mapping[str, Any]) -> str | None:
    """Find the client's address of an HTTP request that Django does not know."""
    return client_address(environ.get("REMOTE_ADDR"), environ.get("HTTP_X_FORWARDED_FOR"))


def client_address(peer: str | None, forwarded_for: str | None) -> str | None:
    """Find the client's address, in its plain form; None where nobody knows it.

    It is the peer's, unless the peer is in TRUSTED_PROXIES: then the last entry of
    X-Forwarded-For that is no trusted proxy itself. An entry that is no address ends the walk: who
    wrote it is the last that is known.
    """
    trusted = _trusted()
    known = read_address(peer or "")
    if known is None:
        return None
    if forwarded_for is None or not trusted or not within(known, trusted):
        return str(known)
    for entry in reversed(forwarded_for.split(",")[-MAX_HOPS:]):
        before = read_address(entry.strip(" "))
        if before is None:
            break
        known = before
        if not within(known, trusted):
            break
    return str(known)


def is_proxy(peer: str | None) -> bool:
    """Whether a peer is in TRUSTED_PROXIES, so that its X-Forwarded-… are believed."""
    address = read_address(peer or "")
    return address is not None and within(address, _trusted())


@lru_cache(maxsize=_KEPT)
def read_address(text: str) -> Address | None:
    """Read an address without port or zone; IPv4 in IPv6 is IPv4. None where it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of these networks."""
    return any(address in network for network in networks)


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read `10.0.0.0/8` or a single address each. Raises ValueError, host bits set included."""
    return tuple(ip_network(text) for text in texts)


@lru_cache(maxsize=1)
def _trusted() -> tuple[Network, ...]:
    return read_networks(get_config().trusted_proxies)
