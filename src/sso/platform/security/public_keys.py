"""Public keys that others give us, as JWKs (RFC 7517, RFC 7518 section 6): which are good enough to be used."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from sso.platform.security.text import TextRefused, check_line

MAX_KEYS = 20
RSA_BITS = (2048, 8192)
"""NIST SP 800-131A section 3: at least 2048; more than 8192 only costs time."""
MAX_MEMBERS = 20
MAX_KID_CHARS = 200
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_CURVES: dict[str, tuple[ec.EllipticCurve, int]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
    "P-521": (ec.SECP521R1(), 66),
}
_SIGNATURE = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA", "Ed25519"),
}
_ENCRYPTION = {
    "RSA": ("RSA-OAEP", "RSA-OAEP-256", "RSA-OAEP-384", "RSA-OAEP-512"),
    "EC": ("ECDH-ES",),
    "OKP": ("ECDH-ES",),
}
_CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_BASE64URL = re.compile(r"[A-Za-z0-9_\-]{1,1400}")


def check_key_set(document: Any) -> list[dict[str, Any]]:
    """Return the keys of a key set, all of which can be used.

    Raises:
        ValueError: saying what is wrong, and what to do.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_KEYS:
        raise ValueError(f"must have 1 to {MAX_KEYS} keys")
    named: set[tuple[str, str]] = set()
    for key in keys:
        check_public_key(key)
        name = (key.get("kid", ""), key.get("use", ""))
        if name[0] and name in named:
            raise ValueError("must not have two keys with the same kid: give each key its own")
        named.add(name)
    return keys


def check_public_key(key: Any) -> None:
    """Check one key.

    Raises:
        ValueError: saying what is wrong, and what to do.
    """
    kty = key.get("kty") if isinstance(key, dict) else None
    if not isinstance(kty, str) or kty not in _SIGNATURE:
        raise ValueError("must hold RSA, EC or OKP keys")
    if any(member in key for member in _PRIVATE):
        raise ValueError("must hold public keys only: take the private members (d, p, q...) out")
    if len(key) > MAX_MEMBERS:
        raise ValueError(f"holds a key with more than {MAX_MEMBERS} members")
    _check_purpose(key)
    {"RSA": _check_rsa, "EC": _check_ec, "OKP": _check_okp}[kty](key)


def is_usable(key: Any) -> bool:
    """Tell whether a key can be used."""
    try:
        check_public_key(key)
    except ValueError:
        return False
    return True


def _check_purpose(key: dict[str, Any]) -> None:
    kid, use, alg, kty = key.get("kid"), key.get("use"), key.get("alg"), key["kty"]
    if kid is not None:
        if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID_CHARS:
            raise ValueError(f"holds a key whose kid is not text of 1 to {MAX_KID_CHARS} characters")
        try:
            check_line(kid)
        except TextRefused as error:
            raise ValueError(f"holds a key whose kid {error}") from None
    if use not in (None, "sig", "enc"):
        raise ValueError("holds a key whose use is neither sig nor enc")
    if alg is None:
        return
    signs = alg in _SIGNATURE[kty]
    encrypts = alg in _ENCRYPTION[kty] or (kty != "RSA" and str(alg).startswith("ECDH-ES+"))
    if not signs and not encrypts:
        raise ValueError(f"holds a key whose alg does not go with its kty {kty}: correct alg, or leave it out")
    if (signs and use == "enc") or (encrypts and use == "sig"):
        raise ValueError("holds a key whose alg does not go with its use: correct one of them, or leave it out")
    if kty == "EC" and signs and key.get("crv") != _CURVE_OF[alg]:
        raise ValueError(f"holds a key whose curve is not that of {alg}, which is {_CURVE_OF[alg]}")


def _check_rsa(key: dict[str, Any]) -> None:
    modulus, exponent = _number(key, "n"), _number(key, "e")
    minimum, maximum = RSA_BITS
    if not minimum <= modulus.bit_length() <= maximum:
        bits = modulus.bit_length()
        raise ValueError(f"holds an RSA key of {bits} bits: make one of {minimum} to {maximum} bits")
    if modulus % 2 == 0:
        raise ValueError("holds an RSA key with an even modulus, which is no key: make a new one")
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 256:
        raise ValueError(
            "holds an RSA key whose exponent e is not an odd number from 3 on: make one with e = 65537 (AQAB)"
        )


def _check_ec(key: dict[str, Any]) -> None:
    found = _CURVES.get(str(key.get("crv")))
    if found is None:
        raise ValueError("holds an EC key on another curve than P-256, P-384 or P-521: make one on P-256")
    curve, size = found
    if any(len(_bytes(key, name)) != size for name in ("x", "y")):
        raise ValueError(f"holds an EC key whose x and y have not {size} bytes (RFC 7518 section 6.2.1)")
    try:
        ec.EllipticCurvePublicNumbers(_number(key, "x"), _number(key, "y"), curve).public_key()
    except ValueError:
        raise ValueError("holds an EC key that is no point on its curve: make a new one") from None


def _check_okp(key: dict[str, Any]) -> None:
    encrypts = key.get("use") == "enc" or str(key.get("alg", "")).startswith("ECDH-ES")
    wanted = "X25519" if encrypts else "Ed25519"
    if key.get("crv") != wanted:
        raise ValueError(f"holds an OKP key on another curve than {wanted}")
    if len(_bytes(key, "x")) != 32:
        raise ValueError("holds an OKP key whose x has not 32 bytes (RFC 8037 section 2)")


def _number(key: dict[str, Any], name: str) -> int:
    return int.from_bytes(_bytes(key, name), "big")


def _bytes(key: dict[str, Any], name: str) -> bytes:
    text = key.get(name)
    try:
        if isinstance(text, str) and _BASE64URL.fullmatch(text):
            return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        pass
    raise ValueError(f"holds a key that cannot be used: {name} must be base64url (RFC 7518 section 6)")
