"""The account file's shape: a strict tree in, accounts out, with every complaint at once."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import urlsplit

from accounts.claims import ACCOUNT_ID
from accounts.models import Account
from accounts.roster.document import BadRoster, Complaint, Items, Node, Scalar, Table, read_document

# R5 asks for 5 an account; the seeds' own example says 10. Above this it is a slip.
MAX_CONNECTIONS = 100

ACCOUNT_FIELDS = (
    "account_id",
    "account_type",
    "environment",
    "url",
    "alpaca_credentials",
    "connection_pool",
)
CREDENTIAL_FIELDS = ("api_key", "secret_key", "paper_trading")
POOL_FIELDS = ("max_connections", "priority")
REFERENCES = ("env:NAME", "file:PATH")

# Alpaca's keys are letters and digits, secrets may be base64; no colon: that is a reference.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_./+=-]{1,128}")
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\x00]{1,1024}")
_COUNT = re.compile(r"[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class Policy:
    """What this installation lets a file say.

    `plain_refused` is why keys outside the sandbox may not stand in clear; None: they may.
    """

    allow_live: bool
    plain_refused: str | None


@dataclass(frozen=True, slots=True)
class Lines:
    """Where an account stands in the file, for complaints that are found later."""

    account: int
    environment: int
    api_key: int
    secret_key: int


@dataclass(frozen=True, slots=True)
class RosterAccount:
    """One account as the file describes it.

    `api_key` and `secret_key` are plain, or `env:NAME` or `file:PATH` until references are
    resolved. `path` is `accounts[3]`. `url` is the sandbox's origin, empty elsewhere.
    """

    account_id: str
    account_type: str
    environment: str
    url: str
    priority: str
    max_connections: int
    api_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    path: str = field(compare=False)
    lines: Lines = field(compare=False, repr=False)

    def with_keys(self, api_key: str, secret_key: str) -> "RosterAccount":
        """The same account with its keys in clear."""
        return replace(self, api_key=api_key, secret_key=secret_key)


class Found(NamedTuple):
    """A value of the file and its line."""

    value: str
    line: int


def parse(raw: bytes, policy: Policy) -> list[RosterAccount]:
    """Read an account file. Raises BadRoster with every complaint: line, key, allowed values."""
    root = read_document(raw)
    complaints: list[Complaint] = []
    top = _Fields(root, "", complaints)
    items = top.items("accounts")
    top.refuse_others(("accounts",))
    accounts = [
        _account(_Fields(node, f"accounts[{place}]", complaints), policy)
        for place, node in enumerate(items)
    ]
    whole = [account for account in accounts if account is not None]
    complaints += twice(whole, "account_id") + twice(whole, "api_key")
    if complaints:
        raise BadRoster(complaints)
    return whole


def twice(accounts: Sequence[RosterAccount], name: str) -> list[Complaint]:
    """Complain about each account_id or api_key that an earlier account has already.

    The value itself is never shown: it may be a key.
    """
    first: dict[str, RosterAccount] = {}
    complaints = []
    for account in accounts:
        before = first.setdefault(getattr(account, name), account)
        if before is not account:
            line = account.lines.api_key if name == "api_key" else account.lines.account
            where = f"{before.path}, line {before.lines.account}"
            key = f"{account.path}.{'alpaca_credentials.' if name == 'api_key' else ''}{name}"
            complaints.append(Complaint(line, key, f"the same value as in {where}"))
    return complaints


def _account(fields: "_Fields", policy: Policy) -> RosterAccount | None:
    """Read one account; None where a complaint was made of it."""
    before = len(fields.complaints)
    account_id = fields.text(
        "account_id", ACCOUNT_ID.fullmatch, "letters, digits, _ and -, 1 to 64"
    )
    account_type = fields.choice("account_type", Account.Type.values)
    keys = fields.table("alpaca_credentials", required=True)
    environment = _environment(fields, keys, policy)
    api_key, secret_key = (_key(keys, name, environment, policy) for name in CREDENTIAL_FIELDS[:2])
    url = _url(fields, environment.value)
    pool = fields.table("connection_pool")
    priority = pool.choice("priority", Account.Priority.values, default="normal")
    max_connections = pool.count("max_connections", MAX_CONNECTIONS, default=5)
    fields.refuse_others(ACCOUNT_FIELDS)
    keys.refuse_others(CREDENTIAL_FIELDS)
    pool.refuse_others(POOL_FIELDS)
    if len(fields.complaints) > before:
        return None
    return RosterAccount(
        account_id=account_id.value,
        account_type=account_type.value,
        environment=environment.value,
        url=url,
        priority=priority.value,
        max_connections=max_connections,
        api_key=api_key.value,
        secret_key=secret_key.value,
        path=fields.path,
        lines=Lines(fields.line, environment.line, api_key.line, secret_key.line),
    )


def _environment(fields: "_Fields", keys: "_Fields", policy: Policy) -> Found:
    """Read `environment`, or the older `paper_trading: true|false` as paper or live."""
    paper = keys.boolean("paper_trading")
    older = Found("paper" if paper.value == "true" else "live", paper.line) if paper.value else None
    if older is not None and "environment" not in fields:
        environment = older
    else:
        environment = fields.choice("environment", Account.Environment.values)
    if older is not None and environment.value not in {"", older.value}:
        keys.complain("paper_trading", "it contradicts `environment`: keep one of them")
    if environment.value == "live" and not policy.allow_live:
        fields.complain_at(
            environment.line,
            "environment",
            "live accounts need OPITIOS_ALLOW_LIVE=true",
            ("sandbox", "paper"),
        )
    return environment


def _key(keys: "_Fields", name: str, environment: Found, policy: Policy) -> Found:
    found = keys.text(name, _is_key, "a key of visible characters, or one of", REFERENCES)
    plain = bool(found.value) and not _REFERENCE.fullmatch(found.value)
    if plain and environment.value in {"paper", "live"} and policy.plain_refused is not None:
        keys.complain(name, policy.plain_refused, REFERENCES)
    return found


def _is_key(value: str) -> bool:
    return bool(_PLAIN_KEY.fullmatch(value) or _REFERENCE.fullmatch(value))


def _url(fields: "_Fields", environment: str) -> str:
    if environment == "sandbox":
        found = fields.text("url", is_loopback, "a loopback origin such as http://127.0.0.1:8092")
        return found.value.rstrip("/")
    if environment and "url" in fields:
        fields.complain("url", "only a sandbox has a url: the hosts of paper and live are fixed")
    return ""


def is_loopback(url: str) -> bool:
    """Say whether a URL is an origin on this machine: http, a loopback host, nothing after it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    origin = f"http://{shown}" if port is None else f"http://{shown}:{port}"
    return url.removesuffix("/") == origin and _is_loopback_host(host)


