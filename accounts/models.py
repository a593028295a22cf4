"""Accounts, their sealed keys, who owns them now, and one journal for each."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

# The journal of what concerns no single account, or what an account's trader may not see.
SYSTEM_JOURNAL = "_system"


class Account(models.Model):
    """One brokerage account as the roster describes it. Rows are disabled, never deleted."""

    class Type(models.TextChoices):
        MASTER = "master"
        TRADING = "trading"
        DATA = "data"
        BACKUP = "backup"

    class Environment(models.TextChoices):
        SANDBOX = "sandbox"
        PAPER = "paper"
        LIVE = "live"

    class Priority(models.TextChoices):
        HIGH = "high"
        NORMAL = "normal"
        LOW = "low"

    class DataPlan(models.TextChoices):
        """What the account's data subscription allows: feed, calls a minute, symbols."""

        BASIC = "basic"
        PLUS = "plus"

    account_id = models.CharField(primary_key=True, max_length=64)
    account_type = models.CharField(max_length=16, choices=Type.choices)
    environment = models.CharField(max_length=16, choices=Environment.choices)
    # Root of the sandbox; empty for paper and live, whose hosts are fixed in the broker room.
    url = models.CharField(max_length=200, blank=True, default="")
    priority = models.CharField(max_length=8, choices=Priority.choices, default=Priority.NORMAL)
    max_connections = models.PositiveSmallIntegerField(default=5)
    data_plan = models.CharField(max_length=8, choices=DataPlan.choices, default=DataPlan.BASIC)
    enabled = models.BooleanField(default=True)
    # Disabled, and its open orders are still followed to their end by a desk.
    closing = models.BooleanField(default=False)
    key_version = models.PositiveIntegerField(default=1)
    # The roster version that last changed this row: every process reloads what is newer.
    roster_version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    # Since when, and why, the operator lets it send nothing new (custody.py); null: it may.
    suspended_at = models.DateTimeField(null=True)
    suspended_reason = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null: it may

    class Meta:
        ordering = ["account_id"]
        # What the admin's operators may do beyond reading (roles.py).
        permissions = [("suspend_account", "Can suspend and resume account")]
        constraints = [
            models.CheckConstraint(
                name="a_suspended_account_says_why",
                condition=models.Q(suspended_at=None, suspended_reason=None)
                | models.Q(suspended_at__isnull=False, suspended_reason__isnull=False),
            ),
            models.CheckConstraint(
                name="type_priority_and_data_plan_are_known_words",
                condition=models.Q(
                    account_type__in=["master", "trading", "data", "backup"],
                    priority__in=["high", "normal", "low"],
                    data_plan__in=["basic", "plus"],
                ),
            ),
            models.CheckConstraint(
                name="account_id_is_plain",
                condition=models.Q(account_id__regex=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"),
            ),
        ]

    def __str__(self) -> str:
        return self.account_id


class Credential(models.Model):
    """One version of an account's key pair, sealed (vault.py). The clear text is nowhere else."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credentials")
    version = models.PositiveIntegerField()
    master_key_id = models.CharField(max_length=32)
    # The account's data key, wrapped by the master key; then each field under the data key.
    wrapped_data_key = models.BinaryField()
    sealed_api_key = models.BinaryField()
    sealed_secret_key = models.BinaryField()
    # The first two and last four characters of the api key: enough to recognise, too little to use.
    hint = models.CharField(max_length=16)
    # Keyed digest of the api key (vault.fingerprint_of): finds duplicates, reveals nothing.
    fingerprint = models.CharField(max_length=64)
    # When the key pair came; when it was last sealed anew (rotation.py).
    created_at = models.DateTimeField(db_default=Now())
    sealed_at = models.DateTimeField(db_default=Now())
    # When replace_key took the pair out of use: no file and no rollback brings it back. Null: not.
    retired_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "version"], name="one_credential_a_version"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} v{self.version} {self.hint}"


class Rotation(models.Model):
    """One run of `rotate_secrets`, which a killed one leaves open for the next to finish.

    What was sealed since `began_at` is done.
    """

    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    actor = models.CharField(max_length=128)
    reason = models.CharField(max_length=200)
    master_key_id = models.CharField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                models.Value(1),
                name="one_rotation_at_a_time",
                condition=models.Q(ended_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"rotation {self.pk} to {self.master_key_id}"


class RosterVersion(models.Model):
    """One import of the account file that changed something; its number is the roster's version."""

    version = models.AutoField(primary_key=True)
    imported_at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=128)
    source = models.CharField(max_length=255)
    summary = models.JSONField()

    class Meta:
        ordering = ["-version"]
        # What the admin's operators may do beyond reading (roles.py).
        permissions = [("reload_roster", "Can import the account file again")]

    def __str__(self) -> str:
        return f"roster {self.version}"


