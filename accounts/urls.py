"""Paths of the accounts room, under /api/v1/."""

from django.urls import path

from accounts import api, reloading

urlpatterns = [
    path("pool", api.PoolView.as_view(), name="pool"),
    path("token", api.TokenOwnView.as_view(), name="token"),
    path("limits", api.LimitsView.as_view(), name="limits"),
    path("accounts", api.AccountsView.as_view(), name="accounts"),
    path("accounts/reload", reloading.ReloadView.as_view(), name="accounts-reload"),
    path("accounts/<str:account_id>/account", api.BrokerAccountView.as_view(), name="account"),
    path(
        "accounts/<str:account_id>/account/configurations",
        api.ConfigurationsView.as_view(),
        name="account-configurations",
    ),
    path(
        "accounts/<str:account_id>/portfolio/history",
        api.PortfolioHistoryView.as_view(),
        name="portfolio-history",
    ),
    path("accounts/<str:account_id>/activities", api.ActivitiesView.as_view(), name="activities"),
    path("accounts/<str:account_id>/positions", api.PositionsView.as_view(), name="positions"),
    path(
        "accounts/<str:account_id>/positions/<str:symbol>",
        api.PositionView.as_view(),
        name="position",
    ),
    path("accounts/<str:account_id>/journal", api.JournalView.as_view(), name="journal"),
]
