"""The web process: REST and admin, under granian."""

import gc
import os
import signal

import django

from opitios.core import descriptors
from opitios.core.embedded.child import die_with_parent
from opitios.core.handler import Handler

# A worker whose server was killed must not live on and share the port with the next one.
die_with_parent(signal.SIGKILL)
# One for each client's connection; granian listens in this process too.
descriptors.make_room()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opitios.settings")
os.environ.setdefault("OPITIOS_ROLE", "web")

django.setup(set_prefix=False)

from opitios.express import Express  # noqa: E402 - it knows the views, which Django must know first

application = Express(Handler())

# What is loaded by now stays: a full collection stops every thread, and need not walk through it.
gc.collect()
gc.freeze()