class AccountRevision(models.Model):
    """An account as one roster version left it: with the earlier ones, what a rollback reads.

    Only accounts that a version changed have a revision of it. Never changed, never deleted.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="revisions")
    version = models.ForeignKey(RosterVersion, on_delete=models.PROTECT, related_name="revisions")
    account_type = models.CharField(max_length=16)
    url = models.CharField(max_length=200, blank=True)
    priority = models.CharField(max_length=8)
    max_connections = models.PositiveSmallIntegerField()
    data_plan = models.CharField(max_length=8)
    enabled = models.BooleanField()
    key_version = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "version"], name="one_revision_of_an_account_a_version"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} in roster {self.version_id}"


class Halt(models.Model):
    """An order to send nothing new, or only what reduces: of everything, an account, a symbol.

    Read inside the claim (trading/halts.py); lifted, never deleted. A symbol's halt without an
    account is about the symbol in all of them.
    """

    class Scope(models.TextChoices):
        GLOBAL = "global"
        ACCOUNT = "account"
        SYMBOL = "symbol"

    class Mode(models.TextChoices):
        HALT = "halt"
        REDUCE_ONLY = "reduce_only"

    id = models.UUIDField(primary_key=True)
    scope = models.CharField(max_length=8, choices=Scope.choices)
    account_id = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null: all
    symbol = models.CharField(max_length=32, null=True)  # noqa: DJ001 - null: all
    mode = models.CharField(max_length=16, choices=Mode.choices)
    # Open orders that came before this instant are cancelled while it stands; null: none are.
    cancel_before = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200)
    # Who set it: `principal` with a token's subject, or `staff` with a login.
    actor_kind = models.CharField(max_length=16)
    actor = models.CharField(max_length=128)
    set_at = models.DateTimeField(db_default=Now())
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=128, null=True)  # noqa: DJ001 - null: it stands
    lifted_reason = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null: none given

    class Meta:
        ordering = ["-id"]
        permissions = [("set_halt", "Can set and lift halts")]
        constraints = [
            # Each who set one lifts his own: the other's stands.
            models.UniqueConstraint(
                fields=["scope", "account_id", "symbol", "mode", "actor_kind", "actor"],
                name="one_standing_halt_of_one_actor",
                condition=models.Q(lifted_at=None),
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="a_halt_names_what_its_scope_says",
                condition=models.Q(scope="global", account_id=None, symbol=None)
                | models.Q(scope="account", account_id__isnull=False, symbol=None)
                | models.Q(scope="symbol", symbol__isnull=False),
            ),
            models.CheckConstraint(
                name="a_halt_s_mode_is_a_known_word",
                condition=models.Q(mode__in=["halt", "reduce_only"]),
            ),
            models.CheckConstraint(
                name="a_lifted_halt_says_by_whom",
                condition=models.Q(lifted_at=None, lifted_by=None)
                | models.Q(lifted_at__isnull=False, lifted_by__isnull=False),
            ),
        ]
        indexes = [
            # What claims and acceptances look into: as small as there are halts standing.
            models.Index(
                fields=["account_id"],
                name="standing_halts",
                condition=models.Q(lifted_at=None),
            ),
        ]

    def __str__(self) -> str:
        of = " ".join(filter(None, (self.symbol, self.account_id))) or "everything"
        return f"{self.mode} of {of}"


# The row of limits that hold wherever an account's own row says nothing.
DEFAULT_LIMITS = "*"


class Limits(models.Model):
    """What an account may order at most (trading/risk.py); null is no limit.

    The row DEFAULT_LIMITS holds for all accounts, value by value, where their own has none.
    """

    account_id = models.CharField(primary_key=True, max_length=64)
    # Grows by one with each change: an order judged by older limits is judged anew.
    version = models.PositiveBigIntegerField()
    max_quantity = models.DecimalField(max_digits=21, decimal_places=9, null=True)
    max_notional = models.DecimalField(max_digits=21, decimal_places=9, null=True)
    orders_per_minute = models.PositiveIntegerField(null=True)
    orders_per_day = models.PositiveIntegerField(null=True)
    symbols_allowed = ArrayField(models.CharField(max_length=32), null=True)
    symbols_denied = ArrayField(models.CharField(max_length=32), null=True)
    duplicate_seconds = models.PositiveIntegerField(null=True)
    changed_at = models.DateTimeField(db_default=Now())
    changed_by = models.CharField(max_length=128)
    reason = models.CharField(max_length=200)

    class Meta:
        ordering = ["account_id"]
        verbose_name_plural = "limits"
        permissions = [("set_limits", "Can set risk limits")]

    def __str__(self) -> str:
        return "every account" if self.account_id == DEFAULT_LIMITS else self.account_id


class AccountState(models.Model):
    """What the account's desk last saw: written by its owner only, read by everybody."""

    class State(models.TextChoices):
        WARMING = "warming"
        READY = "ready"
        SUSPECT = "suspect"
        QUARANTINED = "quarantined"
        DISABLED = "disabled"

    class Stream(models.TextChoices):
        CLOSED = "closed"
        CONNECTING = "connecting"
        LISTENING = "listening"
        LOST = "lost"
        THROTTLED = "throttled"
        UNAUTHORIZED = "unauthorized"

    class Breaker(models.TextChoices):
        CLOSED = "closed"
        OPEN = "open"
        HALF_OPEN = "half-open"

    account = models.OneToOneField(
        Account, on_delete=models.PROTECT, primary_key=True, related_name="state"
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.WARMING)
    state_reason = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null is "no reason"
    state_since = models.DateTimeField(db_default=Now())
    checked_at = models.DateTimeField(null=True)
    check_ms = models.FloatField(null=True)
    # Alpaca's account object as last read, and the trading budget its headers told.
    broker_account = models.JSONField(null=True)
    budget = models.JSONField(null=True)
    stream_state = models.CharField(max_length=16, choices=Stream.choices, default=Stream.CLOSED)
    stream_last_message_at = models.DateTimeField(null=True)
    reconciled_at = models.DateTimeField(null=True)

    # Whether new orders can be sent in time, as the desk last told (standings.py).
    breaker = models.CharField(max_length=16, choices=Breaker.choices, default=Breaker.CLOSED)
    # Until when nothing goes whatever the budget has left: a breaker's pause, the broker's 429.
    rests_until = models.DateTimeField(null=True)
    waiting = models.PositiveIntegerField(default=0)
    # Orders that may go at once; null: plenty.
    submits_left = models.PositiveIntegerField(null=True)
    # The share of its deadline an order has waited that could have gone; null: none to speak of.
    overdue = models.FloatField(null=True)
    # When one of these, or the state, changed: the other processes read what is newer.
    told_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["told_at"], name="standings_by_age")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.state}"


