"""The processes of a run in a folder of the test's own; nothing is started."""

from pathlib import Path

from opitios.core.embedded.homes import Home
from opitios.core.embedded.runfolder import RunFolder
from opitios.management.asked import Asked
from opitios.management.stack import Addresses, Stack


def stack_of(root: Path, settings: dict[str, str], *, api: int = 8090) -> Stack:
    """A run with these settings, its API on that port."""
    run = RunFolder(root)
    run.prepare()
    home = Home(None, root / "servers", root / "sockets", root / "postgres", root / "redis-server")
    addresses = Addresses(api=api, ws=8091, sandbox=8092, redis=18090)
    return Stack(run, Asked.read(settings), run.secrets(), home, addresses)
