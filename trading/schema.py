"""How the API's documents describe orders, fills and their history."""

from collections.abc import Iterable, Mapping

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
    TEXT,
    UUID,
    WHOLE,
    Schema,
    answer_header,
    answers,
    header,
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
from trading import commands, lifecycle
from trading.story import STAGES

ORDERS = "Orders"
HALTS = "Halts"

_IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "The same key with the same command answers the same bytes and stores nothing again.",
)
_PREFER = header(
    "Prefer",
    {"type": "string", "pattern": "^wait=[0-9]{1,2}$", "examples": ["wait=5"]},
    "`wait=N`: wait up to N seconds (10 at most) for the broker's verdict.",
)

place_stock_order = operation(
    "placeStockOrder",
    ORDERS,
    "Store one stock order; with `Prefer: wait=N` answer the broker's verdict.",
    request={"application/json": ref("StockOrderRequest")},
    parameters=[
        _IDEMPOTENCY_KEY,
        _PREFER,
        answer_header("Location", TEXT, "Where the order is read.", 200, 202),
        answer_header("Idempotent-Replayed", word("true"), "An earlier request stored it.", 202),
        answer_header("Preference-Applied", TEXT, "How long was waited at most.", 200, 202),
    ],
    answers=answers(202, ref("AcceptedOrder"), "Stored, and sent from now on.")
    | answers(200, ref("Order"), "The broker's verdict, asked for with `Prefer`.")
    | problems(400, 401, 403, 404, 409, 413, 415, 422, 503),
)
list_orders = operation(
    "listOrders",
    ORDERS,
    "List the account's orders, newest first.",
    parameters=[
        query(
            "status",
            {**word("open", "closed", "all"), "default": "open"},
            "`open` includes queued, submitting and unknown; `closed` denied and lapsed.",
        ),
        query("after", INSTANT, "Created after this instant."),
        query("until", INSTANT, "Created before this instant."),
        query("direction", {**word("desc", "asc"), "default": "desc"}, "Newest or oldest first."),
        query("symbols", TEXT, "Of these symbols alone, with commas between them."),
        query("side", word(*commands.SIDES), "Of this side alone."),
        LIMIT,
        PAGE_TOKEN,
    ],
    answers=answers(200, ref("Orders"), "The orders.") | problems(400, 401, 403, 404, 503),
)
read_order = operation(
    "readOrder",
    ORDERS,
    "Read an order, by our id or the broker's.",
    answers=answers(200, ref("OrderDetail"), "The order and its way.")
    | problems(400, 401, 403, 404, 503),
)
cancel_order = operation(
    "cancelOrder",
    ORDERS,
    "Cancel an order.",
    answers=answers(200, ref("Order"), "Canceled: it was never sent.")
    | answers(202, ref("Order"), "The broker is asked; the order tells what came of it.")
    | problems(400, 401, 403, 404, 409, 503),
)
cancel_orders = operation(
    "cancelOrders",
    ORDERS,
    "Cancel every order of the account that is not final.",
    answers=answers(207, ref("CanceledOrders"), "What came of each.")
    | problems(400, 401, 403, 404, 503),
)
read_order_by_client_order_id = operation(
    "readOrderByClientOrderId",
    ORDERS,
    "Read an order, by its client_order_id.",
    parameters=[
        query("client_order_id", {"type": "string", "minLength": 1}, "The id.", required=True)
    ],
    answers=answers(200, ref("OrderDetail"), "The order and its way.")
    | problems(400, 401, 403, 404, 503),
)
list_order_events = operation(
    "listOrderEvents",
    ORDERS,
    "Read what happened to an order, oldest first.",
    answers=answers(200, ref("OrderEvents"), "Its journal entries.")
    | problems(400, 401, 403, 404, 503),
)
list_fills = operation(
    "listFills",
    ORDERS,
    "List the account's executions, newest first.",
    parameters=[LIMIT, PAGE_TOKEN],
    answers=answers(200, ref("Fills"), "The fills.") | problems(400, 401, 403, 404, 503),
)
read_reconciliation = operation(
    "readReconciliation",
    ORDERS,
    "Compare the account's open orders with the broker's now, changing nothing.",
    answers=answers(200, ref("Reconciliation"), "Where they differ.")
    | problems(400, 401, 403, 404, 503),
)

