"""Where the stream process answers: one path for sockets, nothing for HTTP."""

import asyncio
from typing import Any

import structlog
from channels.routing import ProtocolTypeRouter

from accounts import tokens
from accounts.refusals import get_refusals
from opitios.core import ids, jsontext, logs
from opitios.core.config import get_config
from opitios.core.errors import Problem, Reason
from opitios.core.http import PROBLEM
from streaming import auth
from streaming.consumers import Event, Receive, Send, StreamConsumer
from streaming.hub import get_hub
from streaming.market import get_market
from streaming.seats import get_seats

logger = structlog.get_logger("app")

STREAM_PATH = "/ws/v1/stream"

# A place is free again as soon as somebody goes.
AGAIN_SECONDS = 5

_stream = StreamConsumer.as_asgi()


async def websocket(scope: Event, receive: Receive, send: Send) -> None:
    """Serve the stream's path; every other handshake is answered 404."""
    seats = get_seats()
    if scope["path"] != STREAM_PATH:
        await not_found(scope, receive, send)
    elif not seats.take():
        full = Problem(
            Reason.OVERLOADED, "No socket is left here.", retry_after_seconds=AGAIN_SECONDS
        )
        await _refuse(scope, send, full)
    else:
        try:
            await _stream(scope, receive, send)
        finally:
            seats.give_back()


async def not_found(scope: Event, receive: Receive, send: Send) -> None:
    """Answer 404 as a problem."""
    problem = Problem(Reason.NOT_FOUND, f"Here is only the WebSocket {STREAM_PATH}.")
    await _refuse(scope, send, problem)


async def _refuse(scope: Event, send: Send, problem: Problem) -> None:
    """Answer with a problem; a server that cannot answer a handshake so says 403."""
    kind = "http.response"
    request_id = ids.request_id(auth.header(scope["headers"], b"x-request-id"))
    _log(scope, request_id, problem.status)
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})
            return
        kind = "websocket.http.response"
    headers = [(b"content-type", PROBLEM.encode()), (b"x-request-id", request_id.encode())]
    body = jsontext.dumps(problem.body(request_id))
    if problem.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % problem.retry_after_seconds))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": f"{kind}.start", "status": problem.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


def _log(scope: Event, request_id: str, status: int) -> None:
    agent = auth.header(scope["headers"], b"user-agent")
    logs.write_access(
        "request",
        request_id=request_id,
        method=logs.printable(scope.get("method", "GET")),
        path=logs.printable(scope["path"]),
        status=status,
        ip=auth.address_of(scope),
        agent=None if agent is None else logs.printable(agent),
        role=get_config().role,
        process=get_config().process,
    )


async def lifespan(scope: Event, receive: Receive, send: Send) -> None:
    """Start the hubs with the server and stop them after the last socket has gone."""
    await receive()
    try:
        # A process that cannot judge tokens must not start.
        tokens.verifier()
    except tokens.BadTokenKeys as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    get_hub().start()
    get_market().start()
    logger.info("the stream process is ready")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await get_hub().stop()
    await get_market().stop()
    # uvicorn ends by the signal that stopped it, which runs no exit functions.
    await asyncio.to_thread(get_refusals().end)
    await send({"type": "lifespan.shutdown.complete"})


def application(http: Any = not_found) -> Any:
    """Make the ASGI application of the stream process; `http` answers what is no socket."""
    return ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": lifespan})
