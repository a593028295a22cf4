"""When the sandbox trades: always, by New York's sessions, or not at all."""

from typing import Literal

from sandbox.instants import SECOND, from_datetime
from sandbox.orders import TimeInForce
from sandbox.refusals import RefusedError, forbidden
from sandbox.sessions import (
    NEW_YORK,
    is_session_open,
    new_york,
    next_closing,
    next_opening,
)

Mode = Literal["always-open", "real", "closed"]
# From and until: hours and minutes.
Window = tuple[tuple[int, int], tuple[int, int]]

# A GTC order ends 90 days later at 16:15 New York time ([DOC] orders-at-alpaca).
GTC_DAYS = 90
DAY = 86_400 * SECOND
# New York times (hour, minute) between which auction orders are refused.
OPG_SHUT = ((9, 28), (19, 0))
CLS_SHUT = ((15, 50), (19, 0))


class Hours:
    """The market's opening hours under one mode.

    Real hours have auctions; the others have them where `auctions` says so: on-open orders then
    trade when the market is opened, on-close orders when it is closed.
    """

    def __init__(self, mode: Mode, *, auctions: bool = False) -> None:
        self.mode: Mode = mode
        self.has_auctions = auctions or mode == "real"

    def is_open(self, at: int) -> bool:
        """Whether orders trade at the instant."""
        if self.mode == "real":
            return is_session_open(at)
        return self.mode == "always-open"

    def expiry(self, time_in_force: TimeInForce, at: int) -> int:
        """When an order accepted at the instant ends: the next closing bell, or 90 days on."""
        if time_in_force != "gtc":
            return from_datetime(next_closing(at))
        last = new_york(at + GTC_DAYS * DAY)
        return from_datetime(
            last.replace(hour=16, minute=15, second=0, microsecond=0, tzinfo=NEW_YORK)
        )

    def check_auction(self, time_in_force: TimeInForce, at: int) -> None:
        """Refuse auction orders too late for their auction.

        Raises:
            RefusedError: 403, with the window in the message.
        """
        if time_in_force == "opg" and self._is_too_late(OPG_SHUT, at, otherwise=self.is_open(at)):
            raise _too_late("opg orders cannot be submitted between 9:28am and 7:00pm ET")
        if time_in_force == "cls" and self._is_too_late(CLS_SHUT, at, otherwise=False):
            raise _too_late("cls orders cannot be submitted between 3:50pm and 7:00pm ET")

    def _is_too_late(self, window: Window, at: int, *, otherwise: bool) -> bool:
        if self.mode == "real":
            return _is_within(window, at)
        return self.has_auctions and otherwise

    def render_clock(self, at: int) -> dict[str, object]:
        """The body of GET /v2/clock; instants carry New York's offset."""
        moment = new_york(at)
        offset = moment.isoformat()[-6:]
        return {
            "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{at % SECOND:09d}{offset}",
            "is_open": self.is_open(at),
            "next_open": next_opening(at).isoformat(),
            "next_close": next_closing(at).isoformat(),
        }


def _is_within(window: Window, at: int) -> bool:
    moment = new_york(at)
    start, end = window
    return start <= (moment.hour, moment.minute) < end


def _too_late(message: str) -> RefusedError:
    return forbidden(message)
