"""Settings: environment > .env > secret files > YAML."""

import hashlib
import json
import os
import re
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, NoReturn
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

ROOT = Path(__file__).resolve().parents[2]

# A password that is shorter is found by anybody who guesses; nothing can be searched for it.
SHORTEST_SECRET = 12

Role = Literal["web", "stream", "desk", "market", "worker", "beat", "none"]

# RFC 8725 §3.2: what may sign a token here at all; JWT_ALGORITHMS makes it fewer.
Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"]
# Our claims that may have another name in an issuer's tokens. Times, `iss` and `aud` have none.
Claim = Literal[
    "sub",
    "jti",
    "act",
    "account_id",
    "account_ids",
    "account_scope",
    "account_type",
    "permissions",
    "rate_limits",
]


def _files(variable: str, default: str) -> str:
    return os.environ.get(variable, str(ROOT / default))


class JwtKey(BaseModel):
    """One key of the token ring.

    `key` is the shared secret (HS…, as long as the hash) or the public key in PEM (RS256;
    ES256, P-256; EdDSA, Ed25519). `private_key`: only where `mint_token` runs. `fleet`: its
    tokens may say `account_scope: all`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kid: str = Field(min_length=1, max_length=64)
    alg: Algorithm
    key: SecretStr
    private_key: SecretStr | None = None
    fleet: bool = False


class Timers(BaseModel):
    """Every wait of the gateway, in seconds. Tests run them at a tenth."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    # design.md §1: a desk renews its leases each second and is dead after three.
    lease_renew: float = 1.0
    lease_valid: float = 3.0
    # The poll that remains when hints are lost with Redis (design.md §1).
    queue_poll: float = 0.1
    # R5: every account is checked each 30 s.
    account_check: float = 30.0
    # design.md §4: books are compared each 15 s while orders are open.
    reconcile: float = 15.0
    # Three look-ups over this long must find nothing before an order counts as absent.
    absent_after: float = 30.0
    # A desk does a look-up that is overdue for so long: then no worker does it.
    look_up_overdue: float = 2.0
    # design.md §4: an order unknown for so long needs a person's attention.
    attention_after: float = 600.0
    # How often a worker sends itself a task; it ends when three in a row do not arrive.
    canary: float = 10.0
    # api.md §7: each process writes its pool row each 5 s.
    pool_row: float = 5.0
    # How often a desk tells the other processes what holds an account's orders back.
    standing: float = 0.5
    # design.md §5: a key refused once is tried again so soon; three refusals within the window are
    # a quarantine, in which it is tried again ever more rarely.
    suspect_check: float = 3.0
    denied_window: float = 60.0
    quarantine_probe: float = 30.0
    quarantine_probe_longest: float = 300.0
    # reliability.md §2.2: over which calls a breaker judges, and how long it then stays open.
    breaker_window: float = 10.0
    breaker_ambiguous_window: float = 30.0
    breaker_open: float = 5.0
    # How long an account rests after a 429 that does not say, and after a call that got no
    # connection.
    throttled_rest: float = 5.0
    not_sent_rest: float = 0.25
    # R3: a changed roster is known everywhere in less than 2 s.
    roster_poll: float = 0.5
    # design.md §4: the sockets of 1000 accounts connect spread over this long, not all at once.
    stream_spread: float = 30.0
    # How late a client hears of an entry whose push was lost with Redis: within a second, the
    # reading included.
    stream_poll: float = 0.5
    # api.md §8: refused attempts are counted over so long before one entry tells of them.
    refusal_window: float = 60.0
    # api.md §6: the beat of a client's socket, and how long it may stay without a token.
    stream_heartbeat: float = 15.0
    stream_auth: float = 5.0
    # reliability.md G14: a denied token is refused everywhere in less than 5 s.
    access_poll: float = 1.0
    # How often the issuer's key set is read, and how soon again for a key it did not have.
    jwks_refresh: float = 300.0
    jwks_cooldown: float = 30.0
    # How often the market process looks what is wanted, where a hint was lost.
    feed_poll: float = 1.0
    # A data socket that says nothing for so long is asked about: is the market quiet, or it mute?
    feed_silence: float = 10.0
    # One that does not listen for so long: its symbols go to another account.
    feed_failover: float = 2.0
    # alpaca-wire.md §3c: after "connection limit exceeded" nothing is tried for so long.
    feed_reaped: float = 90.0


