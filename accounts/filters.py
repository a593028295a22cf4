"""What the lists of staff pages are narrowed by."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

from django.db.models import Max, Model, Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter, TextFilter

from accounts import fleet
from accounts.models import AccountState, JournalHead, Lease
from opitios.core import clock

# Past it there is no midnight, nor a minute after it.
_LAST_DAY = date.max - timedelta(days=1)
# Ids of a table and the times in it grow together but for transactions that overtake each other.
_SLACK = timedelta(minutes=1)


def known_accounts() -> list[str]:
    """Name every account there ever was.

    Tables whose indexes begin with the account are found in by naming all of them: a thousand looks
    at an index are milliseconds, reading a table that grows for ever is not.
    """
    return list(JournalHead.objects.order_by().values_list("pk", flat=True))


def accounts_named(term: str) -> list[str]:
    """Find the account of this id; where there is none, those whose ids begin with it."""
    heads = JournalHead.objects.order_by("pk").filter(pk__startswith=term)
    found = list(heads.values_list("pk", flat=True))
    return [term] if term in found else found


class AccountFilter(TextFilter):  # type: ignore[misc] # unfold ships no types
    """Rows of one account by its id, or of all whose ids begin with what was typed."""

    title = "account"
    parameter_name = "account"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the accounts' rows."""
        value = (self.value() or "").strip()
        return queryset.filter(account_id__in=accounts_named(value)) if value else queryset


class WordFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Rows with one of the words that a column may hold.

    The words are named here: asking the table for them would read all of it.
    """

    parameter_name = ""
    # The column's name, where it is not the parameter's.
    column = ""
    words: ClassVar[Sequence[str]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """List the words."""
        return [(word, word) for word in self.words]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows with the word."""
        value = self.value()
        column = self.column or self.parameter_name
        return queryset.filter(**{column: value}) if value else queryset


class StateFilter(WordFilter):
    """Accounts in one state, as their page shows it."""

    title = "state"
    parameter_name = "state"
    column = "shown_state"
    words = fleet.STATES


class StreamFilter(WordFilter):
    """Accounts whose stream is in one state."""

    title = "stream"
    parameter_name = "stream"
    column = "shown_stream"
    words = AccountState.Stream.values


class BreakerFilter(WordFilter):
    """Accounts whose calls are let through, tried or held back."""

    title = "breaker"
    parameter_name = "breaker"
    column = "shown_breaker"
    words = AccountState.Breaker.values


class OwnerFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Accounts of one desk, or those that no desk owns."""

    title = "lease owner"
    parameter_name = "desk"
    nobody = "nobody"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """List the desks that own something now."""
        held = Lease.objects.filter(expires_at__gt=clock.now()).order_by().values_list("owner")
        desks = {owner.partition("/")[0] for (owner,) in held.distinct()}
        return [(name, name) for name in (*sorted(desks), self.nobody)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the desk's accounts."""
        value = self.value()
        if not value:
            return queryset
        if value == self.nobody:
            return queryset.filter(owner=None)
        return queryset.filter(Q(owner=value) | Q(owner__startswith=f"{value}/"))


class DayFilter(RangeDateFilter):  # type: ignore[misc] # unfold ships no types
    """Rows of a range of days in UTC, the first and the last included; either may be left open."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the days' rows; a date that cannot be read narrows nothing."""
        first, last = self._day("from"), self._day("to")
        if first is not None and first > date.min:
            queryset = self.since(queryset, _midnight(first))
        if last is not None and last < _LAST_DAY:
            queryset = self.before(queryset, _midnight(last + timedelta(days=1)))
        return queryset

    def since(self, queryset: QuerySet[Any], at: datetime) -> QuerySet[Any]:
        """Keep what is not older. The ids say the same, and have an index: they grow with time."""
        column = self.parameter_name
        first = first_id(queryset.model, column, at - _SLACK)
        return queryset.filter(**{f"{column}__gte": at, "pk__gte": first})

    def before(self, queryset: QuerySet[Any], at: datetime) -> QuerySet[Any]:
        """Keep what is older."""
        column = self.parameter_name
        first = first_id(queryset.model, column, at + _SLACK)
        return queryset.filter(**{f"{column}__lt": at, "pk__lt": first})

    def _day(self, side: str) -> date | None:
        text = self.used_parameters.get(f"{self.parameter_name}_{side}") or ""
        try:
            return date.fromisoformat(text)
        except ValueError:
            return None


def first_id(model: type[Model], column: str, at: datetime) -> int:
    """Find the id with which an instant begins, by halving: a few looks at the primary key."""
    rows = model._default_manager.order_by("pk").values_list("pk", column)
    last = model._default_manager.aggregate(last=Max("pk"))["last"] or 0
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        found = rows.filter(pk__gte=middle).first()
        if found is None or found[1] >= at:
            high = middle
        else:
            low = found[0] + 1
    return low


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)
