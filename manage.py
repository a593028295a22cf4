#!/usr/bin/env python3
"""Run an Opitios command: `.venv/bin/python manage.py help`."""

import os
import sys

# Which commands are processes that serve; every other command starts no pool (design.md §1).
# `runserver` is REST, pages and socket in one, for development.
ROLES = {"desk": "desk", "listen_market": "market", "runserver": "web"}

# These work before there are any settings to read, and while the rest is broken.
OPERATOR_COMMANDS = {"quickstart", "doctor", "tail"}


def main() -> None:
    """Choose the settings and the role of the command, and hand over to Django."""
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command in OPERATOR_COMMANDS:
        os.environ["DJANGO_SETTINGS_MODULE"] = "opitios.management.settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opitios.settings")
    os.environ.setdefault("OPITIOS_ROLE", ROLES.get(command, "none"))

    from django.core.management import execute_from_command_line  # noqa: PLC0415 - see above

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
