"""A test's own ends of the bus: they give a Redis of a crowded machine its time."""

from functools import cache
from uuid import uuid4

from opitios.core.bus import Bus, namespace
from opitios.core.config import get_config
from tests.trading.outages import patient_url


def lone_bus(name: str | None = None) -> Bus:
    """A bus of the gateway of that name; else one that no other of the session listens to."""
    url = patient_url(get_config().redis_url.get_secret_value())
    return Bus(url, namespace=uuid4().hex if name is None else name)


def gateway_bus() -> Bus:
    """The way to the processes that use this worker's database now."""
    return _bus_of(namespace())


@cache
def _bus_of(name: str) -> Bus:
    return lone_bus(name)
