"""The rival of the fan-out: a server of a page, raw `websockets.broadcast` and nothing else.

It hears the same messages of the same Redis and writes each tick, encoded once, to everybody: no
tokens, no subscriptions, no bounds, no slow clients. Run as
`python -m benchmarks.rivals.websockets_broadcast PORT`.
"""

import asyncio
import sys
from typing import Any

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from opitios.core.bus import Topic, get_bus


async def main() -> None:
    """Serve until killed."""
    connections: set[ServerConnection] = set()
    loop = asyncio.get_running_loop()

    async def follow(socket: ServerConnection) -> None:
        await socket.send('[{"T":"success","msg":"authenticated"}]')
        await socket.recv()
        await socket.send('[{"T":"subscription"}]')
        connections.add(socket)
        try:
            await socket.wait_closed()
        finally:
            connections.discard(socket)

    def show(message: dict[str, Any]) -> None:
        for _channel, feed, symbol, _at, body in message["ticks"]:
            told = {"T": "t", "S": symbol, "symbol": symbol, **body, "feed": feed}
            broadcast(connections, orjson.dumps([told | {"source": "stream"}]).decode())

    def take(message: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(show, message)

    get_bus().listen(Topic.TICKS, take)
    async with serve(follow, "127.0.0.1", int(sys.argv[1]), compression=None):
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
