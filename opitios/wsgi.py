"""The web process: REST and admin, under granian."""

import gc
import os
import signal

from opitios.core.embedded.child import die_with_parent

# A worker whose server was killed must not live on and share the port with the next one.
die_with_parent(signal.SIGKILL)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opitios.settings")
os.environ.setdefault("OPITIOS_ROLE", "web")

from django.core.wsgi import get_wsgi_application  # noqa: E402 - after the environment is set

application = get_wsgi_application()

# What is loaded by now stays: the collector need not walk through it again. And it comes less often
# than at every 700 objects, which is several times a request: that was a tenth of an order's cost.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 20)
