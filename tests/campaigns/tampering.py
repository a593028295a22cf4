"""Ways to tamper with the honest story, and what the oracle then says."""

from collections.abc import Callable
from typing import Any

from tests.campaigns import honest
from tests.campaigns.oracle import compare
from tests.campaigns.story import Row, Story
from tests.campaigns.traffic import Sent

Tamper = Callable[[Story], None]


def said_of(tamper: Tamper) -> list[str]:
    """What the oracle says of the honest story once it is tampered with."""
    story = honest.story()
    tamper(story)
    return compare(story).disagreements


def row_of(story: Story, name: str) -> Row:
    """Our row of an order."""
    return next(row for row in story.books.orders if row["id"] == name)


def sent_of(story: Story, name: str) -> Sent:
    """A command as its client knows it."""
    return next(order for order in story.sent if order.name == name)


def change(name: str, **columns: Any) -> Tamper:
    """Set columns of a row, and tell nobody."""
    return lambda story: row_of(story, name).update(columns)


def edit(entry: int, part: str, **values: Any) -> Tamper:
    """Change `before` or `after` of one of the filled order's entries."""
    return lambda story: story.books.entries["filled"][entry]["said"][part].update(values)
