"""How the hubs' loops go on."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

logger = structlog.get_logger("app")


async def for_ever(step: Callable[[], Awaitable[None]]) -> None:
    """Repeat a step, whatever comes of it."""
    while True:
        try:
            await step()
        except Exception:  # a process loop: one failed step must not end what all sockets hear
            logger.exception("the hub failed a step", step=getattr(step, "__name__", None))


async def yield_turn() -> None:
    """Let writers that were woken before run, and empty their queues as far as they can."""
    await asyncio.sleep(0)
