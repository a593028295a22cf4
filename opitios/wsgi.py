"""The web process: REST and admin, under granian."""

import os
import signal

from opitios.core.embedded.child import die_with_parent

# A worker whose server was killed must not live on and share the port with the next one.
die_with_parent(signal.SIGKILL)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opitios.settings")
os.environ.setdefault("OPITIOS_ROLE", "web")

from django.core.wsgi import get_wsgi_application  # noqa: E402 - after the environment is set

application = get_wsgi_application()
