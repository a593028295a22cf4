"""The stream process: client WebSockets and nothing else, under uvicorn.

In development `manage.py runserver` serves REST and pages beside it, in one process under daphne.
"""

import logging
import os
import signal

from opitios.core import descriptors
from opitios.core.embedded.child import die_with_parent

die_with_parent(signal.SIGKILL)
# One for each client's socket.
descriptors.make_room()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opitios.settings")
os.environ.setdefault("OPITIOS_ROLE", "stream")

import django  # noqa: E402 - after the environment is set

django.setup(set_prefix=False)

from asgiref.wsgi import WsgiToAsgi  # noqa: E402 - after Django is set up

from opitios.core.config import get_config  # noqa: E402
from opitios.core.handler import Handler  # noqa: E402
from streaming import routing  # noqa: E402

# uvicorn writes each handshake's path with its query, where a careless client may put a token: our
# own access line has no query. What it warns of goes through our renderer.
for _name in ("uvicorn", "uvicorn.error"):
    logging.getLogger(_name).handlers.clear()
    logging.getLogger(_name).propagate = True
logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

if get_config().role == "stream":
    application = routing.application()
else:
    # The same handler that granian has.
    application = routing.application(
        http=WsgiToAsgi(Handler())  # type: ignore[no-untyped-call]  # of asgiref
    )
