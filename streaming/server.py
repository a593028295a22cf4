"""uvicorn's connections, bounded: what one client sends or does not read costs nobody else.

uvicorn takes these classes by `--ws` and `--http`. Before the application is loaded they are
imported, so nothing here needs Django.
"""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from streaming.frames import Close
from streaming.lines import EXTENSION, DirectLine
from streaming.pace import Pace

# Frames of any kind in a second: pings, pongs and fragments, too. Messages have a bound of their
# own (pace.py), and are answered by it: this one is for what never becomes a message.
FRAMES_A_SECOND = 200
# A message in more pieces than this is none that a program writes.
MAX_FRAGMENTS = 256
# websockets parses what it is fed in one go: so little of a flood goes between two looks.
SLICE_BYTES = 2048
# Seconds that a flooding client's bytes are thrown away, so that it can read why it was closed: a
# connection closed upon unread bytes is reset, and our last words with it.
DEAF_SECONDS = 1.0
# Seconds that a client may take to read its last frames before the connection is cut.
LINGER_SECONDS = 5.0
# socket(7): linger for no time, so that closing throws away what was not sent.
AT_ONCE = struct.pack("ii", 1, 0)
# A handshake is here so soon, in seconds, and so small: neither uvicorn nor its parser bounds it.
HEAD_SECONDS = 10.0
HEAD_BYTES = 32_768


class StreamProtocol(WebSocketsSansIOProtocol):
    """One WebSocket: frames are counted before they are handled, and every end is an end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._frame_pace = Pace(FRAMES_A_SECOND)
        self._fragments = 0
        self._is_deaf = False
        self._cutting: asyncio.TimerHandle | None = None
        self._line = DirectLine(self)

    # What a DirectLine needs

    @property
    def takes_more(self) -> bool:
        """Whether the socket is open and its client reads."""
        return self.writable.is_set() and not self.close_sent and not self.transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send whole frames."""
        self.transport.write(data)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        self._line.on_free()

    # What comes

    def handle_connect(self, event: Any) -> None:
        """Accept, and lend the application our line where frames go out as they are."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent and not self.conn.extensions:
            # ASGI knows extensions of a server by name; typed as a closed set.
            extensions: Any = self.scope["extensions"]
            extensions[EXTENSION] = self._line

    def data_received(self, data: bytes) -> None:
        """Read what came, a little at a time: the rest is not looked at once it is too much."""
        for start in range(0, len(data), SLICE_BYTES):
            if self._is_deaf or self.transport.is_closing():
                return
            super().data_received(data[start : start + SLICE_BYTES])

    def handle_text(self, event: Any) -> None:
        """Take a message's first or only frame."""
        self._fragments = 0
        if self._admits():
            super().handle_text(event)

    def handle_bytes(self, event: Any) -> None:
        """Take a message's first or only frame."""
        self._fragments = 0
        if self._admits():
            super().handle_bytes(event)

    def handle_cont(self, event: Any) -> None:
        """Take a further frame of a message."""
        if not self._admits():
            return
        self._fragments += 1
        if self._fragments >= MAX_FRAGMENTS:
            self._turn_away(Close.TOO_BIG)
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer; a client that does not read its answers gets none."""
        if not self._admits():
            return
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_pong(self, event: Any) -> None:
        """Hear that the client is there."""
        if self._admits():
            super().handle_pong(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message over. Bytes that are no text are not worth a stack trace."""
        if self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self._turn_away(Close.NO_TEXT)
            return
        super().send_receive_event_to_app()

    def _admits(self) -> bool:
        if not self._is_deaf and not self._frame_pace.admits(self.loop.time()):
            self._turn_away(Close.TOO_MANY)
        return not self._is_deaf

    def _turn_away(self, code: Close) -> None:
        """Say why, and hear nothing more."""
        self._is_deaf = True
        self.stop_keepalive()
        if not self.close_sent and not self.transport.is_closing():
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})
            self.conn.send_close(code)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(DEAF_SECONDS, self.transport.close)
        self._cut_later()

    # The end: closing a transport waits for its client to read, for ever if need be

    def keepalive_timeout(self) -> None:
        """End a client that does not answer."""
        self._hurry()
        super().keepalive_timeout()
        self._cut_later()

    def handle_close(self, event: Any) -> None:
        """End with the client."""
        self._hurry()
        super().handle_close(event)
        self._cut_later()

    def handle_parser_exception(self) -> None:
        """End a client that does not speak WebSocket."""
        self._hurry()
        super().handle_parser_exception()
        self._cut_later()

    def shutdown(self) -> None:
        """End with the server."""
        self._hurry()
        super().shutdown()
        self._cut_later()

    async def run_asgi(self) -> None:
        """Serve, and end with the application."""
        await super().run_asgi()
        self._hurry()
        self._cut_later()

    def _hurry(self) -> None:
        # What has left for the system waits there, closed or not, while the client's machine says
        # that it takes no more.
        if not self.transport.is_closing():
            connected = self.transport.get_extra_info("socket")
            # tcp(7): milliseconds that sent data may stay unacknowledged.
            milliseconds = int(LINGER_SECONDS * 1000)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def _cut_later(self) -> None:
        if self._cutting is None and not self.disconnected:
            self._cutting = self.loop.call_later(LINGER_SECONDS, self._cut)

    def _cut(self) -> None:
        # Or the system keeps what was not read for as long as the client's machine answers.
        connected = self.transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        if self._cutting is not None:
            self._cutting.cancel()


class HandshakeProtocol(HttpToolsProtocol):
    """What comes before a WebSocket: a request head, soon and small, or nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = 0
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the head."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Read on, so far."""
        self._received += len(data)
        if self._received > HEAD_BYTES:
            self.transport.abort()
            return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Wait no longer: the head is here."""
        self._wait_no_more()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