list_halts = operation(
    "listHalts",
    HALTS,
    "List the halts that concern the token's accounts, newest first.",
    parameters=[
        query(
            "state",
            {**word("standing", "lifted", "all"), "default": "standing"},
            "Those that stand, those that were lifted, or both.",
        ),
        LIMIT,
        PAGE_TOKEN,
    ],
    answers=answers(200, ref("Halts"), "The halts.") | problems(400, 401, 403, 503),
)
set_halt = operation(
    "setHalt",
    HALTS,
    "Halt everything, an account or a symbol: nothing new of it is sent, cancels pass.",
    request={"application/json": ref("HaltRequest")},
    answers=answers(201, ref("HaltSet"), "It stands: no claim of what is under it commits now.")
    | answers(200, ref("HaltSet"), "The same subject's stood already.")
    | problems(400, 401, 403, 404, 413, 415, 422, 503),
)
lift_halt = operation(
    "liftHalt",
    HALTS,
    "Lift a halt; what was denied under it stays denied.",
    parameters=[query("reason", {"type": "string", "maxLength": 200}, "Why, in one line.")],
    answers=answers(200, ref("Halt"), "It is lifted.") | problems(400, 401, 403, 404, 503),
)

_STATUS: Schema = {
    "type": "string",
    "description": "Ours: `" + "`, `".join(sorted(lifecycle.OURS)) + "`. Else Alpaca's own word, "
    "verbatim: `" + "`, `".join(sorted(lifecycle.KNOWN_WORDS - lifecycle.OURS)) + "`, or one that "
    "is new.",
}
_TAGS: Schema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{commands.TAG_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "maxLength": commands.MAX_TAG_VALUE},
    "maxProperties": commands.MAX_TAGS,
}

_ORDER: Mapping[str, Schema] = {
    "id": UUID,
    "client_order_id": TEXT,
    "broker_order_id": nullable(TEXT),
    "account_id": TEXT,
    "environment": TEXT,
    "status": _STATUS,
    "final": FLAG,
    "reason": nullable(TEXT),
    "seq": {**COUNT, "description": "The journal entry that changed it last."},
    "symbol": TEXT,
    "asset_class": TEXT,
    "order_class": TEXT,
    "type": TEXT,
    "order_type": TEXT,
    "side": word(*commands.SIDES),
    "qty": nullable(DECIMAL),
    "notional": nullable(DECIMAL),
    "limit_price": nullable(DECIMAL),
    "stop_price": nullable(DECIMAL),
    "trail_price": nullable(DECIMAL),
    "trail_percent": nullable(DECIMAL),
    "time_in_force": TEXT,
    "extended_hours": FLAG,
    "position_intent": nullable(TEXT),
    "filled_qty": DECIMAL,
    "filled_avg_price": nullable(DECIMAL),
    "legs": nullable(listed(ANYTHING)),
    "replaces": nullable(UUID),
    "replaced_by": nullable(UUID),
    "batch_id": nullable(UUID),
    "tags": {"type": "object", "additionalProperties": TEXT},
    "created_at": INSTANT,
    "not_after": {
        **nullable(INSTANT),
        "description": "Not sent after this. What Alpaca holds is not ended by it.",
    },
    "submitted_at": nullable(TEXT),
    "updated_at": INSTANT,
    "filled_at": nullable(TEXT),
    "expired_at": nullable(TEXT),
    "canceled_at": nullable(TEXT),
    "failed_at": nullable(TEXT),
}

_STAGE = record(
    {
        "stage": word(*STAGES),
        "ms": {**NUMBER, "description": "Milliseconds since it was received."},
        "at": INSTANT,
        "attempt": COUNT,
    },
    optional=("at", "attempt"),
)
_ATTEMPT = record(
    {
        "n": COUNT,
        "kind": TEXT,
        "process": TEXT,
        "sent_at": INSTANT,
        "ms": nullable(NUMBER),
        "outcome": nullable(TEXT),
        "http_status": nullable(WHOLE),
        "broker_request_id": nullable(TEXT),
    }
)
_EXECUTION: Mapping[str, Schema] = {
    "execution_id": TEXT,
    "at": {**TEXT, "description": "The broker's own text, nanoseconds and all."},
    "qty": DECIMAL,
    "price": DECIMAL,
    "source": TEXT,
}


