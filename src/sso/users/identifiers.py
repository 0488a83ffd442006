"""What people type to say who they are: an e-mail address, a telephone number or a user name."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

import phonenumbers

Kind = Literal["email", "phone", "username"]

MAX_IDENTIFIER_CHARS = 254
_REGION = "ID"
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._\-]{2,63}")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f<>\"(),:;\\\[\]]{1,64}@[a-z0-9](?:[a-z0-9.\-]{0,250}[a-z0-9])?")
_PHONE_LIKE = re.compile(r"\+?[0-9][0-9 ().\-]{6,20}")


@dataclass(frozen=True, slots=True)
class NormalIdentifier:
    """An identifier in the one form under which it is found."""

    kind: Kind
    value: str

    @property
    def lookup(self) -> str:
        """The form that is unique among all people."""
        return self.value


def normalise(text: str) -> NormalIdentifier:
    """Return the normal form of what somebody typed: NFKC, small letters, numbers in E.164 with +62 as default.

    Raises:
        ValueError: when it can be no identifier.
    """
    value = unicodedata.normalize("NFKC", text).strip().casefold()
    if not value or len(value) > MAX_IDENTIFIER_CHARS:
        raise ValueError(f"must have 1 to {MAX_IDENTIFIER_CHARS} characters")
    if "@" in value:
        return NormalIdentifier("email", _email(value))
    if _PHONE_LIKE.fullmatch(value):
        return NormalIdentifier("phone", _phone(value))
    if _USERNAME.fullmatch(value):
        return NormalIdentifier("username", value)
    raise ValueError("must be an e-mail address, a telephone number, or 3 to 64 letters, digits, dots or hyphens")


def _email(value: str) -> str:
    local, _, domain = value.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii") if not domain.isascii() else domain
    except UnicodeError:
        raise ValueError("is not an e-mail address") from None
    value = f"{local}@{domain}"
    if not _EMAIL.fullmatch(value) or ".." in domain:
        raise ValueError("is not an e-mail address")
    return value


def _phone(value: str) -> str:
    try:
        number = phonenumbers.parse(value, _REGION)
    except phonenumbers.NumberParseException:
        raise ValueError("is not a telephone number") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is not a telephone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
