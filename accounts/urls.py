"""Paths of the accounts room, under /api/v1/."""

from django.urls import path

from accounts import api

urlpatterns = [
    path("pool", api.PoolView.as_view(), name="pool"),
    path("accounts/<str:account_id>/account", api.BrokerAccountView.as_view(), name="account"),
    path("accounts/<str:account_id>/positions", api.PositionsView.as_view(), name="positions"),
    path(
        "accounts/<str:account_id>/positions/<str:symbol>",
        api.PositionView.as_view(),
        name="position",
    ),
    path("accounts/<str:account_id>/journal", api.JournalView.as_view(), name="journal"),
]