_HALT: Mapping[str, Schema] = {
    "id": UUID,
    "scope": word("global", "account", "symbol"),
    "account_id": nullable(TEXT),
    "symbol": nullable(TEXT),
    "mode": word("halt", "reduce_only"),
    "cancel_orders": FLAG,
    "reason": TEXT,
    "set_by": TEXT,
    "set_at": INSTANT,
    "lifted_by": nullable(TEXT),
    "lifted_at": nullable(INSTANT),
    "lifted_reason": nullable(TEXT),
}


def _asked_decimal(about: str) -> Schema:
    text = {"type": "string", "pattern": f"^({commands.DECIMAL.pattern})$"}
    number = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**12}
    return {"anyOf": [text, number], "description": about}


_ASKED: Mapping[str, Schema] = {
    "symbol": {"type": "string", "pattern": f"^{commands.SYMBOL.pattern}$"},
    "side": word(*commands.SIDES),
    "time_in_force": word(*commands.TIMES_IN_FORCE),
    "extended_hours": nullable({**FLAG, "default": False}),
    "order_class": nullable(word("", "simple")),
    "client_order_id": {
        **nullable({"type": "string", "pattern": f"^(?!op1-){commands.CLIENT_ORDER_ID.pattern}$"}),
        "description": "Unique in the account for ever. Without a key it is the key.",
    },
    "tags": nullable(_TAGS),
    "not_after": {
        **nullable(INSTANT),
        "description": "Not sent after this instant, 24 hours ahead at most. Unset: 10 s for a "
        "market order, 60 s for others.",
    },
}
_MAY_BE_ABSENT = ("extended_hours", "order_class", "client_order_id", "tags", "not_after")
_NULL: Schema = {"type": "null"}
_NAME_OF = {
    "market": "StockMarketOrderRequest",
    "limit": "StockLimitOrderRequest",
    "stop": "StockStopOrderRequest",
    "stop_limit": "StockStopLimitOrderRequest",
    "trailing_stop": "StockTrailingStopOrderRequest",
}
_ABOUT_PRICE = {
    "limit_price": "In USD.",
    "stop_price": "In USD: the order waits until the market comes to it.",
    "trail_price": "In USD away from the best price since the order was submitted.",
    "trail_percent": "Per cent away from the best price since the order was submitted.",
}


def _exactly_one(names: Iterable[str]) -> Schema:
    """One of these decimals is there, the others absent or null."""

    def only(name: str) -> Schema:
        given = {"type": ["string", "number"]}
        properties = {each: given if each == name else _NULL for each in names}
        return {"required": [name], "properties": properties, "additionalProperties": True}

    return {"oneOf": [only(name) for name in names]}


_SIZES = {
    "qty": "Shares, or a part of one. A number is read as the text it was written in.",
    "notional": "USD, in place of shares.",
}
_TRAIL_ABOUT = {name: _ABOUT_PRICE[name] for name in commands.TRAILS}


def _request(kind: str) -> Schema:
    """What a request of one type holds: prices that are not of this type are absent or null."""
    needed = commands.PRICES_OF.get(kind, ())
    either = [_SIZES] if kind in commands.PRICES_OF else [_SIZES, _TRAIL_ABOUT]
    properties = {"type": word(kind), **_ASKED, **dict.fromkeys(commands.PRICES, _NULL)}
    properties |= {name: _asked_decimal(_ABOUT_PRICE[name]) for name in needed}
    for choice in either:
        properties |= {name: nullable(_asked_decimal(about)) for name, about in choice.items()}
    optional = [name for name in (*commands.PRICES, *_SIZES) if name not in needed]
    return {
        **record(properties, optional=(*_MAY_BE_ABSENT, *optional)),
        "allOf": [_exactly_one(each) for each in either],
        "additionalProperties": False,
    }


