"""From where an account may be reached."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from accounts import denials
from accounts.commandline import CustodyCommand, operator


class Command(CustodyCommand):
    """`account_networks ACCOUNT [NETWORK …] --reason TEXT [--json]`; none: from anywhere."""

    help = "Let an account be reached from these networks alone; without any: from anywhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        super().add_arguments(parser)
        parser.add_argument("networks", nargs="*", help="10.0.0.0/8, or one address")

    def act(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Set the account's networks."""
        account_id, networks = options["account"], options["networks"]
        actor = operator("account_networks")
        done = denials.set_networks(account_id, networks, actor=actor, reason=options["reason"])
        where = ", ".join(done["allowed_ips"]) or "anywhere"
        return done, f"{account_id} is reached from {where}"
