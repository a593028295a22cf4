"""Make a token for development; real ones are issued elsewhere (R9)."""

import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from accounts.models import Account
from accounts.tokens import BadTokenKeys, CannotMint, Grant, Permission, mint
from opitios.core import clock

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}


class Command(BaseCommand):
    """`mint_token --accounts a,b | --all --permissions trade,… --ttl 1h`: prints the token only."""

    help = "Make a token for development."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        accounts = parser.add_mutually_exclusive_group()
        accounts.add_argument(
            "--accounts", type=words, default=[], help="a,b: the token's accounts"
        )
        accounts.add_argument("--all", action="store_true", help="every account (fleet keys only)")
        parser.add_argument(
            "--permissions",
            type=words,
            default=[Permission.MARKET_DATA.value, Permission.ACCOUNT_READ.value],
            help=f"out of {','.join(Permission)}",
        )
        parser.add_argument(
            "--ttl", type=duration, default=timedelta(hours=1), help="90s, 15m, 24h"
        )
        parser.add_argument("--sub", default="developer", help="the token's subject")
        parser.add_argument("--json", action="store_true", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse what a verifier would refuse, warn of what does not exist, print."""
        refuse_unknown(options["permissions"])
        grant = Grant(
            sub=options["sub"],
            accounts=None if options["all"] else options["accounts"],
            permissions=options["permissions"],
            ttl=options["ttl"],
        )
        now = clock.now()
        try:
            token = mint(grant, now=now)
        except (CannotMint, BadTokenKeys) as error:
            raise CommandError(str(error)) from error
        self._warn(options["accounts"])
        about = {"token": token, "sub": grant.sub, "expires_at": clock.rfc3339(now + grant.ttl)}
        self.stdout.write(json.dumps(about) if options["json"] else token)

    def _warn(self, account_ids: list[str]) -> None:
        try:
            known = set(Account.objects.filter(pk__in=account_ids).values_list("pk", flat=True))
        except DatabaseError:
            self.stderr.write("warning: the database does not answer, accounts were not checked")
            return
        for account_id in account_ids:
            if account_id not in known:
                self.stderr.write(f"warning: there is no account {account_id}")


def refuse_unknown(permissions: list[str]) -> None:
    """Refuse a permission that does not exist. Raises CommandError naming those that do."""
    unknown = sorted(set(permissions) - set(Permission))
    if unknown:
        raise CommandError(
            f"no such permission: {', '.join(unknown)}; there are {', '.join(Permission)}"
        )


def words(text: str) -> list[str]:
    """Read "a,b" as two words."""
    return [word.strip() for word in text.split(",") if word.strip()]


def duration(text: str) -> timedelta:
    """Read "90s", "15m" or "24h". Raises ArgumentTypeError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not a duration such as 90s, 15m or 24h")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
