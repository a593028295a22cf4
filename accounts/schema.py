"""How the API's documents describe the token, the account, its journal and the pool."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from accounts import parameters
from accounts.claims import Permission
from accounts.models import Account, AccountState, FeedLease, Halt
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


read_token = operation(
    "readToken",
    "Accounts",
    "Say what the token allows: accounts, permissions, expiry, limits, environments.",
    answers=answers(200, ref("Token"), "What it allows; never the token itself.")
    | problems(400, 401, 503),
)
list_limits = operation(
    "listLimits",
    "Accounts",
    "List the token's limits: those of no account on the first page, then account by account.",
    parameters=[LIMIT, PAGE_TOKEN],
    answers=answers(200, ref("Limits"), "The limits as they stand.") | problems(400, 401, 503),
)
list_accounts = operation(
    "listAccounts",
    "Accounts",
    "List the token's own accounts, as their desks last saw them.",
    parameters=[
        query("state", word(*AccountState.State.values), "In this state alone."),
        query("environment", word(*Account.Environment.values), "In this environment alone."),
        LIMIT,
        PAGE_TOKEN,
    ],
    answers=answers(200, ref("Accounts"), "The accounts, by id.") | problems(400, 401, 422, 503),
)
read_account = operation(
    "readAccount",
    "Accounts",
    "Read the account at the broker: balances, buying power, status.",
    answers=answers(200, ref("BrokerAccount"), "Alpaca's account object, with ours beside it.")
    | problems(400, 401, 403, 404, 503),
)
read_configurations = operation(
    "readAccountConfigurations",
    "Accounts",
    "Read the account's settings at the broker.",
    answers=answers(200, ref("AccountConfigurations"), "Alpaca's object, with its place beside it.")
    | problems(400, 401, 403, 404, 422, 503),
)
_POINT = "A day (midnight UTC), an RFC 3339 instant, or epoch seconds."
read_portfolio_history = operation(
    "readPortfolioHistory",
    "Accounts",
    "Read equity and profit over time.",
    parameters=[
        query(
            "period",
            {"type": "string", "pattern": "^[1-9][0-9]{0,3}[DWMA]$"},
            "A number of days, weeks, months or years; 1M unless two ends are given.",
        ),
        query(
            "timeframe",
            word(*parameters.TIMEFRAMES),
            "How far apart; 1Min below 7 days, 15Min below 30, else 1D. Beyond 30 days 1D only.",
        ),
        query("start", TEXT, f"The first moment. {_POINT}"),
        query("end", TEXT, f"The last moment. {_POINT}"),
        query(
            "intraday_reporting", word(*parameters.REPORTINGS), "Which hours; market_hours unless."
        ),
        query("pnl_reset", word(*parameters.PNL_RESETS), "Where profit starts from within days."),
        query("extended_hours", word("true", "false"), "Deprecated: see intraday_reporting."),
        query("cashflow_types", TEXT, "`ALL`, `NONE`, or a list of activity types."),
    ],
    answers=answers(200, ref("PortfolioHistory"), "Alpaca's series; its numbers are JSON numbers.")
    | problems(400, 401, 403, 404, 422, 503),
)
_DAY = {**TEXT, "description": "`2026-11-20`, or an RFC 3339 instant."}
_SIZE: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": parameters.MAX_ACTIVITIES,
    "default": parameters.DEFAULT_ACTIVITIES,
}
list_activities = operation(
    "listActivities",
    "Accounts",
    "List what changed the account's cash and positions: fills, deposits, dividends, fees.",
    parameters=[
        query("activity_types", TEXT, "Of these types alone, such as `FILL,DIV`."),
        query("category", word(*parameters.CATEGORIES), "Instead of activity_types."),
        query("order_id", UUID, "Of one order: the broker's id of it."),
        query("date", _DAY, "Of this day alone."),
        query("after", _DAY, "Later than this."),
        query("until", _DAY, "Earlier than this."),
        query("direction", word(*parameters.DIRECTIONS), "`desc` unless given."),
        query("page_size", _SIZE, "How many at most."),
        query("limit", _SIZE, "The same as page_size; give one of them."),
        query("page_token", TEXT, "`next_page_token` of the page before: its last activity's id."),
    ],
    answers=answers(200, ref("Activities"), "Activities; the page after a full one may be empty.")
    | problems(400, 401, 403, 404, 422, 503),
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
    "Read every process and the accounts the token holds, as the processes last wrote them.",
    parameters=[LIMIT, PAGE_TOKEN],
    answers=answers(200, ref("Pool"), "The pool.") | problems(400, 401, 403, 503),
)

reload_accounts = operation(
    "reloadAccounts",
    "Operation",
    "Read the account file again and apply it: all of it, or nothing.",
    answers=answers(200, ref("Reloaded"), "What changed of the token's accounts.")
    | problems(400, 401, 403, 413, 415, 422, 503),
    request={
        "application/json": record(
            {"dry_run": FLAG, "reason": TEXT}, optional=("dry_run", "reason")
        )
    },
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

_HALT = {
    **record(
        {
            "mode": word(*Halt.Mode.values),
            "scope": word(Halt.Scope.GLOBAL.value, Halt.Scope.ACCOUNT.value),
            "since": INSTANT,
            "reason": TEXT,
        }
    ),
    "description": "The strictest that stands over the whole account; `GET halts` has all.",
}

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
            "connections": COUNT,
            "leases": COUNT,
            "queue": ANYTHING,
            "senders": record({"busy": COUNT, "max": COUNT}),
            "streams": COUNT,
            "sockets": COUNT,
            "roster_version": WHOLE,
            "trouble": nullable(TEXT),
            "refusals": {"type": "object", "additionalProperties": COUNT},
            # Of a market process.
            "feed": record(
                {
                    "sockets": COUNT,
                    "symbols": COUNT,
                    "messages_per_second": NUMBER,
                    "last_tick_age_ms": nullable(COUNT),
                    "conflated": COUNT,
                    "dropped": COUNT,
                    "reconnects": COUNT,
                }
            ),
        },
        # A process without clients (stream, beat) has none to be warm; only a desk has leases.
        optional=(
            *("warm", "connections", "leases", "queue", "senders", "streams", "sockets"),
            *("roster_version", "trouble", "refusals", "feed"),
        ),
    ),
    **_OPEN,
}

_DATA_STREAM = record(
    {
        "state": word(*FeedLease.State.values),
        "reason": nullable(TEXT),
        "since": nullable(INSTANT),
        "owner": TEXT,
        "feed": nullable(TEXT),
        "symbols": COUNT,
        "last_message_at": nullable(INSTANT),
    }
)

_POOL_ACCOUNT = record(
    {
        "account_id": TEXT,
        "account_type": word(*Account.Type.values),
        "environment": _ENVIRONMENT,
        "priority": word(*Account.Priority.values),
        "data_plan": word(*Account.DataPlan.values),
        "state": word(*AccountState.State.values),
        "state_reason": nullable(TEXT),
        "state_since": nullable(INSTANT),
        "checked_at": nullable(INSTANT),
        "check_ms": nullable(NUMBER),
        "connections": record({"open": COUNT, "max": COUNT}),
        "in_flight": COUNT,
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
                ),
                "data": nullable(
                    record({"limit": COUNT, "remaining": WHOLE, "resets_at": INSTANT})
                ),
            }
        ),
        "market_data": nullable(
            record(
                {
                    "state": word("serving", "resting"),
                    "resting_until": nullable(INSTANT),
                    "last_answer_at": nullable(INSTANT),
                    "last_failure": nullable(
                        record({"at": INSTANT, "outcome": TEXT, "http_status": nullable(WHOLE)})
                    ),
                }
            )
        ),
        "stream": record(
            {
                "state": word(*AccountState.Stream.values),
                "owner": nullable(TEXT),
                "last_message_at": nullable(INSTANT),
                "reconciled_at": nullable(INSTANT),
            }
        ),
        "data_streams": nullable(
            {
                "type": "object",
                "description": "By kind; null where no market process owns them.",
                "additionalProperties": _DATA_STREAM,
            }
        ),
        "orders": nullable(record({"open": COUNT, "unknown": COUNT})),
        "halt": nullable(_HALT),
        "suspended": nullable(record({"since": INSTANT, "reason": TEXT})),
        "key": nullable(record({"hint": TEXT, "version": COUNT, "age_days": COUNT})),
    }
)

# What Alpaca tells of a fill, and of anything else; all of it strings.
_OF_FILLS = (
    *("transaction_time", "type", "price", "qty", "side", "symbol", "leaves_qty", "cum_qty"),
    *("order_id", "order_status"),
)
_OF_OTHERS = (
    *("activity_sub_type", "date", "created_at", "net_amount", "per_share_amount", "cusip"),
    *("currency", "group_id", "status"),
)
_SERIES = listed(nullable(NUMBER))

_COUNTED: Schema = {"type": ["integer", "string"], "description": "A count, or a decimal."}
_COUNTED_OR_NOT: Schema = {"type": ["integer", "string", "null"]}
_LIMIT_ROW = record(
    {
        "name": TEXT,
        "level": {**TEXT, "description": "What shares it: global, account, subject …"},
        "account_id": nullable(TEXT),
        "value": _COUNTED,
        "used": _COUNTED_OR_NOT,
        "left": _COUNTED_OR_NOT,
        "per_seconds": nullable(NUMBER),
        "resets_at": nullable(INSTANT),
    }
)

COMPONENTS: Mapping[str, Schema] = {
    "Token": record(
        {
            "subject": TEXT,
            "act": nullable(TEXT),
            "accounts": {
                **nullable(listed(TEXT)),
                "description": "Those it names; null where account_scope is `all`.",
            },
            "account_scope": nullable(word("all")),
            "account_type": nullable(word(*Account.Type.values)),
            "permissions": listed(word(*Permission)),
            "issued_at": INSTANT,
            "expires_at": INSTANT,
            "limits": {
                **listed(ref("Limit")),
                "description": "Those no account has for itself; `GET limits` has them all.",
            },
            "environments": {
                **listed(_ENVIRONMENT),
                "description": "Where its accounts trade.",
            },
        }
    ),
    "Limit": _LIMIT_ROW,
    "Limits": page("limits", "Limit", marked=False),
    "Account": record(
        {
            "account_id": TEXT,
            "account_type": word(*Account.Type.values),
            "environment": _ENVIRONMENT,
            "state": word(*AccountState.State.values),
            "state_reason": nullable(TEXT),
            "halt": nullable(_HALT),
            "equity": nullable(DECIMAL),
            "buying_power": nullable(DECIMAL),
            "as_of": {
                **nullable(INSTANT),
                "description": "When its desk read equity and buying power; null: not yet.",
            },
        }
    ),
    "Accounts": page("accounts", "Account", marked=False),
    "AccountConfigurations": {
        **record(
            {
                "disable_overnight_trading": FLAG,
                "fractional_trading": FLAG,
                "max_margin_multiplier": TEXT,
                "max_options_trading_level": nullable(COUNT),
                "no_shorting": FLAG,
                "ptp_no_exception_entry": FLAG,
                "suspend_trade": FLAG,
                "trade_confirm_email": TEXT,
                **MARK,
            }
        ),
        **_OPEN,
    },
    "PortfolioHistory": {
        **record(
            {
                "timestamp": listed(WHOLE),
                "equity": _SERIES,
                "profit_loss": _SERIES,
                "profit_loss_pct": _SERIES,
                "base_value": nullable(NUMBER),
                "base_value_asof": TEXT,
                "timeframe": word(*parameters.TIMEFRAMES),
                "cashflow": {"type": "object", "additionalProperties": listed(NUMBER)},
                **MARK,
            },
            # Alpaca leaves them out where there is nothing to tell.
            optional=("base_value_asof", "cashflow"),
        ),
        **_OPEN,
    },
    "Activity": {
        **record(
            {
                "id": {**TEXT, "description": "Also the page_token of what comes after it."},
                "activity_type": TEXT,
                **dict.fromkeys(_OF_FILLS, TEXT),
                **dict.fromkeys(_OF_OTHERS, TEXT),
            },
            optional=(*_OF_FILLS, *_OF_OTHERS),
        ),
        **_OPEN,
    },
    "Activities": page("activities", "Activity"),
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
    "Reloaded": record(
        {
            "dry_run": FLAG,
            "version": nullable(COUNT),
            "added": listed(TEXT),
            "changed": listed(record({"account_id": TEXT, "fields": listed(TEXT)})),
            "disabled": listed(TEXT),
            "unchanged": COUNT,
            "warnings": listed(record({"account_id": TEXT, "line": COUNT, "message": TEXT})),
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
                    "connections": record({"open": COUNT, "max": COUNT}),
                }
            ),
            "processes": listed(_POOL_PROCESS),
            "upstreams": listed(ANYTHING),
            "accounts": listed(_POOL_ACCOUNT),
            "next_page_token": nullable(TEXT),
        }
    ),
}
