"""Which contracts of a chain are asked for: the filters of snapshots and contracts alike."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple, TypeVar

from sandbox.amounts import read_amount
from sandbox.contracts import Contract
from sandbox.data_query import check_word, day_of, read

Bound = TypeVar("Bound", date, Decimal)


class ContractFilter(NamedTuple):
    """What a contract must be; None: anything. Bounds are included."""

    right: str | None
    root: str | None
    expires_on: date | None
    expires_from: date | None
    expires_by: date | None
    strike_from: Decimal | None
    strike_to: Decimal | None

    def wants(self, contract: Contract) -> bool:
        """Whether the contract is asked for."""
        return (
            self.right in {None, contract.right}
            and self.root in {None, contract.root}
            and self.expires_on in {None, contract.expires_on}
            and _lies(contract.expires_on, self.expires_from, self.expires_by)
            and _lies(contract.strike, self.strike_from, self.strike_to)
        )


def read_filter(query: Mapping[str, str]) -> ContractFilter:
    """Read the filters out of a query.

    Raises:
        RefusedError: 400, one of them cannot be read.
    """
    check_word(query, "type", frozenset({"call", "put"}))
    return ContractFilter(
        right=query.get("type") or None,
        root=query.get("root_symbol") or None,
        expires_on=day_of(query, "expiration_date"),
        expires_from=day_of(query, "expiration_date_gte"),
        expires_by=day_of(query, "expiration_date_lte"),
        strike_from=read(query, "strike_price_gte", read_amount),
        strike_to=read(query, "strike_price_lte", read_amount),
    )


def _lies(value: Bound, low: Bound | None, high: Bound | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)
