"""Orders, the attempts to send them, and their fills.

Rows are written by orders.py (acceptance) and executions.py (after it), each write with its journal
entry in one SQL function (law 1). Times the broker told are kept as its own text: Python would cut
their nanoseconds.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from trading.lifecycle import plain


class Exact(models.DecimalField):  # type: ignore[type-arg]
    """A Postgres `numeric` without scale: 10 stays 10 and 187.25 stays 187.25."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 38)
        kwargs.setdefault("decimal_places", 9)
        super().__init__(*args, **kwargs)

    def db_type(self, connection: Any) -> str:
        """Name the column type."""
        return "numeric"


class Order(models.Model):
    """One order. Column names are the API's (api.md §3), so a journal entry can become a row."""

    class Source(models.TextChoices):
        API = "api"
        EXTERNAL = "external"

    id = models.UUIDField(primary_key=True)
    account_id = models.CharField(max_length=64)
    environment = models.CharField(max_length=16)
    client_order_id = models.CharField(max_length=128)
    broker_order_id = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null: not known yet
    status = models.CharField(max_length=32)
    final = models.BooleanField()
    reason = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null: none
    # The journal number of the last change: the row's version, checked by every later change.
    seq = models.BigIntegerField()

    symbol = models.CharField(max_length=32)
    asset_class = models.CharField(max_length=16)
    order_class = models.CharField(max_length=16)
    type = models.CharField(max_length=16)
    side = models.CharField(max_length=8)
    qty = Exact(null=True)
    notional = Exact(null=True)
    limit_price = Exact(null=True)
    stop_price = Exact(null=True)
    trail_price = Exact(null=True)
    trail_percent = Exact(null=True)
    time_in_force = models.CharField(max_length=8)
    extended_hours = models.BooleanField()
    position_intent = models.CharField(max_length=24, null=True)  # noqa: DJ001 - null: not given
    filled_qty = Exact()
    filled_avg_price = Exact(null=True)
    legs = models.JSONField(null=True)
    replaces = models.UUIDField(null=True)
    replaced_by = models.UUIDField(null=True)
    batch_id = models.UUIDField(null=True)
    tags = models.JSONField()

    created_at = models.DateTimeField()
    not_after = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()
    submitted_at = models.CharField(max_length=40, null=True)  # noqa: DJ001 - null: not yet
    filled_at = models.CharField(max_length=40, null=True)  # noqa: DJ001 - null: not yet
    expired_at = models.CharField(max_length=40, null=True)  # noqa: DJ001 - null: not yet
    canceled_at = models.CharField(max_length=40, null=True)  # noqa: DJ001 - null: not yet
    failed_at = models.CharField(max_length=40, null=True)  # noqa: DJ001 - null: not yet

    # From here on: ours alone, not part of the API's order.
    source = models.CharField(max_length=16, choices=Source.choices)
    subject = models.CharField(max_length=128)
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - null: no key
    # Who asked: sub, act, jti, permissions, ip. Copied into every later entry of the order.
    principal = models.JSONField(null=True)
    fingerprint = models.CharField(max_length=64)
    checked_ms = models.FloatField()
    attempts = models.PositiveIntegerField()
    # Some attempt's outcome was not known: then only the broker can say it is absent.
    ambiguous = models.BooleanField()
    cancel_requested_at = models.DateTimeField(null=True)
    broker_updated_at = models.CharField(max_length=40, null=True)  # noqa: DJ001 - null: not yet
    # The problem the broker answered, where it refused the order.
    refusal = models.JSONField(null=True)
    # The fills we hold do not add up to filled_qty: the reconciler completes them.
    fills_short = models.BooleanField(db_default=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "client_order_id"], name="one_order_a_client_order_id"
            ),
            models.UniqueConstraint(
                fields=["subject", "account_id", "idempotency_key"],
                name="one_order_a_key",
                condition=models.Q(idempotency_key__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["account_id", "broker_order_id"],
                name="one_order_a_broker_order_id",
                condition=models.Q(broker_order_id__isnull=False),
            ),
            models.CheckConstraint(
                name="filled_qty_is_not_negative", condition=models.Q(filled_qty__gte=0)
            ),
            models.CheckConstraint(
                name="our_own_final_orders_say_why",
                condition=~models.Q(status__in=["denied", "lapsed"])
                | models.Q(reason__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["account_id", "-created_at", "-id"], name="orders_of_an_account"),
            models.Index(
                fields=["account_id", "created_at", "id"],
                name="orders_not_settled",
                condition=models.Q(final=False),
            ),
            # What desks poll for ten times a second: small, whatever the table's size.
            models.Index(
                fields=["account_id", "created_at", "id"],
                name="orders_to_send",
                condition=models.Q(status="queued"),
            ),
            models.Index(
                fields=["cancel_requested_at"],
                name="cancels_to_send",
                condition=models.Q(final=False, cancel_requested_at__isnull=False),
            ),
            models.Index(
                fields=["updated_at"],
                name="orders_with_short_fills",
                condition=models.Q(fills_short=True),
            ),
            models.Index(
                fields=["updated_at"],
                name="orders_to_look_up",
                condition=models.Q(status__in=["submitting", "unknown"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.side} {self.size} {self.symbol} {self.status}"

    @property
    def size(self) -> str:
        """How much was asked for: shares, or `USD 500`; empty where the broker tells neither."""
        if self.notional is not None:
            return f"USD {plain(self.notional)}"
        return "" if self.qty is None else plain(self.qty)

    @property
    def prices(self) -> str:
        """What its type asks of the price: `187.25`, `190 / 191` (stop and limit), `1.5%`."""
        prices = (self.stop_price, self.limit_price, self.trail_price)
        texts = [plain(price) for price in prices if price is not None]
        if self.trail_percent is not None:
            texts.append(f"{plain(self.trail_percent)}%")
        return " / ".join(texts)


class Attempt(models.Model):
    """One call to the broker about an order: written at the claim, completed by its outcome."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="attempt_rows")
    n = models.PositiveIntegerField()
    kind = models.CharField(max_length=16)
    process = models.CharField(max_length=64)
    sent_at = models.DateTimeField()
    ms = models.FloatField(null=True)
    outcome = models.CharField(max_length=32, null=True)  # noqa: DJ001 - null: not known yet
    http_status = models.PositiveSmallIntegerField(null=True)
    broker_request_id = models.CharField(max_length=128, null=True)  # noqa: DJ001 - null: none came

    class Meta:
        ordering = ["order", "n"]
        constraints = [
            models.UniqueConstraint(fields=["order", "kind", "n"], name="one_attempt_a_number"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.n} of {self.order_id}"


class Fill(models.Model):
    """One execution, keyed by the broker's execution id."""

    account_id = models.CharField(max_length=64)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    execution_id = models.CharField(max_length=64)
    # The broker's own text of the time, nanoseconds and all; recorded_at is ours, for paging.
    at = models.CharField(max_length=40)
    recorded_at = models.DateTimeField()
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=8)
    qty = Exact()
    price = Exact()
    position_qty = Exact(null=True)
    # stream: told by the broker; synthesised: stands for what the broker filled and did not tell;
    # bust and correct: new rows that take a fill back or change it.
    source = models.CharField(max_length=16)
    # The execution that came after all: a synthesised fill counts no more from then on.
    superseded_by = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null: it counts

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "execution_id"], name="one_fill_an_execution"
            ),
        ]
        indexes = [models.Index(fields=["account_id", "-id"], name="fills_of_an_account")]

    def __str__(self) -> str:
        return f"{self.qty} {self.symbol} at {self.price}"