class Lease(models.Model):
    """Which desk owns an account. `fence` grows with each new owner; times are the database's."""

    account = models.OneToOneField(
        Account, on_delete=models.PROTECT, primary_key=True, related_name="lease"
    )
    owner = models.CharField(max_length=64)
    fence = models.BigIntegerField(default=1)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["owner"], name="lease_by_owner")]

    def __str__(self) -> str:
        return f"{self.account_id} held by {self.owner}"


class FeedLease(models.Model):
    """Which market process owns a data socket of an account, and how that socket is.

    Of one kind all accounts have one owner (marketdata/leases.py). Times are the database's; what
    is said of the socket is its owner's word.
    """

    class Kind(models.TextChoices):
        STOCK = "stock"
        OPTION = "option"

    class State(models.TextChoices):
        # Not used: another account carries the symbols.
        CLOSED = "closed"
        CONNECTING = "connecting"
        LISTENING = "listening"
        LOST = "lost"
        # Refused for being too many connections, or too soon.
        THROTTLED = "throttled"
        UNAUTHORIZED = "unauthorized"
        # The account's plan does not hold the feed.
        REFUSED = "refused"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="feed_leases")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    owner = models.CharField(max_length=64)
    fence = models.BigIntegerField(default=1)
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.CLOSED)
    state_since = models.DateTimeField(db_default=Now())
    reason = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null is "no reason"
    feed = models.CharField(max_length=16, null=True)  # noqa: DJ001 - null: it is not used
    symbols = models.PositiveIntegerField(default=0)
    last_message_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "kind"], name="one_owner_of_an_account_s_data_socket"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} socket of {self.account_id} held by {self.owner}"


