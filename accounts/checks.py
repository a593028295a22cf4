"""Starts that are refused: a key ring that is weak, malformed or cannot be read."""

from collections.abc import Sequence
from typing import Any

from django.apps.config import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register

from accounts.tokens import BadTokenKeys, verifier
from accounts.vault import BadKeyRing, key_ring


@register(Tags.security)
def check_master_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001: without a good master key ring no account's key can be sealed or opened."""
    try:
        key_ring()
    except BadKeyRing as error:
        hint = 'Write OPITIOS_MASTER_KEYS as "k1:<base64 of 32 random bytes>", the newest first.'
        return [Error(str(error), hint=hint, id="accounts.E001")]
    return []


@register(Tags.security)
def check_token_keys(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002: a weak or doubled token key would let strangers in."""
    try:
        verifier()
    except BadTokenKeys as error:
        hint = "Correct OPITIOS_JWT_KEYS or JWT_JWKS_URL: docs/tokens.md says what each needs."
        return [Error(str(error), hint=hint, id="accounts.E002")]
    return []
