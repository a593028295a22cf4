"""Which broker keys the sandbox knows: each account's key and secret follow from its id."""

import re

KEY_PREFIX = "SANDBOX_"
SECRET_PREFIX = "sandbox-secret-"  # noqa: S105 -- public by design: nothing but a sandbox takes it

_ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def is_account_id(text: str) -> bool:
    """Whether an account of this id may exist."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def account_of(key: object, secret: object) -> str | None:
    """The account a key and secret belong to, or None where they are no such pair."""
    if not isinstance(key, str) or not key.startswith(KEY_PREFIX):
        return None
    account_id = key.removeprefix(KEY_PREFIX)
    if secret != SECRET_PREFIX + account_id or not is_account_id(account_id):
        return None
    return account_id