class InboundLimits(BaseModel):
    """How much may be asked of the gateway (R23). None: not limited there.

    A subject is limited in each account by itself; market data has no account. docs/limits.md.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # design.md §6: what protects the machine holds everywhere, what R23 asks beyond it is chosen.
    requests_per_second: PositiveInt | None = 2000
    account_per_second: PositiveInt | None = 100
    subject_per_minute: PositiveInt | None = None
    subject_orders_per_minute: PositiveInt | None = None
    subject_market_data_per_second: PositiveInt | None = None
    quotes_per_minute: PositiveInt | None = None
    orders_per_minute: PositiveInt | None = None
    positions_per_minute: PositiveInt | None = None
    # Of a subject in an account, and apart from everything else: reads and orders use none of it.
    cancels_per_second: PositiveInt | None = 100
    # Halts and what else an operator does: of a subject.
    controls_per_second: PositiveInt | None = 20


class Config(BaseSettings):
    """What an operator may set. `OPITIOS_X` unless a plainer name is given."""

    model_config = SettingsConfigDict(
        env_prefix="OPITIOS_",
        env_nested_delimiter="__",
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        # What is missing is named; what is there may be a secret.
        hide_input_in_errors=True,
    )

    secret_key: SecretStr = Field(validation_alias="SECRET_KEY")
    debug: bool = Field(default=False, validation_alias="DEBUG")
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default=["localhost", "127.0.0.1", "[::1]"], validation_alias="ALLOWED_HOSTS"
    )
    # Origins other than the admin's own whose forms it takes: `https://staff.example`.
    csrf_trusted_origins: Annotated[list[str], NoDecode] = Field(
        default=[], validation_alias="CSRF_TRUSTED_ORIGINS"
    )
    # How long a browser that came over TLS comes by nothing else.
    hsts_seconds: int = Field(default=365 * 24 * 3600, ge=0, validation_alias="SECURE_HSTS_SECONDS")
    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    database_owner_url: SecretStr | None = Field(
        default=None, validation_alias="DATABASE_OWNER_URL"
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"), validation_alias="REDIS_URL"
    )
    log_level: str = Field(default="INFO", validation_alias="LOG_LEVEL")
    # Where a browser finds the stream, `wss://host:port/ws/v1/stream`; unset: where the admin is.
    stream_url: str | None = None

    role: Role = "none"
    process: str = Field(default_factory=lambda: f"process-{os.getpid()}")
    environment_name: str = "production"
    demo: bool = False
    allow_live: bool = False
    # Ids of start-up checks that end no start here (core/startup.py says which may be named).
    accepted_findings: Annotated[list[str], NoDecode] = []
    # What `import_accounts` and `POST accounts/reload` read where no file is named.
    accounts_file: Path | None = None

    # "k2:<base64 of 32 bytes>,k1:<…>": the first seals, all of them open.
    master_keys: SecretStr
    jwt_keys: list[JwtKey] = []
    jwt_audience: str | None = Field(default=None, validation_alias="JWT_AUDIENCE")
    jwt_issuer: str | None = Field(default=None, validation_alias="JWT_ISSUER")
    jwt_algorithms: Annotated[list[Algorithm], NoDecode] = Field(
        default=["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"],
        validation_alias="JWT_ALGORITHMS",
    )
    # Our name of a claim to the issuer's: {"account_ids": "https://issuer/accounts"}.
    jwt_claims: dict[Claim, str] = Field(default={}, validation_alias="JWT_CLAIMS")
    # The `typ` a token's header must have; unset: "JWT" or none.
    jwt_typ: str | None = Field(default=None, validation_alias="JWT_TYP")
    jwt_require_jti: bool = Field(default=False, validation_alias="JWT_REQUIRE_JTI")
    # The issuer's public keys, read in the background (accounts/jwks.py).
    jwt_jwks_url: str | None = Field(default=None, validation_alias="JWT_JWKS_URL")
    # Which of them may say `account_scope: all`.
    jwt_jwks_fleet_kids: Annotated[list[str], NoDecode] = Field(
        default=[], validation_alias="JWT_JWKS_FLEET_KIDS"
    )
    # Networks whose X-Forwarded-For is believed (core/client_address.py).
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default=[], validation_alias="TRUSTED_PROXIES"
    )

    # Connections of one process to Postgres: threads that hold one at a time, and some for loops.
    database_pool_max: int = 16
    # Threads of one web worker; at most a quarter of them hold a request that waits.
    web_threads: int = 16
    # R5: at most 5 connections an account and 2000 in all.
    connections_per_account: int = 5
    connections_in_all: int = 2000
    # design.md §6: Alpaca allows an account 200 calls a minute. Its desk may make so many of them,
    # the other processes together so many. A broker that allows more (its headers tell) may be
    # asked more.
    desk_calls_per_minute: int = Field(default=140, ge=1)
    read_calls_per_minute: int = Field(default=60, ge=1)
    # What the live feed listens to. Unset: `sip` and `opra` where an account's data plan is plus,
    # else `iex` and `indicative`.
    stock_feed: Literal["iex", "sip", "delayed_sip"] | None = None
    option_feed: Literal["indicative", "opra"] | None = None
    # Threads that send orders; unset: clamp(accounts / 5, 20, 200).
    desk_senders: int | None = None
    # Entries of one account that a client's stream replays at most; who missed more reads by REST.
    stream_replay: int = Field(default=10_000, ge=0)
    # Sockets of a stream process, and of one subject at it: what bounds its memory and descriptors.
    stream_sockets: PositiveInt = 4000
    stream_sockets_per_subject: PositiveInt = 1000

    limits: InboundLimits = InboundLimits()
    timers: Timers = Timers()

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("settings hold secrets and are never pickled")

    @field_validator(
        "accepted_findings",
        "allowed_hosts",
        "csrf_trusted_origins",
        "jwt_algorithms",
        "jwt_jwks_fleet_kids",
        "trusted_proxies",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [part.strip() for part in value.split(",") if part.strip()]

    @field_validator("stream_url")
    @classmethod
    def _is_a_socket(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"wss?://[A-Za-z0-9.:\[\]-]+/[A-Za-z0-9/_.-]*", value):
            raise ValueError("OPITIOS_STREAM_URL is written wss://host:port/ws/v1/stream")
        return value or None

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for text in value:
            ip_network(text)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put YAML last: env > .env > secret files > YAML."""
        yaml = YamlConfigSettingsSource(
            settings_cls, yaml_file=_files("OPITIOS_YAML_FILE", "opitios.yaml")
        )
        return init_settings, env_settings, dotenv_settings, file_secret_settings, yaml


