"""The fleet's page: every account as a cell, kept up to date over a view for staff only."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts import fleet, pages
from opitios.core import clock

# The page asks again after so many seconds; processes write their rows as often.
REFRESH_SECONDS = 5

# Each word's tone, and the letter that says the same in a cell: colour never stands alone.
# What is as it should be has none; suspended and halted, being held, differ from suspect.
_MARKS = {"ready": "", "suspended": "H", "halted": "X"}


class ShowsFleet:
    """Gives the accounts' admin the page `fleet/` and the view it is kept up to date by."""

    def get_urls(self) -> list[URLPattern]:
        """Put the two before the paths that take anything for an account's id."""
        site: admin.AdminSite = self.admin_site  # type: ignore[attr-defined] # a ModelAdmin
        ours = [
            path("fleet/", site.admin_view(self.fleet_page), name="accounts_fleet"),
            path("fleet.json", site.admin_view(self.fleet_picture), name="accounts_fleet_picture"),
        ]
        found: list[URLPattern] = super().get_urls()  # type: ignore[misc] # a ModelAdmin
        return ours + found

    def fleet_page(self, request: HttpRequest) -> HttpResponse:
        """Show the page with the picture as it is now."""
        self._allow(request)
        site: admin.AdminSite = self.admin_site  # type: ignore[attr-defined] # a ModelAdmin
        context = site.each_context(request) | {
            "title": "Fleet",
            "picture": fleet.picture(clock.now()),
            "words": _WORDS,
            "refresh_seconds": REFRESH_SECONDS,
        }
        return TemplateResponse(request, "admin/accounts/account/fleet.html", context)

    def fleet_picture(self, request: HttpRequest) -> HttpResponse:
        """Answer with the picture as JSON (fleet.picture)."""
        self._allow(request)
        return JsonResponse(fleet.picture(clock.now()))

    def _allow(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):  # type: ignore[attr-defined] # a ModelAdmin
            raise PermissionDenied


def _words(tones: Any, marks: Any) -> dict[str, dict[str, str]]:
    return {
        str(word): {"tone": tone, "mark": marks.get(word, word[0].upper())}
        for word, tone in tones.items()
    }


_WORDS = {
    "state": _words(pages.STATE_TONES, _MARKS),
    "stream": _words(pages.STREAM_TONES, {"listening": ""}),
    "breaker": _words(pages.BREAKER_TONES, {"closed": ""}),
}
