"""Does every client find what it was told? Nothing accepted is lost, nothing is stored twice."""

import json
from collections.abc import Iterator

from tests.campaigns.story import Row, Story
from tests.campaigns.traffic import TAG, Sent
from trading import lifecycle

ASKED = ("account_id", "symbol", "side", "type", "time_in_force", "qty", "limit_price")
# The gateway was away until the order's own deadline had passed: then, and only then, 422.
TOO_LATE = "invalid-order"
# A DELETE's answer: certainly never sent, and asked of the broker (api.md §1).
NEVER_SENT, CANCEL_TAKEN = 200, 202


def disagreements(story: Story) -> Iterator[str]:
    """Compare what clients asked and were told with our rows."""
    commands = {order.name: order for order in story.sent}
    stored: dict[str, list[Row]] = {}
    for row in story.books.orders:
        name = str(row["tags"].get(TAG))
        stored.setdefault(name, []).append(row)
        if row["source"] != "api":
            yield f"{row['client_order_id']} came from the broker: nobody here had sent it (I2)"
        elif name not in commands:
            yield f"{row['client_order_id']} is stored and no client asked for it"
    for name, order in commands.items():
        yield from _of_command(order, stored.get(name, []))


def _of_command(order: Sent, rows: list[Row]) -> Iterator[str]:
    if len(rows) > 1:
        yield f"{order.name} is stored {len(rows)} times (G2)"
    if order.answers:
        yield from _of_answer(order, rows)
    elif order.refused is None:
        yield f"{order.name} never had an answer"
    if order.refused is not None:
        yield from _of_refusal(order, rows)


def _of_answer(order: Sent, rows: list[Row]) -> Iterator[str]:
    if len(set(order.answers)) > 1:
        yield f"{order.name} was answered in different bytes (I11)"
    if order.order_ids - {str(row["id"]) for row in rows}:
        yield f"{order.name} was answered 202 and is lost (G1)"
    answer = json.loads(order.answers[0])
    asked = {**order.body, "account_id": order.account_id}
    for row in rows:
        for name in ASKED:
            if not answer[name] == asked.get(name) == _text(row[name]):
                yield f"{order.name} asked {name} {asked.get(name)}, stored is {row[name]}"
        yield from _of_cancel(order, row)


def _of_cancel(order: Sent, row: Row) -> Iterator[str]:
    if order.cancel_status == CANCEL_TAKEN and row["status"] not in lifecycle.FINAL:
        yield f"{order.name}: its cancel was taken, and it is {row['status']}"
    if order.cancel_status == NEVER_SENT and row["reason"] != "canceled-before-send":
        yield f"{order.name} was told that it was never sent, and it is {row['status']}"


def _of_refusal(order: Sent, rows: list[Row]) -> Iterator[str]:
    if rows:
        yield f"{order.name} was refused ({order.refused}), and it is stored"
    if order.refused != TOO_LATE or "not_after" not in order.body:
        yield f"{order.name} was refused: {order.refused}"


def _text(value: object) -> object:
    return None if value is None else str(lifecycle.text_of(value))
