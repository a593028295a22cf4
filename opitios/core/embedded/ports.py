"""Free ports on the loopback address."""

import itertools
import socket
from collections.abc import Collection

HOST = "127.0.0.1"

# Below the range Linux takes outgoing ports from, so that a port stays ours across restarts.
_FIRST, _COUNT = 18090, 4000

# The ports this process has chosen, each with the descriptor that tells others of it: it is closed
# by the end of the process alone.
_claims: dict[int, int] = {}


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A closed server's connections linger for a minute; they do not keep the next one out.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Whether a server takes connections there now."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def choose(wanted: int | None, *, key: str, avoid: Collection[int] = ()) -> int:
    """The wanted port where it is free, else another; `key` (hex) spreads clones over the range.

    It is ours until this process ends, also before anybody listens there: of two gateways that
    start at once the second one takes another, where their servers would share it unnoticed.
    Raises OSError where every port of the range is taken.
    """
    start = int(key, 16) % _COUNT
    spread = (_FIRST + (start + step) % _COUNT for step in range(_COUNT))
    for port in itertools.chain([wanted] if wanted else [], spread):
        if port not in avoid and is_free(port) and _claim(port):
            return port
    raise OSError(f"no free port from {_FIRST} to {_FIRST + _COUNT - 1}")


def _claim(port: int) -> bool:
    """Say that a port is taken; false where another process said so first."""
    if port in _claims:
        return True
    # An abstract name: it lives in the network namespace, as ports do, and ends with its owner.
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0opitios-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims[port] = claim.detach()
    return True
