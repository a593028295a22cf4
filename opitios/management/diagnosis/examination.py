"""All checks in order, the ground before what stands on it."""

from collections.abc import Iterator

from opitios.management.diagnosis import clone, servers
from opitios.management.diagnosis.finding import Finding, Patient


def examine(patient: Patient) -> Iterator[Finding]:
    """Every check that makes sense for what is there."""
    yield from (clone.machine(), clone.disk(patient))
    yield from clone.files(patient)
    yield clone.supervisor(patient)
    if patient.supervisor is None and not patient.settings.get("DATABASE_URL"):
        return
    yield from clone.programs(patient)
    yield from servers.database(patient)
    yield servers.redis_server(patient)
    if patient.supervisor is not None:
        yield from servers.pool(patient)
