"""Make a superuser for the admin, or give an existing one this password."""

import os
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """`STAFF_PASSWORD=… ensure_staff NAME`: the demonstration's staff login; repeatable."""

    help = "Make a superuser with the password in STAFF_PASSWORD, or set its password again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create or update the user. Raises CommandError where no password is given."""
        password = os.environ.get("STAFF_PASSWORD")
        if not password:
            raise CommandError("Set STAFF_PASSWORD: it is never taken from the command line.")
        user, created = User.objects.get_or_create(username=options["name"])
        if created or not user.check_password(password):
            user.set_password(password)
        user.is_staff = user.is_superuser = True
        user.save()
        self.stdout.write(f"{options['name']} may sign in")