@lru_cache(maxsize=1)
def get_config() -> Config:
    """Read the settings once a process.

    Raises pydantic.ValidationError, naming each key that is missing or wrong.
    """
    return read_config()


def read_config() -> Config:
    """Read the settings anew. Raises as get_config does."""
    return Config(_env_file=_env_files(), _secrets_dir=os.environ.get("OPITIOS_SECRETS_DIR"))


def settings_age() -> tuple[int, ...]:
    """When each file that holds settings was last written; 0 for one that is not there."""
    return tuple(_written_at(file) for file in _settings_files())


def _settings_files() -> list[Path]:
    return [Path(file) for file in (*_env_files(), _files("OPITIOS_YAML_FILE", "opitios.yaml"))]


def _env_files() -> tuple[str, Path]:
    return _files("OPITIOS_ENV_FILE", ".run/settings.env"), ROOT / ".env"


def _written_at(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def secret_files(config: Config) -> list[Path]:
    """The files that secrets are read from, whether they are there or not."""
    folder = os.environ.get("OPITIOS_SECRETS_DIR")
    found = _settings_files() + (sorted(Path(folder).glob("*")) if folder else [])
    return [*found, config.accounts_file] if config.accounts_file else found


def secret_values(config: Config) -> list[str]:
    """Every secret of the settings that a text could be searched for, the longest first.

    Shorter ones than a dozen characters are ordinary words; those are for start-up checks to say.
    """
    urls = (config.database_url, config.database_owner_url, config.redis_url)
    words = [urlsplit(url.get_secret_value()).password or "" for url in urls if url is not None]
    found = [config.secret_key.get_secret_value(), *words, *map(unquote, words)]
    ring = config.master_keys.get_secret_value().split(",")
    found += [part.partition(":")[2].strip() or part.strip() for part in ring]
    for key in config.jwt_keys:
        # A public key is none; a PEM is searched for line by line, as it would be written.
        secrets = [key.private_key, key.key if key.alg.startswith("HS") else None]
        found += [line for each in secrets if each for line in each.get_secret_value().split("\n")]
    kept = {each for each in found if len(each) >= SHORTEST_SECRET and not each.startswith("-----")}
    return sorted(kept, key=len, reverse=True)


@lru_cache(maxsize=1)
def config_sha256() -> str:
    """The fingerprint of the settings in force, secrets left out: each journal entry names it."""
    shown = get_config().model_dump(mode="json")
    text = json.dumps({k: v for k, v in shown.items() if "**" not in str(v)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
