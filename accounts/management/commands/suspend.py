"""Let an account send nothing new."""

from collections.abc import Mapping
from typing import Any

from accounts import custody
from accounts.commandline import CustodyCommand, operator
from opitios.core import clock


class Command(CustodyCommand):
    """`suspend ACCOUNT --reason TEXT [--json]`; exit code 1 where nothing was changed."""

    help = "Let an account send nothing new; cancels and reads pass."

    def act(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Suspend the account."""
        account_id, reason = options["account"], options["reason"]
        since = custody.suspend(account_id, actor=operator("suspend"), reason=reason)
        about = {"account_id": account_id, "suspended_at": clock.rfc3339(since)}
        return about, f"{account_id} is suspended: nothing new is sent, cancels and reads pass"
