"""Ids that sort by time (UUIDv7) and the request id's shape."""

import re
from uuid import UUID

import uuid_utils

# A caller's own X-Request-ID is echoed only when it is this plain: it lands in logs and headers.
_SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def new_id() -> UUID:
    """Make a UUIDv7."""
    return UUID(bytes=uuid_utils.uuid7().bytes)


def request_id(given: str | None) -> str:
    """Keep the caller's request id if it is sane, else make one."""
    if given is not None and _SANE.fullmatch(given):
        return given
    return f"req_{uuid_utils.uuid7().hex}"
