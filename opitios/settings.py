"""Django's settings, made from opitios.core.config. Nothing is decided twice."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from opitios import __version__
from opitios.core import logs
from opitios.core.config import get_config, secret_values
from opitios.core.database import COMMAND_SECONDS, SERVING_SECONDS, settings_from_url

config = get_config()
BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = config.secret_key.get_secret_value()
DEBUG = config.debug
ALLOWED_HOSTS = config.allowed_hosts
ROOT_URLCONF = "opitios.urls"
WSGI_APPLICATION = "opitios.wsgi.application"
ASGI_APPLICATION = "opitios.asgi.application"

# Who serves no pages imports none of them: a third of beat's memory.
_HAS_PAGES = config.role in {"web", "none"}
_ADMIN = "django.contrib.admin" if _HAS_PAGES else "django.contrib.admin.apps.SimpleAdminConfig"

INSTALLED_APPS = [
    # For `runserver` with sockets alone; it brings Twisted, which takes half a second.
    *(["daphne"] if "runserver" in sys.argv else []),
    "unfold",
    "unfold.contrib.filters",
    _ADMIN,
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    *(["axes"] if _HAS_PAGES else []),
    "opitios.apps.OpitiosConfig",
    "accounts.apps.AccountsConfig",
    "trading.apps.TradingConfig",
    "marketdata.apps.MarketdataConfig",
    "streaming.apps.StreamingConfig",
]

# Every request pays for these two; staff pages get the full stack below on top.
MIDDLEWARE = ["opitios.core.middleware.RequestFloor", "opitios.core.middleware.StaffStack"]
STAFF_PREFIXES = ("/admin", "/static/")
STAFF_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # The last: it answers in place of what a locked-out sign-in was answered.
    "axes.middleware.AxesMiddleware",
]

# These look for the admin's middleware in MIDDLEWARE; StaffStack runs it around staff pages.
SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409", "admin.E410", "axes.W002"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "opitios" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

_IS_COMMAND = config.role == "none" and Path(sys.argv[0]).name == "manage.py"

DATABASES = {
    "default": settings_from_url(
        config.database_url.get_secret_value(),
        pool_max=config.database_pool_max,
        wait_seconds=COMMAND_SECONDS if _IS_COMMAND else SERVING_SECONDS,
    )
}
if config.database_owner_url is not None:
    DATABASES["owner"] = settings_from_url(
        config.database_owner_url.get_secret_value(), pool_max=None
    )
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [config.redis_url.get_secret_value()]},
    }
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "opitios.core.http.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Opitios",
    "VERSION": __version__,
    "DESCRIPTION": "A gateway between many programs and many Alpaca brokerage accounts.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": ["opitios.openapi.complete"],
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
# Who guesses a password is locked out for that name from that address: nobody else's sign-in, and
# no other address's, is any slower for it. Guesses made meanwhile do not make it longer.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "opitios.core.client_address.of_request"
AXES_LOCKOUT_CALLABLE = "opitios.console.locked_out"
AXES_ENABLE_ADMIN = False
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
LANGUAGE_CODE = "en-us"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
# Served from the packages they come in: nothing to collect, and no admin without its styles.
WHITENOISE_USE_FINDERS = True
APPEND_SLASH = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = not (config.demo or config.debug)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
CSRF_TRUSTED_ORIGINS = config.csrf_trusted_origins
SECURE_HSTS_SECONDS = config.hsts_seconds
# StaffStack takes the header away where no proxy of ours wrote it.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if config.trusted_proxies else None
SECURE_REFERRER_POLICY = "same-origin"

LOGGING_CONFIG = None
logs.configure(config.log_level)
logs.hide(secret_values(config))

UNFOLD = {
    "SITE_TITLE": "Opitios",
    "SITE_HEADER": "Opitios",
    "SITE_SUBHEADER": config.environment_name,
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}opitios/icon.svg"}
    ],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    # The history that counts is the journal.
    "SHOW_HISTORY": False,
    "ENVIRONMENT": "opitios.console.environment_badge",
    "DASHBOARD_CALLBACK": "opitios.console.dashboard",
    "STYLES": [f"{STATIC_URL}opitios/console.css"],
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "opitios.console.navigation",
    },
    "COMMAND": {"search_callback": "opitios.console.search"},
    "COLORS": {
        "primary": {
            "50": "oklch(97.1% .013 262)",
            "100": "oklch(93.6% .03 262)",
            "200": "oklch(88.5% .055 262)",
            "300": "oklch(80.8% .1 262)",
            "400": "oklch(70.4% .15 262)",
            "500": "oklch(61.7% .19 262)",
            "600": "oklch(53.5% .2 262)",
            "700": "oklch(46.5% .18 262)",
            "800": "oklch(40.4% .15 262)",
            "900": "oklch(36.6% .12 262)",
            "950": "oklch(26.2% .09 262)",
        }
    },
}
