"""Reads of Postgres, off the loop; the connection goes back at once."""

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from channels.db import database_sync_to_async

from opitios.core import database

P = ParamSpec("P")
R = TypeVar("R")


async def read(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function on the one thread of what everybody waits for."""
    result: Any = await database_sync_to_async(_released)(function, *args, **kwargs)
    return result  # type: ignore[no-any-return]  # channels is not typed


async def read_apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that may take its time on a thread where nobody else waits."""
    return await asyncio.to_thread(lambda: _released(function, *args, **kwargs))


def _released(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return function(*args, **kwargs)
    finally:
        database.release()
