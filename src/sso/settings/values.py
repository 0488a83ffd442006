"""Types of settings: durations (``10m``), sizes (``64KiB``) and lists (``a, b``)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ByteSize, SecretStr
from pydantic_settings import NoDecode

_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_DURATION_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)")
_SIZE_UNITS = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1}


MAX_DURATION = timedelta(days=36500)
"""A century: a longer one would end after the last date that can be stored."""


def parse_duration(value: object) -> timedelta:
    """Return the duration that a text such as ``30s``, ``10m``, ``24h`` or ``14d`` stands for.

    Raises:
        ValueError: when ``value`` is not a number followed by one unit; a number alone is refused too.
    """
    if isinstance(value, timedelta):
        return value
    if match := _DURATION.fullmatch(str(value)):
        if int(match[1][:12]) * _DURATION_UNITS[match[2]] > MAX_DURATION:
            raise ValueError(f"must be at most {MAX_DURATION.days}d; not {value}")
        return int(match[1]) * _DURATION_UNITS[match[2]]
    raise ValueError(f"must be a number and a unit (ms, s, m, h, d), such as 30s, 10m, 24h or 14d; not {value}")


def format_duration(value: timedelta) -> str:
    """Return ``value`` in the form that ``parse_duration`` reads, in the largest unit that fits; a day is ``24h``."""
    for unit, length in _DURATION_UNITS.items():
        count, rest = divmod(value, length)
        if not rest and count and (unit != "d" or count > 1):
            return f"{count}{unit}"
    return "0s"


def parse_size(value: object) -> ByteSize:
    """Return the number of bytes that a text such as ``64KiB`` or ``5MiB`` stands for.

    Raises:
        ValueError: when ``value`` is not a number followed by one unit; a number alone is refused too.
    """
    if isinstance(value, ByteSize):
        return value
    if match := _SIZE.fullmatch(str(value)):
        return ByteSize(int(match[1]) * _SIZE_UNITS[match[2]])
    raise ValueError(f"must be a number and a unit (B, KiB, MiB, GiB), such as 64KiB or 5MiB; not {value}")


def format_size(value: int) -> str:
    """Return ``value``, in bytes, in the form that ``parse_size`` reads, in the largest unit that fits."""
    for unit, length in _SIZE_UNITS.items():
        count, rest = divmod(value, length)
        if not rest and count:
            return f"{count}{unit}"
    return "0B"


def whole_seconds(value: timedelta) -> int:
    """Return a duration in whole seconds, rounded down, for protocol messages and cookies."""
    return value // _DURATION_UNITS["s"]


def whole_minutes(value: timedelta) -> int:
    """Return a duration in whole minutes."""
    return value // _DURATION_UNITS["m"]


def whole_hours(value: timedelta) -> int:
    """Return a duration in whole hours."""
    return value // _DURATION_UNITS["h"]


def whole_days(value: timedelta) -> int:
    """Return a duration in whole days."""
    return value // _DURATION_UNITS["d"]


def split_commas(value: object) -> object:
    """Return the parts of a text that is separated by commas; other values unchanged."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _whole(unit: str, words: str) -> AfterValidator:
    """Return a check that a duration has whole units, because pages and mails state it in this unit."""

    def check(value: timedelta) -> timedelta:
        if value % _DURATION_UNITS[unit]:
            raise ValueError(f"must be whole {words}, such as 1{unit}; not {format_duration(value)}")
        return value

    return AfterValidator(check)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Minutes = Annotated[Duration, _whole("m", "minutes")]
Hours = Annotated[Duration, _whole("h", "hours")]
Days = Annotated[Duration, _whole("d", "days")]
Size = Annotated[ByteSize, BeforeValidator(parse_size)]
TextList = Annotated[list[str], NoDecode, BeforeValidator(split_commas)]
SecretList = Annotated[list[SecretStr], NoDecode, BeforeValidator(split_commas)]
