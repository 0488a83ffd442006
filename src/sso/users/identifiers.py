"""What people type to say who they are: an e-mail address, a telephone number, a user name or their NIK."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Literal

import phonenumbers
from stdnum.exceptions import ValidationError as NumberError
from stdnum.id import nik as nik_rules

from sso.security.text import check_line

Kind = Literal["email", "phone", "username", "nik"]

MAX_IDENTIFIER_CHARS = 254
NIK_DIGITS = 16
_REGION = "ID"
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._\-]{2,63}")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f<>\"(),:;\\\[\]]{1,64}@[a-z0-9](?:[a-z0-9.\-]{0,250}[a-z0-9])?")
_PHONE_LIKE = re.compile(r"\+?[0-9][0-9 ().\-]{6,20}")
_NIK_LIKE = re.compile(r"[0-9]{16}|[0-9]{4}([ .\-][0-9]{4}){3}|[0-9]{6}[ .\-][0-9]{6}[ .\-][0-9]{4}")


@dataclass(frozen=True, slots=True)
class NormalIdentifier:
    """An identifier in the one form under which it is found. Of a NIK that is the number itself: never store it."""

    kind: Kind
    value: str

    def lookup(self, nik_key: bytes) -> str:
        """Return the form that is unique among all people: of a NIK a keyed hash, so that the database alone tells
        nothing of it.

        Args:
            nik_key: the key of this installation.
        """
        return nik_lookup(self.value, nik_key) if self.kind == "nik" else self.value


def normalise(text: str) -> NormalIdentifier:
    """Return the normal form of what somebody typed: NFKC, small letters, numbers in E.164 with +62 as default.

    Raises:
        ValueError: when it can be no identifier.
    """
    value = check_line(unicodedata.normalize("NFKC", text).strip()).casefold()
    if not value or len(value) > MAX_IDENTIFIER_CHARS:
        raise ValueError(f"must have 1 to {MAX_IDENTIFIER_CHARS} characters")
    if "@" in value:
        return NormalIdentifier("email", _email(value))
    if _NIK_LIKE.fullmatch(value):
        return NormalIdentifier("nik", normal_nik(value))
    if _PHONE_LIKE.fullmatch(value):
        return NormalIdentifier("phone", _phone(value))
    if _USERNAME.fullmatch(value):
        return NormalIdentifier("username", value)
    raise ValueError("must be an e-mail address, a telephone number, or 3 to 64 letters, digits, dots or hyphens")


def normal_nik(text: str) -> str:
    """Return the 16 digits of a NIK: place of registration (Permendagri codes), date of birth (a woman's day plus 40)
    and a running number, by the rules of python-stdnum (``stdnum.id.nik``).

    Raises:
        ValueError: saying which part is wrong.
    """
    digits = nik_rules.compact(unicodedata.normalize("NFKC", text))
    if not (digits.isascii() and digits.isdigit()) or len(digits) != NIK_DIGITS:
        raise ValueError(f"a NIK has {NIK_DIGITS} digits")
    try:
        nik_rules.get_birth_date(digits)
    except NumberError:
        raise ValueError("the date of birth in this NIK does not exist") from None
    try:
        nik_rules.validate(digits)
    except NumberError:
        raise ValueError("the place in this NIK does not exist") from None
    if int(digits[6:8]) % 40 > 31 or digits.endswith("0000"):
        raise ValueError("the end of this NIK cannot be right")
    return digits


def nik_birth_day(digits: str) -> tuple[int, int]:
    """Return day and month of birth that a NIK holds; the century of the year is not in it."""
    born: date = nik_rules.get_birth_date(digits)
    return born.day, born.month


def nik_lookup(digits: str, key: bytes) -> str:
    """Return the keyed hash under which a NIK is found (HMAC-SHA-256)."""
    return "nik:" + hmac.new(key, digits.encode(), hashlib.sha256).hexdigest()


def masked(kind: str, value: str) -> str:
    """Return an identifier so that its owner recognises it, and somebody else learns little."""
    if kind == "nik":
        return f"{value[:4]}••••••••{value[-4:]}"
    if kind == "email":
        local, _, domain = value.partition("@")
        return f"{local[:1]}•••{local[-1:] if len(local) > 2 else ''}@{domain}"
    if kind == "phone":
        return f"{value[:5]}•••••{value[-3:]}"
    return value


def _email(value: str) -> str:
    local, _, domain = value.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii") if not domain.isascii() else domain
    except UnicodeError:
        raise ValueError("is not an e-mail address") from None
    value = f"{local}@{domain}"
    if not _EMAIL.fullmatch(value) or ".." in domain or "." not in domain:
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
