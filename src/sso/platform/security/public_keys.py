"""Checks of public keys that applications register, as JWKs (RFC 7517, RFC 7518 section 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sso.platform.security.text import TextRefused, check_line
from sso.platform.security.tokens import from_base64url

MAX_KEYS = 20
RSA_BITS = (2048, 8192)
"""At least 2048 (NIST SP 800-131A section 3); more than 8192 is only slow."""
MAX_MEMBERS = 20
MAX_KID_CHARS = 200
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_CURVES = {"P-256": ("ES256", 32), "P-384": ("ES384", 48), "P-521": ("ES512", 66)}
"""For each curve its signature algorithm and the size of a coordinate in bytes."""
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
_CURVE_OF = {alg: curve for curve, (alg, _) in _CURVES.items()}
_BASE64URL = re.compile(r"[A-Za-z0-9_\-]{1,1400}")


def check_key_set(document: object) -> list[dict[str, object]]:
    """Return the keys of a key set after checking all of them.

    Raises:
        ValueError: with the mistake and its correction.
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


def check_public_key(key: object) -> None:
    """Check one key.

    Raises:
        ValueError: with the mistake and its correction.
    """
    kty = key.get("kty") if isinstance(key, dict) else None
    if not isinstance(key, dict) or not isinstance(kty, str) or kty not in _SIGNATURE:
        raise ValueError("must hold RSA, EC or OKP keys")
    if any(member in key for member in _PRIVATE):
        raise ValueError("must hold public keys only: take the private members (d, p, q...) out")
    if len(key) > MAX_MEMBERS:
        raise ValueError(f"holds a key with more than {MAX_MEMBERS} members")
    _check_purpose(key, kty)
    {"RSA": _check_rsa, "EC": _check_ec, "OKP": _check_okp}[kty](key)


def is_usable(key: object) -> bool:
    """Tell whether a key can be used."""
    try:
        check_public_key(key)
    except ValueError:
        return False
    return True


def _check_purpose(key: Mapping[str, object], kty: str) -> None:
    kid, use, alg = key.get("kid"), key.get("use"), key.get("alg")
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
    if kty == "EC" and signs and key.get("crv") != _CURVE_OF[str(alg)]:
        raise ValueError(f"holds a key whose curve is not that of {alg}, which is {_CURVE_OF[str(alg)]}")


def _check_rsa(key: Mapping[str, object]) -> None:
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


def _check_ec(key: Mapping[str, object]) -> None:
    import jwt  # reading applications needs no keys of theirs

    alg, size = _CURVES.get(str(key.get("crv")), ("", 0))
    if not alg:
        raise ValueError("holds an EC key on another curve than P-256, P-384 or P-521: make one on P-256")
    if any(len(_bytes(key, name)) != size for name in ("x", "y")):
        raise ValueError(f"holds an EC key whose x and y have not {size} bytes (RFC 7518 section 6.2.1)")
    try:
        jwt.get_algorithm_by_name(alg).from_jwk(dict(key))
    except (ValueError, jwt.PyJWTError):
        raise ValueError("holds an EC key that is no point on its curve: make a new one") from None


def _check_okp(key: Mapping[str, object]) -> None:
    encrypts = key.get("use") == "enc" or str(key.get("alg", "")).startswith("ECDH-ES")
    required = "X25519" if encrypts else "Ed25519"
    if key.get("crv") != required:
        raise ValueError(f"holds an OKP key on another curve than {required}")
    if len(_bytes(key, "x")) != 32:
        raise ValueError("holds an OKP key whose x has not 32 bytes (RFC 8037 section 2)")


def _number(key: Mapping[str, object], name: str) -> int:
    return int.from_bytes(_bytes(key, name), "big")


def _bytes(key: Mapping[str, object], name: str) -> bytes:
    text = key.get(name)
    try:
        if isinstance(text, str) and _BASE64URL.fullmatch(text):
            return from_base64url(text)
    except ValueError:
        pass
    raise ValueError(f"holds a key that cannot be used: {name} must be base64url (RFC 7518 section 6)")
