"""Paths of the market data room, under /api/v1/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