class DeskPresence(models.Model):
    """A desk that is alive, with or without accounts: how many there are decides a fair share."""

    owner = models.CharField(primary_key=True, max_length=64)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.owner


class ProcessRow(models.Model):
    """One process's snapshot for `GET pool`, written each 5 s (api.md §7)."""

    name = models.CharField(primary_key=True, max_length=64)
    role = models.CharField(max_length=16)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    snapshot = models.JSONField()

    def __str__(self) -> str:
        return self.name


class JournalHead(models.Model):
    """The last number and hash of one journal. Only the SQL function `journal_append` moves it."""

    account_id = models.CharField(primary_key=True, max_length=64)
    seq = models.BigIntegerField(default=0)
    hash = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.account_id} at {self.seq}"


class JournalEntry(models.Model):
    """One entry: append-only, gapless `seq`, hash-chained (design.md §3, law 2).

    `body` is the exact text that was hashed. `order_id` repeats the body's, as an index.
    """

    id = models.BigAutoField(primary_key=True)
    account_id = models.CharField(max_length=64)
    seq = models.BigIntegerField()
    recorded_at = models.DateTimeField()
    kind = models.CharField(max_length=64)
    order_id = models.UUIDField(null=True)
    canon = models.PositiveSmallIntegerField(default=1)
    body = models.TextField()
    prev_hash = models.BinaryField()
    hash = models.BinaryField()

    class Meta:
        ordering = ["account_id", "seq"]
        verbose_name_plural = "journal entries"
        constraints = [
            models.UniqueConstraint(fields=["account_id", "seq"], name="one_entry_a_number"),
        ]
        indexes = [
            models.Index(
                fields=["order_id", "seq"],
                name="entries_of_an_order",
                condition=models.Q(order_id__isnull=False),
            ),
            # What became of the account itself: few entries among those of its orders.
            models.Index(
                fields=["account_id", "seq"],
                name="entries_of_no_order",
                condition=models.Q(order_id__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} #{self.seq} {self.kind}"


class Subject(models.Model):
    """What this gateway knows of a token's subject, beyond what its tokens say."""

    sub = models.CharField(primary_key=True, max_length=128)
    # Networks (CIDR) it may come from; none: from anywhere.
    allowed_ips = models.JSONField(default=list)
    # As if its tokens' `rate_limits` said so; the smaller of both holds. Null: none.
    rate_limits = models.JSONField(null=True)
    note = models.CharField(max_length=200, default="", blank=True)
    # To the minute; null: never since the row is there.
    last_seen_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["sub"]

    def __str__(self) -> str:
        return self.sub


class AccountNetworks(models.Model):
    """From where an account may be reached; without a row from anywhere."""

    account = models.OneToOneField(
        Account, on_delete=models.PROTECT, primary_key=True, related_name="networks"
    )
    allowed_ips = models.JSONField()
    updated_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.account_id} from {', '.join(self.allowed_ips)}"


class DeniedToken(models.Model):
    """A token, or every token of a subject, that is refused although it is good (denials.py)."""

    class Kind(models.TextChoices):
        JTI = "jti"
        SUB = "sub"

    kind = models.CharField(max_length=3, choices=Kind.choices)
    value = models.CharField(max_length=128)
    # Null: until it is lifted.
    until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200)
    actor = models.CharField(max_length=128)
    denied_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "value"], name="one_denial_of_a_token"),
            models.CheckConstraint(
                name="a_denial_is_of_a_jti_or_a_sub",
                condition=models.Q(kind__in=["jti", "sub"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class AccessVersion(models.Model):
    """One row, counted up with each change of the three tables above: what every process polls."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(name="there_is_one_access_version", condition=models.Q(id=1)),
        ]

    def __str__(self) -> str:
        return f"access {self.version}"