class Search(models.Model):
    """The search for an order whose outcome is not known: one schedule for all who look it up.

    Kept by order_change (begun, ended) and search_take (planned); it outlives every process. An
    order that lapsed although it may have been sent is searched for a day more, ever more rarely.
    """

    order = models.OneToOneField(
        Order, on_delete=models.PROTECT, primary_key=True, related_name="search"
    )
    account_id = models.CharField(max_length=64)
    # Since when the order is unknown, or lapsed: no byte of it left after that.
    began_at = models.DateTimeField()
    # Null: it is over.
    next_at = models.DateTimeField(null=True)
    # Since it began: look-ups begun, and those the broker answered with 404.
    looked_up = models.PositiveIntegerField()
    not_found = models.PositiveIntegerField()
    # How often the order was put back after being proven absent.
    resent = models.PositiveIntegerField()

    class Meta:
        indexes = [
            models.Index(
                fields=["next_at"],
                name="look_ups_to_do",
                condition=models.Q(next_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id} looked up {self.looked_up} times"


class RecentLookUps(models.Model):
    """When an account's look-ups of the last minute were, by all processes together."""

    account_id = models.CharField(max_length=64, primary_key=True)
    at = ArrayField(models.DateTimeField())

    def __str__(self) -> str:
        return f"{len(self.at)} look-ups of {self.account_id}"


class OrderCount(models.Model):
    """How many orders an account, or a token's subject, had accepted: today, and of late.

    Kept by order_count, and only where a limit asks for it. `day` is New York's. `stamp` is that of
    the limits it was counted under: under others an account's orders are counted anew.
    """

    class Of(models.TextChoices):
        ACCOUNT = "account"
        SUBJECT = "subject"

    of = models.CharField(max_length=8, choices=Of.choices)
    name = models.CharField(max_length=128)
    day = models.DateField()
    orders = models.PositiveIntegerField()
    recent = ArrayField(models.DateTimeField())
    stamp = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["of", "name"], name="one_count_of_each"),
        ]

    def __str__(self) -> str:
        return f"{self.orders} orders of {self.of} {self.name} on {self.day}"
