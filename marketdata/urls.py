"""Paths of the market data room, under /api/v1/."""

from django.urls import path

from marketdata import api

urlpatterns = [
    path("stocks/quote/<str:symbol>", api.StockQuoteView.as_view(), name="stock-quote"),
    path("stocks/quotes", api.StockQuotesView.as_view(), name="stock-quotes"),
    path("stocks/trade/<str:symbol>", api.StockTradeView.as_view(), name="stock-trade"),
    path("stocks/snapshot/<str:symbol>", api.StockSnapshotView.as_view(), name="stock-snapshot"),
    path("stocks/snapshots", api.StockSnapshotsView.as_view(), name="stock-snapshots"),
    path("stocks/bars/<str:symbol>", api.StockBarsView.as_view(), name="stock-bars"),
    path("options/chain/<str:symbol>", api.OptionChainView.as_view(), name="option-chain"),
    path("options/quote/<str:occ>", api.OptionQuoteView.as_view(), name="option-quote"),
    path("options/quotes", api.OptionQuotesView.as_view(), name="option-quotes"),
    path("options/contracts", api.OptionContractsView.as_view(), name="option-contracts"),
    path("assets", api.AssetsView.as_view(), name="assets"),
    path("assets/<str:symbol>", api.AssetView.as_view(), name="asset"),
    path("clock", api.ClockView.as_view(), name="clock"),
    path("calendar", api.CalendarView.as_view(), name="calendar"),
]
