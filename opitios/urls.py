"""Every path, by room."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from opitios import health, metrics
from opitios.core.errors import Problem, Reason
from opitios.core.http import problem_answer

# Tried in this order, here and below: what is asked most comes first.
api: list[URLPattern | URLResolver] = [
    path("", include("trading.urls")),
    path("", include("marketdata.urls")),
    path("", include("accounts.urls")),
    path("health", health.HealthView.as_view(), name="health"),
]

urlpatterns = [
    path("api/v1/", include(api)),
    path("", health.root),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", metrics.MetricsView.as_view(), name="metrics"),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/stream/", include("streaming.urls")),
    path("admin/", admin.site.urls),
]


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a path that does not exist."""
    return problem_answer(Problem(Reason.NOT_FOUND, "There is no such path."), request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django itself could not read."""
    return problem_answer(Problem(Reason.MALFORMED, "The request could not be read."), request)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a staff page that may not be seen."""
    return problem_answer(Problem(Reason.FORBIDDEN, "This page is not for this login."), request)


def failed(request: HttpRequest) -> HttpResponse:
    """Answer what nobody foresaw: never a stack trace."""
    return problem_answer(Problem(Reason.INTERNAL), request)


handler400 = "opitios.urls.bad_request"
handler403 = "opitios.urls.forbidden"
handler404 = "opitios.urls.not_found"
handler500 = "opitios.urls.failed"
