"""The NIP, the number of an employee of the government: its parts, and how it is printed. Pure functions.

A NIP has 18 digits: date of birth (YYYYMMDD), appointment, sex (1 man, 2 woman) and a serial number (001 to 999). The
appointment of a civil servant (PNS) is a year and a month (YYYYMM). That of an employee with a work agreement (PPPK) is
a year, the digit 2, and how many agreements there were (1 to 9), so that 21 to 29 stand in place of the month. Before
2008 a NIP had 9 digits, without parts that can be checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from sso import clock

NIP_DIGITS, OLD_NIP_DIGITS = 18, 9
FIRST_BIRTH_YEAR = 1900
MIN_AGE_YEARS = 15
"""How old somebody is at least in the year of the appointment. The law says 18; earlier appointments differ."""
_PRINTED = re.compile(r"[ .\-]")
Part = Literal["digits", "birth", "year", "month", "sex", "serial"]
WRONG: dict[Part, str] = {
    "digits": "a NIP has 18 digits",
    "birth": "the date of birth in this NIP (digits 1 to 8) does not exist",
    "year": "the year of appointment in this NIP (digits 9 to 12) does not fit the date of birth, or is in the future",
    "month": "digits 13 and 14 of this NIP must be a month (01 to 12), or 21 to 29 for PPPK",
    "sex": "digit 15 of this NIP must be 1 (man) or 2 (woman)",
    "serial": "the serial number in this NIP (digits 16 to 18) is 000: a spreadsheet may have destroyed the digits. "
    "Format the column as text, and write the file again",
}
OLD_WRONG = "an old NIP has 9 digits: a spreadsheet may have removed zeros at the beginning"


class NipRefused(ValueError):
    """Text is no NIP. ``part``: which part is wrong."""

    def __init__(self, part: Part) -> None:
        super().__init__(WRONG[part])
        self.part = part


@dataclass(frozen=True, slots=True)
class Nip:
    """A NIP in its parts. ``agreement``: which work agreement of a PPPK, from 1; 0: a civil servant.

    ``month``: of the appointment of a civil servant; 0: a PPPK.
    """

    birth: date
    year: int
    month: int
    agreement: int
    sex: Literal[1, 2]
    serial: int

    @property
    def is_pppk(self) -> bool:
        """Whether it is the number of an employee with a work agreement."""
        return self.agreement > 0

    def __str__(self) -> str:
        appointed = f"2{self.agreement}" if self.agreement else f"{self.month:02}"
        return f"{self.birth:%Y%m%d}{self.year:04}{appointed}{self.sex}{self.serial:03}"


def read_nip(text: str) -> Nip:
    """Return a NIP in its parts.

    Args:
        text: 18 digits, with or without the blanks, dots and hyphens of the printed form.

    Raises:
        NipRefused: naming the part that is wrong.
    """
    digits = _PRINTED.sub("", text.strip())
    if len(digits) != NIP_DIGITS or not (digits.isascii() and digits.isdigit()):
        raise NipRefused("digits")
    try:
        birth = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        raise NipRefused("birth") from None
    year, month = int(digits[8:12]), int(digits[12:14])
    if birth.year < FIRST_BIRTH_YEAR:
        raise NipRefused("birth")
    if not birth.year + MIN_AGE_YEARS <= year <= clock.now().year + 1:
        raise NipRefused("year")
    if not (1 <= month <= 12 or 21 <= month <= 29):
        raise NipRefused("month")
    serial = int(digits[15:])
    sex: Literal[1, 2] = 1 if digits[14] == "1" else 2
    if digits[14] not in "12":
        raise NipRefused("sex")
    if serial == 0:
        raise NipRefused("serial")
    is_pppk = month > 12
    return Nip(birth, year, 0 if is_pppk else month, month - 20 if is_pppk else 0, sex, serial)


def normal_nip(text: str) -> str:
    """Return the 18 digits of a NIP.

    Raises:
        NipRefused: naming the part that is wrong.
    """
    return str(read_nip(text))


def normal_old_nip(text: str) -> str:
    """Return the 9 digits of a NIP of the time before 2008.

    Raises:
        ValueError: when it is none.
    """
    digits = _PRINTED.sub("", text.strip())
    if len(digits) != OLD_NIP_DIGITS or not (digits.isascii() and digits.isdigit()) or not digits.strip("0"):
        raise ValueError(OLD_WRONG)
    return digits


def printed_nip(digits: str) -> str:
    """Return a NIP as it is printed: ``19850101 201001 1 001``, an old one ``130 119 400``."""
    if len(digits) == NIP_DIGITS:
        return f"{digits[:8]} {digits[8:14]} {digits[14]} {digits[15:]}"
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}" if len(digits) == OLD_NIP_DIGITS else digits
