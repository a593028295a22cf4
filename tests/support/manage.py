"""`python -m tests.support.manage COMMAND …`: a command under the tests' settings, without servers.

For checks that look at the code alone, such as `makemigrations --check`.
"""

import logging
import os
import sys
import warnings

from django.core.management import execute_from_command_line

from tests.support import environment, services

NOWHERE = services.Session(
    folder=os.devnull,
    key="checks",
    server_url=f"postgresql://@/postgres?host={os.devnull}",
    redis_url="redis://127.0.0.1:9/0",
    owner_password="",
    application_password="",
)


def main() -> None:
    """Run the command; that the database cannot be asked for its history is known and fine."""
    os.environ |= environment.settings(NOWHERE, "main")
    os.environ["DJANGO_SETTINGS_MODULE"] = "opitios.settings"
    # psycopg sets this level itself when it is imported.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="Got an error checking a consistent migration")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
