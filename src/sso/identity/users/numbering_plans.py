"""What the numbering plans of the world say of a telephone number. Read when somebody types one: the library takes 2 MB
and 40 ms."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

E164_CHARS = 16
"""A plus sign and 15 digits."""
_REGION = "ID"
_NO_SMS = {
    PhoneNumberType.FIXED_LINE, PhoneNumberType.TOLL_FREE, PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST,
    PhoneNumberType.UAN, PhoneNumberType.VOICEMAIL,
}  # fmt: skip


def is_valid(number: str) -> bool:
    """Tell whether a numbering plan has a number in E.164."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, _REGION))
    except phonenumbers.NumberParseException:
        return False


def takes_sms(number: str) -> bool:
    """Tell whether a number in E.164 can receive an SMS: not that of a landline or a service."""
    try:
        return phonenumbers.number_type(phonenumbers.parse(number, _REGION)) not in _NO_SMS
    except phonenumbers.NumberParseException:
        return False


def parse(spellings: Sequence[str]) -> tuple[str, bool] | None:
    """Return a number in E.164, and whether a numbering plan has it: the first of these spellings that one has, or the
    last where the numbering plans at least hold it possible; None where they do not."""
    for spelling in spellings:
        with suppress(phonenumbers.NumberParseException):
            number = phonenumbers.parse(spelling, _REGION)
            text = str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
            if phonenumbers.is_valid_number(number):
                return (text, True) if len(text) <= E164_CHARS else None
            if spelling == spellings[-1] and _is_possible(number, text):
                return text, False
    return None


def _is_possible(number: phonenumbers.PhoneNumber, text: str) -> bool:
    """Tell whether a number can exist, and its text in E.164 reads as this number: zeros at its beginning would be
    lost."""
    possible = len(text) <= E164_CHARS and phonenumbers.is_possible_number(number)
    return possible and bool(phonenumbers.parse(text) == number)
