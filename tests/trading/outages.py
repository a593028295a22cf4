"""Puts a proxy between this process and its Postgres or Redis, for the length of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from django.db import connection

from opitios.core import bus
from opitios.core.config import get_config
from opitios.core.database import SERVING_SECONDS, settings_from_url
from tests.support.crowd import patient
from tests.support.proxy import Proxy


@contextmanager
def proxied_postgres() -> Iterator[Proxy]:
    """Reach Postgres through a proxy; the pool of connections begins anew on both sides of it."""
    wrapper: Any = connection
    place = wrapper.settings_dict
    direct = {name: place[name] for name in ("HOST", "PORT", "OPTIONS")}
    # As impatient as a process that serves.
    serving = direct["OPTIONS"] | {"pool": direct["OPTIONS"]["pool"] | {"timeout": SERVING_SECONDS}}
    with Proxy(_server(direct["HOST"], int(direct["PORT"] or 5432))) as proxy:
        _move(wrapper, {"HOST": "127.0.0.1", "PORT": str(proxy.port), "OPTIONS": serving})
        try:
            yield proxy
        finally:
            _move(wrapper, direct)


@contextmanager
def proxied_url(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of a Postgres, and the URL that leads through it: for another process."""
    place = settings_from_url(url, pool_max=None)
    with Proxy(_server(place["HOST"], int(place["PORT"] or 5432))) as proxy:
        login = urlsplit(url).netloc.rpartition("@")[0]
        yield proxy, f"postgresql://{login}@127.0.0.1:{proxy.port}/{place['NAME']}"


def _server(host: str, port: int) -> tuple[str, int] | str:
    # libpq takes a folder for a host: the server's unix socket is in it.
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)


def _move(wrapper: Any, place: dict[str, str]) -> None:
    wrapper.close()
    wrapper.close_pool()
    wrapper.settings_dict.update(place)


@contextmanager
def proxied_bus(*, unhurried: bool = False) -> Iterator[tuple[bus.Bus, Proxy]]:
    """A bus whose Redis stands behind a proxy; `unhurried`: it gives a slow one its time."""
    there = urlsplit(get_config().redis_url.get_secret_value())
    with Proxy((str(there.hostname), int(there.port or 6379))) as proxy:
        address = f"{there.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}".removeprefix("@")
        url = there._replace(netloc=address).geturl()
        yield bus.Bus(patient_url(url) if unhurried else url), proxy


def patient_url(url: str) -> str:
    """The URL of a Redis for clients that wait as a test does: a slow answer is no lost server."""
    seconds = patient(1.0)
    # What a URL says goes before what bus.client says.
    told = f"socket_timeout={seconds}&socket_connect_timeout={seconds}"
    return urlsplit(url)._replace(query=told).geturl()
