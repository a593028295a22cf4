"""How the API's documents describe the token, the account, its journal and the pool."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from accounts.models import Account, AccountState
from opitios.core.openapi import (
    ANYTHING,
    COUNT,
    DECIMAL,
    FLAG,
    INSTANT,
    LIMIT,
    MARK,
    NUMBER,
    PAGE_TOKEN,
    SHA256,
    TEXT,
    UUID,
    WHOLE,
    Schema,
    answers,
    listed,
    nullable,
    operation,
    page,
    problems,
    query,
    record,
    ref,
    word,
)


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """TokenAuthentication as an OpenAPI security scheme. Registered by being imported."""

    target_class = "accounts.access.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Say: HTTP bearer authentication with a JWT."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


read_account = operation(
    "readAccount",
    "Accounts",
    "Read the account at the broker: balances, buying power, status.",
    answers=answers(200, ref("BrokerAccount"), "Alpaca's account object, with ours beside it.")
    | problems(400, 401, 403, 404, 503),
)
list_positions = operation(
    "listPositions",
    "Accounts",
    "List the open positions, as Alpaca has them.",
    answers=answers(200, ref("Positions"), "The positions.") | problems(400, 401, 403, 404, 503),
)
read_position = operation(
    "readPosition",
    "Accounts",
    "Read one open position.",
    answers=answers(200, ref("MarkedPosition"), "The position.")
    | problems(400, 401, 403, 404, 503),
)
read_journal = operation(
    "readJournal",
    "Accounts",
    "Read the account's journal: audit trail, stream source and proof.",
    parameters=[
        query("after", COUNT, "Entries past this number."),
        query("kind", {"type": "string", "pattern": "^[a-z][a-z_.]{0,63}$"}, "Of this kind alone."),
        LIMIT,
        PAGE_TOKEN,
    ],
    answers=answers(200, ref("Journal"), "Entries, oldest first, and the head they lead to.")
    | problems(400, 401, 403, 404, 503),
)
read_pool = operation(
    "readPool",
    "Operation",
    "Read every process and every account the token holds, as the processes last wrote them.",
    parameters=[LIMIT, PAGE_TOKEN],
    answers=answers(200, ref("Pool"), "The pool.") | problems(400, 401, 403, 503),
)

_POSITION: Mapping[str, Schema] = {
    "asset_id": UUID,
    "symbol": TEXT,
    "exchange": TEXT,
    "asset_class": TEXT,
    "asset_marginable": FLAG,
    "qty": DECIMAL,
    "qty_available": DECIMAL,
    "avg_entry_price": DECIMAL,
    "side": word("long", "short"),
    "market_value": nullable(DECIMAL),
    "cost_basis": DECIMAL,
    "unrealized_pl": nullable(DECIMAL),
    "unrealized_plpc": nullable(DECIMAL),
    "unrealized_intraday_pl": nullable(DECIMAL),
    "unrealized_intraday_plpc": nullable(DECIMAL),
    "current_price": nullable(DECIMAL),
    "lastday_price": nullable(DECIMAL),
    "change_today": nullable(DECIMAL),
}
_ENVIRONMENT = word(*Account.Environment.values)
# What Alpaca may add, it may.
_OPEN: Schema = {"additionalProperties": True}

_PRINCIPAL = record(
    {
        "sub": TEXT,
        "act": nullable(TEXT),
        "jti": nullable(TEXT),
        "permissions": listed(TEXT),
        "ip": nullable(TEXT),
    }
)

_POOL_PROCESS: Schema = {
    **record(
        {
            "name": TEXT,
            "role": TEXT,
            "pid": WHOLE,
            "started_at": INSTANT,
            "seen_at": INSTANT,
            "warm": COUNT,
            "leases": COUNT,
            "queue": ANYTHING,
            "senders": record({"busy": COUNT, "max": COUNT}),
        },
        # A process without clients (stream, beat) has none to be warm.
        optional=("warm", "leases", "queue", "senders"),
    ),
    **_OPEN,
}

_POOL_ACCOUNT = record(
    {
        "account_id": TEXT,
        "account_type": word(*Account.Type.values),
        "environment": _ENVIRONMENT,
        "priority": TEXT,
        "state": word(*AccountState.State.values),
        "state_reason": nullable(TEXT),
        "state_since": nullable(INSTANT),
        "checked_at": nullable(INSTANT),
        "check_ms": nullable(NUMBER),
        "connections": record({"open": nullable(COUNT), "max": COUNT}),
        "in_flight": nullable(COUNT),
        "breaker": nullable(TEXT),
        "budget": record(
            {
                "trading": nullable(
                    record(
                        {
                            "limit": COUNT,
                            "remaining": WHOLE,
                            "reserve": COUNT,
                            "resets_at": INSTANT,
                        }
                    )
                )
            }
        ),
        "stream": record(
            {
                "state": word(*AccountState.Stream.values),
                "owner": nullable(TEXT),
                "last_message_at": nullable(INSTANT),
                "reconciled_at": nullable(INSTANT),
            }
        ),
        "orders": nullable(ANYTHING),
        "halt": nullable(ANYTHING),
        "key": nullable(record({"hint": TEXT, "version": COUNT, "age_days": COUNT})),
    }
)

COMPONENTS: Mapping[str, Schema] = {
    "BrokerAccount": {
        **record(
            {
                "id": TEXT,
                "status": TEXT,
                "currency": TEXT,
                "cash": DECIMAL,
                "equity": DECIMAL,
                "buying_power": DECIMAL,
                "account_id": TEXT,
                "environment": _ENVIRONMENT,
                **MARK,
            }
        ),
        **_OPEN,
    },
    "Position": {**record(_POSITION), **_OPEN},
    "MarkedPosition": {**record({**_POSITION, **MARK}), **_OPEN},
    "Positions": page("positions", "Position"),
    "JournalEntry": record(
        {
            "account_id": TEXT,
            "seq": {"type": "integer", "minimum": 1},
            "kind": {"type": "string", "pattern": "^[a-z][a-z_.]{0,63}$"},
            "occurred_at": TEXT,
            "recorded_at": INSTANT,
            "clock_offset_ms": NUMBER,
            "actor": record(
                {
                    "kind": word("principal", "staff", "system"),
                    "name": TEXT,
                    "on_behalf_of": nullable(_PRINCIPAL),
                }
            ),
            "request": nullable(
                record(
                    {
                        "request_id": TEXT,
                        "idempotency_key": nullable(TEXT),
                        "body_sha256": nullable(SHA256),
                    }
                )
            ),
            **dict.fromkeys(
                (
                    *("order_id", "client_order_id", "broker_order_id", "execution_id"),
                    *("symbol", "reason", "note"),
                ),
                nullable(TEXT),
            ),
            "tags": nullable({"type": "object", "additionalProperties": TEXT}),
            "before": nullable(ANYTHING),
            "after": nullable(ANYTHING),
            "broker": nullable(ANYTHING),
            "build": TEXT,
            "config_sha256": SHA256,
            "canon": COUNT,
            "prev_hash": SHA256,
            "hash": SHA256,
        }
    ),
    "Journal": record(
        {
            "entries": listed(ref("JournalEntry")),
            "head": record({"seq": COUNT, "hash": SHA256}),
            "next_page_token": nullable(TEXT),
        }
    ),
    "Pool": record(
        {
            "as_of": INSTANT,
            "summary": record(
                {
                    **dict.fromkeys(
                        ("accounts", "ready", "warming", "suspect", "quarantined", "disabled"),
                        COUNT,
                    ),
                    "connections": record({"open": nullable(COUNT), "max": COUNT}),
                }
            ),
            "processes": listed(_POOL_PROCESS),
            "upstreams": listed(ANYTHING),
            "accounts": listed(_POOL_ACCOUNT),
            "next_page_token": nullable(TEXT),
        }
    ),
}
