"""A client that does not read is cut off, and costs no more than its backlog."""

from unittest.mock import Mock

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from sandbox.streams import MAX_BACKLOG, Listener


def listener(transport: Mock) -> Listener:
    request: web.Request = make_mocked_request("GET", "/stream", transport=transport)
    return Listener(request)


async def test_a_full_backlog_cuts_the_connection() -> None:
    transport = Mock()
    slow = listener(transport)
    for _ in range(MAX_BACKLOG):
        slow.send(b"update")
    transport.abort.assert_not_called()

    slow.send(b"one too many")

    transport.abort.assert_called_once_with()
    assert slow.outbox.qsize() == MAX_BACKLOG
