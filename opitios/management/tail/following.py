"""What has been seen of each account, and where something is missing. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Messages that somebody asked to see; the others are talk about them.
DATA = frozenset({"order", "account", "q", "t", "b"})


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries of an account that were not shown: from `first` to `last`.

    `reason`: the gateway's word where it told of the gap itself; None where the numbers did.
    """

    account_id: str
    first: int
    last: int
    reason: str | None = None


@dataclass(slots=True)
class Following:
    """The last number of each account, and what was counted on the way."""

    seen: dict[str, int] = field(default_factory=dict)
    shown: int = 0
    updates: int = 0
    ticks: int = 0
    gaps: int = 0
    dropped: int = 0

    def hear(self, message: Mapping[str, Any]) -> Gap | None:
        """Take a message; the gap before it, where its account's number is not the next one."""
        kind = message.get("T")
        self.shown += kind in DATA
        self.ticks += kind in {"q", "t", "b"}
        self.dropped += int(message.get("count", 0)) if kind == "dropped" else 0
        if kind == "snapshot":
            # Where the stream goes on after a number that was asked for, that one stays.
            self.seen.setdefault(message["account_id"], message["seq"])
        if kind == "gap" and "account_id" in message:
            return self._lost(message)
        return self._count(message) if kind in {"order", "account"} else None

    def _lost(self, message: Mapping[str, Any]) -> Gap:
        # It stands where an update should; after `rewound` the numbers go on from an earlier one.
        name, seq = message["account_id"], message["seq"]
        self.gaps += 1
        self.seen[name] = seq
        return Gap(name, seq, seq, str(message.get("reason")))

    def _count(self, message: Mapping[str, Any]) -> Gap | None:
        self.updates += 1
        name, seq = message["account_id"], message["seq"]
        last = self.seen.get(name)
        self.seen[name] = seq if last is None else max(seq, last)
        if last is None or seq <= last + 1:
            return None
        self.gaps += 1
        return Gap(name, last + 1, seq - 1)

    def forget(self) -> None:
        """Begin anew with the next snapshots: what was missed cannot be had from the stream."""
        self.seen.clear()
