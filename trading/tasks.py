"""What a worker is asked to do. Thin: the work is in resolver.py and sweeps.py.

A task is a hint. What is due stands in Postgres, so a lost one is repeated a second later, and a
doubled one finds nothing to do.
"""

from functools import lru_cache
from uuid import UUID

import structlog
from celery import shared_task

from accounts.pool import get_pool
from opitios.core import database
from opitios.core.config import get_config
from opitios.core.taskqueue import LOST
from trading import sweeps
from trading.resolver import Resolver

logger = structlog.get_logger("app")

# A look-up that has waited so long for a thread is a desk's by now. Seconds.
RESOLVE_EXPIRES = 2.0


@lru_cache(maxsize=1)
def _resolver() -> Resolver:
    config = get_config()
    return Resolver(config.timers, role="worker", process=config.process)


@shared_task(name="trading.sweep")  # type: ignore[untyped-decorator] # Celery has no types
def sweep() -> None:
    """Hand out every look-up that is due, and tend what no desk holds."""
    resolver = _resolver()
    resolver.call_for_attention()
    sweeps.lapse_forsaken()
    sweeps.deny_suspended_forsaken()
    sweeps.deny_halted_forsaken()
    sweeps.doubt_forsaken(after_seconds=get_config().timers.absent_after)
    due = resolver.due()
    database.release()
    try:
        for each in due:
            resolve.apply_async(
                (str(each.order_id), each.account_id), expires=RESOLVE_EXPIRES, retry=False
            )
    except LOST as error:
        logger.warning("look-ups are left to the desks", error=type(error).__name__)


@shared_task(name="trading.resolve")  # type: ignore[untyped-decorator] # Celery has no types
def resolve(order_id: str, account_id: str) -> None:
    """Look one order up with this process's own warm client."""
    pool = get_pool()
    account = pool.get(account_id) if pool.is_loaded else None
    if account is not None:
        _resolver().resolve(UUID(order_id), account)
    database.release()
