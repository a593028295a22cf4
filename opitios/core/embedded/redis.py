"""Redis from its wheel: hints and shared counters only, so nothing of it is kept on disk."""

import signal
from collections.abc import Mapping
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from opitios.core.embedded import processes
from opitios.core.embedded.homes import Home
from opitios.core.embedded.ports import HOST
from opitios.core.embedded.program import Program
from opitios.core.embedded.runfolder import write_private

# TCP rather than a Unix socket: every Redis client and Celery take the same URL.
_CONFIG = """\
bind {host}
port {port}
requirepass {password}
protected-mode yes
daemonize no
save ""
appendonly no
"""


def url(port: int, password: str) -> str:
    """The URL every process uses."""
    return f"redis://:{password}@{HOST}:{port}/0"


def program(
    home: Home, *, config: Path, log: Path, port: int, password: str, environment: Mapping[str, str]
) -> Program:
    """Write the server's configuration (mode 0600) and describe the server.

    It reads the configuration from its standard input: the user it runs as cannot open the file,
    and no password stands on a command line.
    """
    write_private(config, _CONFIG.format(host=HOST, port=port, password=password))
    kept = {name: environment[name] for name in ("PATH", processes.MARK) if name in environment}
    return Program(
        name="redis",
        argv=(str(home.redis), "-"),
        folder=home.data,
        log=log,
        environment={**kept, "LC_ALL": "C"},
        account=home.account,
        stdin=config,
        stops=((signal.SIGTERM, 3.0),),
    )


def answers(server_url: str) -> bool:
    """Whether the server answers a PING within a fifth of a second."""
    client = redis.Redis.from_url(
        server_url, socket_timeout=0.2, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
