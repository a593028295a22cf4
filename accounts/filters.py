"""What the lists of staff pages are narrowed by."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter, TextFilter


class AccountFilter(TextFilter):  # type: ignore[misc] # unfold ships no types
    """One account's rows, by its exact id: a list of a thousand accounts would be of no use."""

    title = "account"
    parameter_name = "account"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the account's rows."""
        value = self.value()
        return queryset.filter(account_id=value.strip()) if value else queryset


class WordFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Rows with one of the words that a column may hold.

    The words are named here: asking the table for them would read all of it.
    """

    # The column's name, which is the parameter's as well.
    parameter_name = ""
    words: ClassVar[Sequence[str]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """List the words."""
        return [(word, word) for word in self.words]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows with the word."""
        value = self.value()
        return queryset.filter(**{self.parameter_name: value}) if value else queryset


class DayFilter(RangeDateFilter):  # type: ignore[misc] # unfold ships no types
    """Rows of a range of days in UTC, the first and the last included; either may be left open."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the days' rows; a date that cannot be read narrows nothing."""
        column = self.parameter_name
        first, last = self._day("from"), self._day("to")
        if first is not None:
            queryset = queryset.filter(**{f"{column}__gte": _midnight(first)})
        if last is not None and last < date.max:
            queryset = queryset.filter(**{f"{column}__lt": _midnight(last + timedelta(days=1))})
        return queryset

    def _day(self, side: str) -> date | None:
        text = self.used_parameters.get(f"{self.parameter_name}_{side}") or ""
        try:
            return date.fromisoformat(text)
        except ValueError:
            return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)
