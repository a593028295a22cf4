"""Paths of the market data room, under /api/v1/."""

from django.urls import path

from marketdata import api

urlpatterns = [
    path("stocks/quote/<str:symbol>", api.StockQuoteView.as_view(), name="stock-quote"),
]
