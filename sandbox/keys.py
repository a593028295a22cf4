"""Which broker keys the sandbox knows: each account's key and secret follow from its id.

An account has later keys too, to replace its first by: `SANDBOX_<id>.2`, `sandbox-secret-<id>.2`.
"""

import re

KEY_PREFIX = "SANDBOX_"
SECRET_PREFIX = "sandbox-secret-"  # noqa: S105 - public by design # nosec B105

_ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_LATER = re.compile(r"\.[1-9][0-9]{0,3}\Z")


def is_account_id(text: str) -> bool:
    """Whether an account of this id may exist."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def account_of(key: object, secret: object) -> str | None:
    """The account a key and secret belong to, or None where they are no such pair."""
    if not isinstance(key, str) or not key.startswith(KEY_PREFIX):
        return None
    name = key.removeprefix(KEY_PREFIX)
    account_id = _LATER.sub("", name)
    if secret != SECRET_PREFIX + name or not is_account_id(account_id):
        return None
    return account_id
