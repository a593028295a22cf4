"""What goes over a socket, as our server knows it: frames on the wire, and why a socket ends.

Pure, and without Django: the server's connections (server.py) are made before it is set up.
"""

from enum import IntEnum


class Close(IntEnum):
    """Why we end a socket."""

    NO_TEXT = 1007
    TOO_BIG = 1009
    INTERNAL = 1011
    TOO_SLOW = 4008
    TOKEN = 4401
    NO_AUTH = 4408
    TOO_MANY = 4429


class Frame:
    """One text frame, encoded once for all its receivers; `size` in bytes."""

    __slots__ = ("_wire", "size", "text")

    def __init__(self, text: str, size: int) -> None:
        self.text, self.size = text, size
        self._wire: bytes | None = None

    @property
    def wire(self) -> bytes:
        """The frame as a server writes it (RFC 6455 §5.2), made for its first receiver."""
        if self._wire is None:
            payload = self.text.encode()
            self._wire = _head(len(payload)) + payload
        return self._wire


# RFC 6455 §5.2: longest payloads whose length stands in 7 and in 16 bits.
SHORT, MEDIUM = 125, 65_535


def _head(length: int) -> bytes:
    """Write the head of a text frame that is whole and not masked."""
    if length <= SHORT:
        return bytes((0x81, length))
    if length <= MEDIUM:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")
