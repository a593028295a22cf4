"""The colours that staff pages give an order's states, and the endings of calls to the broker."""

from django.utils.safestring import SafeString

from accounts import pages
from trading import lifecycle

# Good: done as asked. Idle: over without more. Bad: refused. Warn: a person may be needed.
_TONES = {
    "filled": "good",
    "partially_filled": "busy",
    lifecycle.QUEUED: "busy",
    lifecycle.SUBMITTING: "busy",
    lifecycle.UNKNOWN: "warn",
    lifecycle.LAPSED: "warn",
    lifecycle.DENIED: "bad",
    "rejected": "bad",
    "suspended": "warn",
    lifecycle.CANCELED: "idle",
    "expired": "idle",
    "replaced": "idle",
    "done_for_day": "idle",
    "pending_new": "busy",
    "pending_cancel": "busy",
    "pending_replace": "busy",
}


def tone_of(status: str) -> str:
    """Choose a status' colour; a word that nobody knows is a warning (design.md §4)."""
    known = "info" if status in lifecycle.KNOWN_WORDS else "warn"
    return _TONES.get(status, known)


def status_dot(status: str) -> SafeString:
    """Show an order's status."""
    return pages.dot(status, tone_of(status))


def outcome_dot(outcome: str | None) -> SafeString:
    """Show how a call to the broker ended."""
    tones = {None: "busy", "accepted": "good", "unknown": "warn", "throttled": "warn"}
    return pages.dot(outcome or "under way", tones.get(outcome, "bad"))
