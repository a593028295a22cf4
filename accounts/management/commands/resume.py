"""Let a suspended account send orders again."""

from collections.abc import Mapping
from typing import Any

from accounts import custody
from accounts.commandline import CustodyCommand, operator
from opitios.core import clock


class Command(CustodyCommand):
    """`resume ACCOUNT --reason TEXT [--json]`; exit code 1 where nothing was changed."""

    help = "Let a suspended account send orders again."

    def act(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Resume the account."""
        account_id, reason = options["account"], options["reason"]
        since = custody.resume(account_id, actor=operator("resume"), reason=reason)
        told = clock.rfc3339(since)
        about = {"account_id": account_id, "was_suspended_at": told}
        return about, f"{account_id} is resumed; it was suspended since {told}"
