"""`/metrics`: what all processes of the gateway counted, in Prometheus' text format.

Every process writes its counters into its row (accounts/presence.py); whichever web worker is asked
reads the rows, as `GET pool` does. So desks and workers need no port of their own, and two scrapes
that meet different workers see one truth: docs/adr/0021.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from rest_framework.request import Request

from accounts import poolview
from accounts.access import Permission, TokenView, principal_of
from accounts.presence import GONE_AFTER, METRICS
from opitios.core import clock, database
from opitios.core.http import query_of

PREFIX = "opitios_"
# Series with this label are shown to who holds the account.
ACCOUNT = "account_id"
OF_A_PROCESS = ("process", "role")

_ROWS = """
SELECT name, role, started_at, snapshot -> %(metrics)s AS counted, snapshot -> 'data' AS data
FROM accounts_processrow WHERE seen_at > clock_timestamp() - %(gone_after)s ORDER BY name
"""


class MetricsView(TokenView):
    """For a Prometheus with a token that may monitor."""

    permission = Permission.MONITOR

    # Its form is Prometheus', not the API's: nobody generates a client of it.
    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Show what living processes last wrote."""
        query_of(request, ())
        held = principal_of(request).accounts
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Told(list(_families(held, clock.now()))))
        body = generate_latest(registry)
        response = HttpResponse(body, content_type=CONTENT_TYPE_LATEST)
        response["Content-Length"] = str(len(body))
        return response


class _Told(Collector):
    """What was read, as the library wants it."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _families(held: frozenset[str] | None, now: datetime) -> Iterator[Metric]:
    asked = {"metrics": METRICS, "gone_after": GONE_AFTER}
    rows = [_parsed(row) for row in database.rows(_ROWS, asked)]
    yield _of_processes(rows)
    yield from _counted(rows, held)
    yield from _of_data_accounts(rows, held, now)
    yield from _of_the_pool(poolview.merged(held, now, limit=1))


def _parsed(row: Mapping[str, Any]) -> dict[str, Any]:
    # Django hands JSON over as its text.
    told = {name: row[name] for name in ("counted", "data")}
    return {**row, **{name: _json(value) or {} for name, value in told.items()}}


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else value


def _of_processes(rows: Sequence[Mapping[str, Any]]) -> Metric:
    family = GaugeMetricFamily(
        f"{PREFIX}process_start_time_seconds",
        "When a living process started, in epoch seconds.",
        labels=OF_A_PROCESS,
    )
    for row in rows:
        family.add_metric((row["name"], row["role"]), row["started_at"].timestamp())
    return family


def _counted(rows: Sequence[Mapping[str, Any]], held: frozenset[str] | None) -> Iterator[Metric]:
    """One family a counter, whichever processes have it: a counter is the same in all of them."""
    families: dict[str, CounterMetricFamily] = {}
    for row in rows:
        for name, told in row["counted"].items():
            labels = (*OF_A_PROCESS, *told["labels"])
            family = families.setdefault(
                name, CounterMetricFamily(f"{PREFIX}{name}", told["about"], labels=labels)
            )
            for *values, count in told["counts"]:
                if _may_see(dict(zip(told["labels"], values, strict=True)), held):
                    family.add_metric((row["name"], row["role"], *map(str, values)), count)
    yield from (families[name] for name in sorted(families))


def _may_see(labels: Mapping[str, Any], held: frozenset[str] | None) -> bool:
    return ACCOUNT not in labels or held is None or labels[ACCOUNT] in held


def _of_data_accounts(
    rows: Sequence[Mapping[str, Any]], held: frozenset[str] | None, now: datetime
) -> Iterator[Metric]:
    labels = (*OF_A_PROCESS, ACCOUNT)
    resting = GaugeMetricFamily(
        f"{PREFIX}market_data_resting",
        "1 while the process passes the account over, because it failed.",
        labels=labels,
    )
    left = GaugeMetricFamily(
        f"{PREFIX}market_data_calls_left",
        "Calls for market data that the process may make with the account now.",
        labels=labels,
    )
    for row in rows:
        for account_id, told in row["data"].items():
            if held is None or account_id in held:
                series = (row["name"], row["role"], account_id)
                resting.add_metric(series, float((told["rests_until"] or 0) > now.timestamp()))
                left.add_metric(series, told["budget"]["remaining"])
    yield from (resting, left)


def _of_the_pool(view: Mapping[str, Any]) -> Iterator[Metric]:
    summary = view["summary"]
    accounts = GaugeMetricFamily(
        f"{PREFIX}accounts", "Accounts the token holds, by state.", labels=("state",)
    )
    for state, count in summary.items():
        if state not in {"accounts", "connections"}:
            accounts.add_metric((state,), count)
    yield accounts
    yield GaugeMetricFamily(
        f"{PREFIX}broker_connections",
        "Connections to the broker that are open.",
        value=summary["connections"]["open"],
    )
    yield _breakers(view["upstreams"])
    yield from _queues(view["processes"])


def _breakers(upstreams: Sequence[Mapping[str, Any]]) -> Metric:
    family = GaugeMetricFamily(
        f"{PREFIX}broker_breaker_open",
        "1 while calls to the host are held back, 0.5 while it is tried.",
        labels=("host",),
    )
    worth = {"open": 1.0, "half-open": 0.5}
    for told in upstreams:
        family.add_metric((told["host"],), worth.get(told["breaker"], 0.0))
    return family


def _queues(processes: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        f"{PREFIX}queue_depth", "Orders that wait at a desk.", labels=("process",)
    )
    oldest = GaugeMetricFamily(
        f"{PREFIX}queue_oldest_seconds",
        "How long the first ready one has waited.",
        labels=("process",),
    )
    for told in processes:
        if "queue" in told:
            depth.add_metric((told["name"],), told["queue"]["depth"])
            # None where nothing waits.
            oldest.add_metric((told["name"],), (told["queue"]["oldest_ms"] or 0.0) / 1000)
    yield from (depth, oldest)
