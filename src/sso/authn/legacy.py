"""Password hashes of other systems: what passlib verifies, and what is turned into a form that it does.

They are taken as they are and replaced by argon2id at the next sign-in, when the password is known for a moment.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from passlib import hash as known
from passlib.utils import handlers

SCHEMES = (
    "bcrypt", "bcrypt_sha256", "phpass", "md5_crypt", "sha256_crypt", "sha512_crypt", "sha1_crypt", "des_crypt",
    "bsdi_crypt", "apr_md5_crypt",
    "django_pbkdf2_sha256", "django_pbkdf2_sha1", "django_bcrypt", "django_bcrypt_sha256", "django_argon2",
    "django_salted_sha1", "django_salted_md5",
    "ldap_salted_sha512", "ldap_salted_sha256", "ldap_salted_sha1", "ldap_salted_md5", "ldap_sha1", "ldap_md5",
    "ldap_pbkdf2_sha512", "ldap_pbkdf2_sha256", "ldap_pbkdf2_sha1", "ldap_bcrypt", "ldap_sha512_crypt",
    "ldap_sha256_crypt", "ldap_md5_crypt",
    "pbkdf2_sha512", "pbkdf2_sha256", "pbkdf2_sha1", "scrypt", "mysql41",
    "hex_sha512", "hex_sha256", "hex_sha1", "hex_md5",
)  # fmt: skip
"""What can be imported, by the names of passlib; besides argon2 and ``salted_digest``."""

MAX_BCRYPT_ROUNDS = 15
MAX_PHPASS_ROUNDS = 20
MAX_ROUNDS = 10_000_000
_WERKZEUG = re.compile(r"pbkdf2:(sha1|sha256|sha512):([0-9]{1,9})\$([^$]{1,100})\$([0-9a-f]{40,128})")
_DIGESTS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


class salted_digest(handlers.GenericHandler):  # type: ignore[misc]
    """A digest of salt and password in one go, as old PHP applications made it: ``$salted$md5$pre$SALT$HEX``.

    ``pre``: the salt stands before the password; ``post``: after it. SALT is in unpadded base64url.
    """

    name = "salted_digest"
    setting_kwds = ()
    context_kwds = ()
    checksum_chars = "0123456789abcdef"
    _form = re.compile(r"\$salted\$(md5|sha1|sha256|sha512)\$(pre|post)\$([A-Za-z0-9_-]*)\$([0-9a-f]{32,128})")

    def __init__(self, digest: str = "", order: str = "", salt: bytes = b"", **options: Any) -> None:
        self.digest, self.order, self.salt = digest, order, salt
        super().__init__(**options)

    @classmethod
    def identify(cls, hash: Any) -> bool:
        return isinstance(hash, str) and cls._form.fullmatch(hash) is not None

    @classmethod
    def from_string(cls, hash: Any, **_: Any) -> salted_digest:
        found = cls._form.fullmatch(hash)
        if found is None:
            raise ValueError("not a salted digest")
        digest, order, salt, checksum = found.groups()
        return cls(digest, order, base64.urlsafe_b64decode(salt + "=" * (-len(salt) % 4)), checksum=checksum)

    def to_string(self) -> str:
        return salted_form(self.digest, self.order, self.salt, self.checksum)

    def _calc_checksum(self, secret: str | bytes) -> str:
        text = secret.encode() if isinstance(secret, str) else secret
        said = self.salt + text if self.order == "pre" else text + self.salt
        return hashlib.new(self.digest, said, usedforsecurity=False).hexdigest()


def salted_form(digest: str, order: str, salt: bytes, checksum: str) -> str:
    """Return the form in which a salted digest is kept."""
    return f"$salted${digest}${order}${base64.urlsafe_b64encode(salt).rstrip(b'=').decode()}${checksum}"


def taken_over(text: str, *, salt: str = "", scheme: str = "") -> str:
    """Return a hash of another system in the form that is kept.

    Args:
        text: the hash.
        salt: its salt, where it stands apart: of ``md5``, ``sha1``, ``sha256`` or ``sha512`` in hexadecimal.
        scheme: ``salt.password`` (the default) or ``password.salt``: what such a digest was made of.

    Raises:
        ValueError: when it is of no kind that can be verified, or would cost too much.
    """
    text = text.strip()
    if text.startswith("$argon2"):
        known.argon2.from_string(text)
        return text
    if salt:
        return _salted(text, salt, scheme)
    if found := _WERKZEUG.fullmatch(text):
        return _from_werkzeug(*found.groups())
    for name in SCHEMES:
        handler = getattr(known, name)
        if handler.identify(text):
            _check_cost(handler, text)
            return text
    raise ValueError("is of no kind that can be verified")


def _salted(text: str, salt: str, scheme: str) -> str:
    digest = _DIGESTS.get(len(text))
    if digest is None or re.fullmatch("[0-9a-fA-F]+", text) is None:
        raise ValueError("with a salt of its own must be md5, sha1, sha256 or sha512 in hexadecimal")
    if scheme not in ("", "salt.password", "password.salt"):
        raise ValueError("password_scheme must be salt.password or password.salt")
    return salted_form(digest, "post" if scheme == "password.salt" else "pre", salt.encode(), text.lower())


def _from_werkzeug(digest: str, rounds: str, salt: str, checksum: str) -> str:
    if not 0 < int(rounds) <= MAX_ROUNDS:
        raise ValueError(f"must have at most {MAX_ROUNDS} rounds")
    handler = getattr(known, f"pbkdf2_{digest}")
    made = handler(rounds=int(rounds), salt=salt.encode(), checksum=bytes.fromhex(checksum))
    return str(made.to_string())


def _check_cost(handler: Any, text: str) -> None:
    try:
        made = handler.from_string(text) if hasattr(handler, "from_string") else None
    except (ValueError, TypeError) as error:
        raise ValueError(f"is broken: {error}") from None
    rounds = getattr(made, "rounds", None)
    # phpass counts in powers of two as well, but of MD5, which costs a thousandth.
    powers = getattr(handler, "rounds_cost", "") == "log2"
    most = (MAX_PHPASS_ROUNDS if handler.name == "phpass" else MAX_BCRYPT_ROUNDS) if powers else MAX_ROUNDS
    if isinstance(rounds, int) and rounds > most:
        raise ValueError(f"must have at most {most} rounds")
