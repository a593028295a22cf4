"""Account files for tests: a good one, and every way to spoil it."""

from pathlib import Path

from accounts.roster.document import BadRoster, Complaint
from accounts.roster.reading import Policy, RosterAccount, parse

STRICT = Policy(allow_live=False, plain_refused="keys stand in clear only for the sandbox")
OPEN = Policy(allow_live=True, plain_refused=None)

GOOD = """\
accounts:
  - account_id: "A"
    account_type: trading
    environment: sandbox
    url: "http://127.0.0.1:8092"
    alpaca_credentials: {api_key: "SANDBOX_A", secret_key: "sandbox-secret-A"}
    connection_pool: {max_connections: 5, priority: normal}
"""


def entry(account_id: str, **changed: str | None) -> str:
    """One account of a file; a field given as None is left out."""
    fields: dict[str, str | None] = {
        "account_type": "trading",
        "environment": "sandbox",
        "url": '"http://127.0.0.1:8092"',
        "alpaca_credentials": f'{{api_key: "SANDBOX_{account_id}", secret_key: "s-{account_id}"}}',
    }
    lines = [f'  - account_id: "{account_id}"']
    for name, value in (fields | changed).items():
        lines += [f"    {name}: {value}"] if value is not None else []
    return "\n".join(lines) + "\n"


def roster(*entries: str) -> str:
    """A file of these accounts."""
    return "accounts:\n" + "".join(entries)


def read(text: str, policy: Policy = STRICT) -> list[RosterAccount]:
    """Parse text."""
    return parse(text.encode(), policy)


def complaints(text: str | bytes, policy: Policy = STRICT) -> tuple[Complaint, ...]:
    """Every complaint about a file that must be refused."""
    raw = text if isinstance(text, bytes) else text.encode()
    try:
        parse(raw, policy)
    except BadRoster as refusal:
        return refusal.complaints
    raise AssertionError("the file was accepted")


def write(folder: Path, text: str, name: str = "accounts.yaml") -> Path:
    """Put a file on the disk."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def about(complaint: Complaint) -> tuple[int, str]:
    """Where a complaint points."""
    return complaint.line, complaint.key
