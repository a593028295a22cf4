"""What an account was worth over time: its own fills and transfers at the market's past prices."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from sandbox.activities import type_of
from sandbox.amounts import ZERO
from sandbox.exchange import Account
from sandbox.history import Span, windows
from sandbox.hours import Mode
from sandbox.instants import SECOND
from sandbox.market import Market
from sandbox.sessions import new_york, previous_closing


class Worth(NamedTuple):
    """At one instant: cash and shares together, and what of it was paid in."""

    equity: Decimal
    deposited: Decimal


Curve = dict[int, Worth]


def render_history(account: Account, market: Market, span: Span, mode: Mode) -> dict[str, object]:
    """The body of GET /v2/account/portfolio/history; the same books always give the same curve.

    Profit is what the account gained since the closing before the first point (a new account: since
    its opening), within days since each day's closing before; cash paid in is no profit.
    """
    points = windows(span, account.created_at, mode)
    bases = [_base_at(account, span, points, told_at) for _, told_at in points]
    curve = _appraise(account, market, {told_at for _, told_at in points} | set(bases))
    first = bases[0] if bases else account.created_at
    worths = [curve[told_at] for _, told_at in points]
    gains = [_gain(worth, curve[base]) for worth, base in zip(worths, bases, strict=True)]
    return {
        "timestamp": [label // SECOND for label, _ in points],
        "equity": [_cents(worth.equity) for worth in worths],
        "profit_loss": [_cents(gain) for gain in gains],
        "profit_loss_pct": [
            _share(gain, curve[base].equity) for gain, base in zip(gains, bases, strict=True)
        ],
        "base_value": _cents(curve[first].equity) if points else None,
        **_as_of(account, first),
        "timeframe": span.timeframe,
        "cashflow": _cashflow(account, span, [told_at for _, told_at in points]),
    }


def _base_at(account: Account, span: Span, points: Sequence[tuple[int, int]], told_at: int) -> int:
    """The instant a point's profit is counted from."""
    by_day = span.resets_daily and not span.is_daily
    return max(previous_closing(told_at if by_day else points[0][1]), account.created_at)


def _appraise(account: Account, market: Market, instants: Iterable[int]) -> Curve:
    """Walk through the books once, and look at the instants asked for."""
    curve: Curve = {}
    deposited, cash, shares = ZERO, ZERO, dict[str, Decimal]()
    transfers, executions = iter(account.transfers), iter(account.executions)
    transfer, fill = next(transfers, None), next(executions, None)
    for at in sorted(instants):
        while transfer is not None and transfer.at <= at:
            deposited, cash = deposited + transfer.amount, cash + transfer.amount
            transfer = next(transfers, None)
        while fill is not None and fill.at <= at:
            signed = fill.qty if fill.order.side == "buy" else -fill.qty
            cash -= signed * fill.price
            shares[fill.order.symbol] = shares.get(fill.order.symbol, ZERO) + signed
            fill = next(executions, None)
        held = sum((qty * market.price(name, at) for name, qty in shares.items() if qty), ZERO)
        curve[at] = Worth(cash + held, deposited)
    return curve


def _gain(worth: Worth, base: Worth) -> Decimal:
    return worth.equity - base.equity - (worth.deposited - base.deposited)


def _as_of(account: Account, base_at: int) -> dict[str, str]:
    """The closing the base is of; a new account has none."""
    if base_at <= account.created_at:
        return {}
    return {"base_value_asof": new_york(base_at).date().isoformat()}


def _cashflow(account: Account, span: Span, ends: Sequence[int]) -> dict[str, list[float]]:
    flows: dict[str, list[float]] = {}
    for transfer in account.transfers:
        kind = type_of(transfer)
        window = next((index for index, end in enumerate(ends) if transfer.at <= end), None)
        if window is None or transfer.at < span.start or not {kind, "ALL"} & span.cashflows:
            continue
        flows.setdefault(kind, [0.0] * len(ends))[window] += float(transfer.amount)
    return flows


def _cents(amount: Decimal) -> float:
    return round(float(amount), 2)


def _share(part: Decimal, whole: Decimal) -> float:
    return round(float(part / whole), 4) if whole else 0.0