def _is_loopback_host(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Fields:
    """Reads one mapping's fields, each by its rule; complaints are collected, never raised."""

    def __init__(self, node: Node | None, path: str, complaints: list[Complaint]) -> None:
        self.path = path
        self.complaints = complaints
        self.line = node.line if node is not None else 1
        self._table = node if isinstance(node, Table) else Table(self.line)
        if node is not None and not isinstance(node, Table):
            complaints.append(Complaint(self.line, path, "a mapping (key: value) belongs here"))
            self.readable = False
        else:
            self.readable = node is not None

    def __contains__(self, name: str) -> bool:
        return name in self._table.values

    def complain(self, name: str, message: str, allowed: Sequence[str] = ()) -> None:
        """Complain about a field, at its line."""
        self.complain_at(self._table.lines.get(name, self.line), name, message, allowed)

    def complain_at(self, line: int, name: str, message: str, allowed: Sequence[str] = ()) -> None:
        """Complain about a field, at a given line."""
        key = f"{self.path}.{name}".lstrip(".")
        self.complaints.append(Complaint(line, key, message, tuple(allowed)))

    def refuse_others(self, known: Sequence[str]) -> None:
        """Complain about each field that is not known."""
        for name in self._table.lines.keys() - set(known):
            self.complain(name, "unknown field", known)

    def text(
        self,
        name: str,
        accepts: Callable[[str], object],
        rule: str,
        allowed: Sequence[str] = (),
    ) -> Found:
        """Read a required text. An unquoted word that YAML takes for something else is refused."""
        scalar = self._scalar(name, required=True)
        if scalar is None:
            return Found("", self.line)
        if scalar.tag != "str":
            self.complain(name, f"YAML reads this as {scalar.tag}: put it in quotes", allowed)
        elif not accepts(scalar.value):
            self.complain(name, f"it must be {rule}", allowed)
        else:
            return Found(scalar.value, scalar.line)
        return Found("", scalar.line)

    def choice(self, name: str, allowed: Sequence[str], *, default: str | None = None) -> Found:
        """Read one of a closed list of words."""
        scalar = self._scalar(name, required=default is None, allowed=allowed)
        if scalar is None:
            return Found(default or "", self.line)
        if scalar.value in allowed:
            return Found(scalar.value, scalar.line)
        self.complain(name, "not one of the allowed words", allowed)
        return Found("", scalar.line)

    def boolean(self, name: str) -> Found:
        """Read an optional `true` or `false`: the bare words, nothing YAML 1.1 also takes so."""
        scalar = self._scalar(name)
        if scalar is None:
            return Found("", self.line)
        if scalar.tag == "bool" and scalar.value in {"true", "false"}:
            return Found(scalar.value, scalar.line)
        self.complain(name, "it must be a bare true or false", ("true", "false"))
        return Found("", scalar.line)

    def count(self, name: str, most: int, *, default: int) -> int:
        """Read an optional whole number from 1, in plain decimal digits."""
        scalar = self._scalar(name)
        if scalar is None:
            return default
        if scalar.tag == "int" and _COUNT.fullmatch(scalar.value) and int(scalar.value) <= most:
            return int(scalar.value)
        self.complain(name, "it must be a whole number", (f"1 to {most}",))
        return default

    def table(self, name: str, *, required: bool = False) -> "_Fields":
        """Read a nested mapping; one that is absent reads as empty."""
        node = self._table.values.get(name)
        if node is None and required and self.readable:
            self.complain(name, "required")
        return _Fields(node, f"{self.path}.{name}", self.complaints)

    def items(self, name: str) -> list[Node]:
        """Read a required list with at least one element."""
        node = self._table.values.get(name)
        if isinstance(node, Items) and node.values:
            return node.values
        if self.readable:
            self.complain(name, "a list with at least one account belongs here")
        return []

    def _scalar(
        self, name: str, *, required: bool = False, allowed: Sequence[str] = ()
    ) -> Scalar | None:
        node = self._table.values.get(name)
        if isinstance(node, Scalar) and node.tag != "null":
            return node
        if node is not None:
            self.complain(name, "a single value belongs here", allowed)
        elif required and self.readable:
            self.complain(name, "required", allowed)
        return None
