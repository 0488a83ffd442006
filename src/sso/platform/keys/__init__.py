"""Keys for signing and encryption: make, rotate, publish (JWKS), sign, verify, decrypt.

Private keys are encrypted in the database and live opened only in the memory of :class:`KeyRing`. What the signed
claims mean is not known here.
"""

from sso.platform.keys.ring import JWKS_MAX_AGE_SECONDS, InvalidToken, KeyRing, UnknownKey
from sso.platform.keys.service import (
    KeyTooYoung,
    ensure_keys,
    list_keys,
    read_alg,
    reencrypt,
    rotate,
    rotate_when_due,
    withdraw,
)

__all__ = [
    "JWKS_MAX_AGE_SECONDS",
    "InvalidToken",
    "KeyRing",
    "KeyTooYoung",
    "UnknownKey",
    "ensure_keys",
    "list_keys",
    "read_alg",
    "reencrypt",
    "rotate",
    "rotate_when_due",
    "withdraw",
]
