"""The staff page of the stream. The stream itself is not HTTP: routing.py."""

from django.contrib import admin
from django.urls import path

from streaming import staff

app_name = "stream"

urlpatterns = [
    path("", admin.site.admin_view(staff.page), name="page"),
    path("token", admin.site.admin_view(staff.token), name="token"),
]
