"""The REST face of market data."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from accounts.access import Permission, TokenView
from marketdata import kinds, questions, schema
from marketdata.kinds import Kind
from marketdata.latest import Latest
from marketdata.reads import Question
from marketdata.sources import get_sources
from marketdata.symbols import asset_name, option_symbol, several, stock_symbol
from opitios.core import clock, database, jsontext
from opitios.core.http import answer, answer_bytes, bad_parameter, query_of


class MarketDataView(TokenView):
    """What every view here needs: the permission."""

    permission = Permission.MARKET_DATA


class LatestView(MarketDataView):
    """The last price of one symbol, of the kind a subclass names."""

    endpoint = "quotes"
    kind: ClassVar[Kind]
    is_option: ClassVar[bool] = False

    @classmethod
    def latest(cls) -> Latest:
        """Where its answers are kept."""
        return get_sources().latest(cls.kind)

    def read(self, request: Request, symbol: str) -> HttpResponse:
        """Answer it with its source and age (api.md §6)."""
        feed = feed_of(query_of(request, ("feed",)), self.kind.feeds)
        checked = option_symbol(symbol) if self.is_option else stock_symbol(symbol)
        # What follows may wait for the broker (law 5).
        database.release()
        return answer_bytes(self.latest().one(checked, feed))

    def read_many(self, request: Request, wrapper: str) -> HttpResponse:
        """Answer a map by symbol, and beside it why some are missing."""
        query = query_of(request, ("symbols", "feed"))
        feed = feed_of(query, self.kind.feeds)
        check = option_symbol if self.is_option else stock_symbol
        symbols = several(query.get("symbols"), check)
        database.release()
        rows, errors = self.latest().many(symbols, feed)
        return answer_bytes(
            b'{"%s":{%s},"errors":%s}' % (wrapper.encode(), rows, jsontext.dumps(errors))
        )


class StockQuoteView(LatestView):
    """The last quote of one stock."""

    kind = kinds.QUOTES

    @schema.read_stock_quote
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Answer the quote."""
        return self.read(request, symbol)


class StockQuotesView(LatestView):
    """The last quotes of several stocks."""

    kind = kinds.QUOTES

    @schema.read_stock_quotes
    def get(self, request: Request) -> HttpResponse:
        """Answer the quotes."""
        return self.read_many(request, "quotes")


class StockTradeView(LatestView):
    """The last trade of one stock."""

    kind = kinds.TRADES

    @schema.read_stock_trade
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Answer the trade."""
        return self.read(request, symbol)


class StockSnapshotView(LatestView):
    """The snapshot of one stock."""

    kind = kinds.SNAPSHOTS

    @schema.read_stock_snapshot
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Answer the snapshot."""
        return self.read(request, symbol)


class StockSnapshotsView(LatestView):
    """The snapshots of several stocks."""

    kind = kinds.SNAPSHOTS

    @schema.read_stock_snapshots
    def get(self, request: Request) -> HttpResponse:
        """Answer the snapshots."""
        return self.read_many(request, "snapshots")


class OptionQuoteView(LatestView):
    """The last quote of one contract."""

    kind = kinds.OPTION_QUOTES
    is_option = True

    @schema.read_option_quote
    def get(self, request: Request, occ: str) -> HttpResponse:
        """Answer the quote."""
        return self.read(request, occ)


class OptionQuotesView(LatestView):
    """The last quotes of several contracts."""

    kind = kinds.OPTION_QUOTES
    is_option = True

    @schema.read_option_quotes
    def get(self, request: Request) -> HttpResponse:
        """Answer the quotes."""
        return self.read_many(request, "quotes")


class StockBarsView(MarketDataView):
    """Bars of one stock."""

    @schema.read_stock_bars
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Answer one page."""
        query = query_of(request, tuple(questions.BARS))
        return _answered(questions.bars(stock_symbol(symbol), query, clock.now()))


class OptionChainView(MarketDataView):
    """The option chain of one stock."""

    @schema.read_option_chain
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Answer one page."""
        query = query_of(request, tuple(questions.CHAIN))
        return _answered(questions.chain(stock_symbol(symbol), query))


class OptionContractsView(MarketDataView):
    """Option contracts."""

    @schema.list_option_contracts
    def get(self, request: Request) -> HttpResponse:
        """Answer one page."""
        return _answered(questions.contracts(query_of(request, tuple(questions.CONTRACTS))))


class AssetsView(MarketDataView):
    """The list of assets."""

    @schema.list_assets
    def get(self, request: Request) -> HttpResponse:
        """Answer all of them."""
        return _answered(questions.assets(query_of(request, tuple(questions.ASSETS))))


class AssetView(MarketDataView):
    """One asset."""

    @schema.read_asset
    def get(self, request: Request, symbol: str) -> HttpResponse:
        """Answer the asset."""
        query_of(request, ())
        return _answered(questions.asset(asset_name(symbol)))


class ClockView(MarketDataView):
    """The market's clock."""

    @schema.read_clock
    def get(self, request: Request) -> HttpResponse:
        """Answer the clock."""
        query_of(request, ())
        return _answered(questions.clock())


class CalendarView(MarketDataView):
    """The trading days."""

    @schema.list_calendar
    def get(self, request: Request) -> HttpResponse:
        """Answer the days."""
        return _answered(questions.calendar(query_of(request, tuple(questions.CALENDAR))))


def feed_of(query: Mapping[str, str], feeds: Sequence[str]) -> str:
    """Read `feed`. Raises Problem 400 naming the feeds there are."""
    feed = query.get("feed", feeds[0])
    if feed not in feeds:
        raise bad_parameter("feed", "not-a-feed", "There is no such feed.", feeds)
    return feed


def _answered(question: Question) -> HttpResponse:
    # What follows may wait for the broker (law 5).
    database.release()
    return answer(get_sources().reads.answer(question))
