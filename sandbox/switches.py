"""The sandbox's own switches: what may be asked for over /sandbox/…, read and checked."""

from decimal import Decimal
from typing import Any, Literal, TypeVar

import msgspec

from sandbox.hours import Mode
from sandbox.keys import is_account_id
from sandbox.matching import DEFAULT_DELAY_MS, MAX_DELAY_MS, FillMode
from sandbox.refusals import RefusedError

# More rounds a second than one event loop can make.
MAX_PER_SECOND = 500

Body = TypeVar("Body", bound=msgspec.Struct)


class MarketSwitch(msgspec.Struct, forbid_unknown_fields=True):
    """POST /sandbox/market: `{"open": true}` (always), `{"open": false}`, or a mode.

    `auctions`: opening and closing by this switch hold the auctions of on-open and on-close orders.
    """

    open: bool | None = None
    mode: Mode | None = None
    auctions: bool = False

    @property
    def wanted(self) -> Mode:
        """The mode asked for."""
        if self.mode is not None:
            return self.mode
        return "closed" if self.open is False else "always-open"


class FillsSwitch(msgspec.Struct, forbid_unknown_fields=True):
    """POST /sandbox/fills: how orders of an account ("*": of all) fill from now on."""

    mode: FillMode = "full"
    delay_ms: int = DEFAULT_DELAY_MS
    account: str = "*"


class LimitsSwitch(msgspec.Struct, forbid_unknown_fields=True):
    """POST /sandbox/limits: requests an account may send in a minute, and whether it matters."""

    enforced: bool
    per_minute: int = 200


class FeedSwitch(msgspec.Struct, forbid_unknown_fields=True):
    """POST /sandbox/feed: how the market data sockets behave. `symbol_limit` 0: none.

    `connections`: of one account to one endpoint. The basic plan hears neither sip nor opra.
    """

    quotes_per_second: float = 5.0
    symbol_limit: int = 0
    connections: int = 1
    plan: Literal["basic", "plus"] = "plus"


class AccountSwitch(msgspec.Struct, forbid_unknown_fields=True):
    """POST /sandbox/accounts: change an account's cash (USD) or its right to sell short."""

    account: str
    cash: Decimal | None = None
    shorting_enabled: bool | None = None


class Pin(msgspec.Struct, forbid_unknown_fields=True):
    """A quote that stands still (USD a share)."""

    bid: Decimal
    ask: Decimal


def read_switch(body: object, kind: type[Body]) -> Body:
    """Read a control body strictly: an unknown field is an error.

    Raises:
        RefusedError: 422 without a code; the message names the field.
    """
    try:
        switch = msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise RefusedError(422, None, str(error)) from error
    if isinstance(switch, FillsSwitch) and not 0 <= switch.delay_ms <= MAX_DELAY_MS:
        raise RefusedError(422, None, f"delay_ms must be from 0 to {MAX_DELAY_MS}")
    if isinstance(switch, FeedSwitch) and not 0 < switch.quotes_per_second <= MAX_PER_SECOND:
        raise RefusedError(422, None, f"quotes_per_second must be from 0 to {MAX_PER_SECOND}")
    if isinstance(switch, AccountSwitch) and not is_account_id(switch.account):
        raise RefusedError(422, None, "account is no account id")
    return switch


def read_pins(body: Any) -> dict[str, Pin | None]:
    """Read POST /sandbox/prices: quotes by symbol, null to let a price move again.

    Raises:
        RefusedError: 422 where the shape is wrong or a bid is not below its ask.
    """
    try:
        pins = msgspec.convert(body, dict[str, Pin | None])
    except msgspec.ValidationError as error:
        raise RefusedError(422, None, str(error)) from error
    for symbol, pin in pins.items():
        if pin is not None and not 0 < pin.bid < pin.ask:
            raise RefusedError(422, None, f"{symbol}: 0 < bid < ask does not hold")
    return pins