COMPONENTS: Mapping[str, Schema] = {
    **{name: _request(kind) for kind, name in _NAME_OF.items()},
    "StockOrderRequest": {
        "oneOf": [ref(name) for name in _NAME_OF.values()],
        "discriminator": {
            "propertyName": "type",
            "mapping": {kind: f"#/components/schemas/{name}" for kind, name in _NAME_OF.items()},
        },
        "examples": [
            {
                "symbol": "AAPL",
                "side": "buy",
                "type": "limit",
                "time_in_force": "day",
                "qty": "10",
                "limit_price": "187.25",
            }
        ],
    },
    "Order": record(_ORDER),
    "AcceptedOrder": record(
        {
            **_ORDER,
            "hint": {**TEXT, "description": "Sent without a key: a repeat is a second order."},
        },
        optional=("hint",),
    ),
    "OrderDetail": record(
        {
            **_ORDER,
            "problem": nullable(ref("Problem")),
            "timeline": listed(_STAGE),
            "attempts": listed(_ATTEMPT),
            "executions": listed(record(_EXECUTION)),
        }
    ),
    "Orders": page("orders", "Order"),
    "HaltRequest": {
        **record(
            {
                "scope": word("global", "account", "symbol"),
                "account_id": {
                    **nullable(TEXT),
                    "description": "Of an account's halt; of a symbol's: in this account alone.",
                },
                "symbol": {**nullable(TEXT), "description": "Of a symbol's halt."},
                "mode": {
                    **nullable({**word("halt", "reduce_only"), "default": "halt"}),
                    "description": "`reduce_only` lets orders go that make a position smaller.",
                },
                "reason": {"type": "string", "minLength": 1, "maxLength": 200},
                "cancel_orders": {
                    **nullable({**FLAG, "default": False}),
                    "description": "Cancel also what is open.",
                },
            },
            optional=("account_id", "symbol", "mode", "cancel_orders"),
        ),
        "additionalProperties": False,
        "examples": [{"scope": "account", "account_id": "account_001", "reason": "odd orders"}],
    },
    "Halt": record(_HALT),
    "Halts": page("halts", "Halt", marked=False),
    "HaltSet": record(
        {
            **_HALT,
            "in_flight": {
                **listed(
                    record(
                        {
                            "account_id": TEXT,
                            "order_id": UUID,
                            "client_order_id": TEXT,
                            "symbol": TEXT,
                            "side": word(*commands.SIDES),
                            "claimed_at": INSTANT,
                        }
                    )
                ),
                "description": "Claimed before it was set, not answered yet: it may reach the "
                "broker.",
            },
        }
    ),
    "CanceledOrders": record(
        {
            "summary": record(
                {"items": COUNT, "canceled": COUNT, "requested": COUNT, "refused": COUNT}
            ),
            "results": listed(
                record(
                    {
                        "index": COUNT,
                        "account_id": TEXT,
                        "client_order_id": TEXT,
                        "order_id": UUID,
                        "status": {
                            **WHOLE,
                            "description": "200 canceled, never sent; 202 the broker is asked; "
                            "else refused, and why is in `problem`.",
                        },
                        "order": ref("Order"),
                        "problem": ref("Problem"),
                    },
                    optional=("order", "problem"),
                )
            ),
        }
    ),
    "OrderEvents": page("entries", "JournalEntry"),
    "Fill": record(
        {
            "account_id": TEXT,
            "order_id": UUID,
            "symbol": TEXT,
            "side": word(*commands.SIDES),
            "position_qty": nullable(DECIMAL),
            **_EXECUTION,
        }
    ),
    "Fills": page("fills", "Fill"),
    "Reconciliation": record(
        {
            "account_id": TEXT,
            "in_agreement": FLAG,
            "compared": COUNT,
            "differing": listed(ANYTHING),
            "external": listed(TEXT),
            "missing_at_broker": listed(TEXT),
            "fills_short": listed(TEXT),
            **MARK,
        }
    ),
}
