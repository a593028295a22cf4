"""Paths of the trading room, under /api/v1/."""

from django.urls import path

from trading import api, haltviews

urlpatterns = [
    # Tried in this order: the path that is asked most comes first.
    path(
        "accounts/<str:account_id>/orders/stocks",
        api.StockOrdersView.as_view(),
        name="stock-orders",
    ),
    path("accounts/<str:account_id>/orders", api.OrdersView.as_view(), name="orders"),
    path(
        "accounts/<str:account_id>/orders:by_client_order_id",
        api.OrderByClientIdView.as_view(),
        name="order-by-client-id",
    ),
    path(
        "accounts/<str:account_id>/orders/<str:order_id>",
        api.OrderView.as_view(),
        name="order",
    ),
    path(
        "accounts/<str:account_id>/orders/<str:order_id>/events",
        api.OrderEventsView.as_view(),
        name="order-events",
    ),
    path(
        "accounts/<str:account_id>/reconciliation",
        api.ReconciliationView.as_view(),
        name="reconciliation",
    ),
    path("halts", haltviews.HaltsView.as_view(), name="halts"),
    path("halts/<str:halt_id>", haltviews.HaltView.as_view(), name="halt"),
    path("accounts/<str:account_id>/fills", api.FillsView.as_view(), name="fills"),
]
