"""The settings tests run under: a database and a Redis of their own, timers at a tenth."""

import base64
import json
import os

from opitios.core.config import Timers
from tests.support.services import Session, worker_database

# Fixed, so that a sealed value in a failing test can be opened again.
MASTER_KEY = f"k1:{base64.b64encode(bytes(range(32))).decode()}"
SECRET_KEY = "test-0123456789-abcdefghijklmnopqrstuvwxyz"  # noqa: S105 - it guards nothing
JWT_KEY = {"kid": "test", "alg": "HS256", "key": "test-" + "k" * 43, "fleet": True}

# Tests ask faster than any program; what limits do is tried with limits of the test's own.
ROOMY = {
    "OPITIOS_LIMITS__REQUESTS_PER_SECOND": "100000",
    "OPITIOS_LIMITS__ACCOUNT_PER_SECOND": "10000",
    "OPITIOS_LIMITS__CANCELS_PER_SECOND": "10000",
    "OPITIOS_LIMITS__CONTROLS_PER_SECOND": "10000",
}


def settings(session: Session, worker: str) -> dict[str, str]:
    """Every variable a process of the test session is started with."""
    database = worker_database(session, worker)
    timers = {f"OPITIOS_TIMERS__{name.upper()}": str(value / 10) for name, value in Timers()}
    return (
        timers
        | ROOMY
        | {
            "SECRET_KEY": SECRET_KEY,
            # What a thread writes in between, a test that counts statements would count.
            "OPITIOS_TIMERS__REFUSAL_WINDOW": "3600",
            "DATABASE_URL": session.application_url(database),
            "DATABASE_OWNER_URL": session.owner_url(database),
            "REDIS_URL": session.redis_url,
            "OPITIOS_ROLE": "none",
            "OPITIOS_PROCESS": f"test-{worker}",
            "OPITIOS_MASTER_KEYS": MASTER_KEY,
            "OPITIOS_JWT_KEYS": json.dumps([JWT_KEY]),
            "OPITIOS_ENVIRONMENT_NAME": "test",
            # The session's Postgres is quick and not durable (services.QUICK).
            "OPITIOS_ACCEPTED_FINDINGS": "opitios.E009",
            # Never the settings of a run of this clone.
            "OPITIOS_ENV_FILE": os.devnull,
            "OPITIOS_YAML_FILE": os.devnull,
        }
    )
