"""Numbers, times and ids from outside, with bounds."""

from __future__ import annotations

import math
import re
import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeGuard
from zoneinfo import ZoneInfo

MAX_TIME = 253_370_764_799
"""The last second of the year 9998, in seconds since 1970: a year remains for what is added to a time."""
_INT = re.compile(r"[0-9]{1,18}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1900, 9998


def read_int(text: str, lowest: int = 0, highest: int = 2**31 - 1) -> int:
    """Return the whole number that ``text`` is: ASCII digits alone, without sign, space or underscore.

    Args:
        text: at most 18 digits.
        lowest: the smallest that is allowed.
        highest: the largest that is allowed; as it stands, what a column of the database holds.

    Raises:
        ValueError: when it is no such number.
    """
    if not _INT.fullmatch(text) or not lowest <= int(text) <= highest:
        raise ValueError(f"must be a whole number from {lowest} to {highest}")
    return int(text)


def read_int_or_none(text: str, lowest: int = 0, highest: int = 2**31 - 1) -> int | None:
    """Return the same, or None where ``text`` is no such number."""
    try:
        return read_int(text, lowest, highest)
    except ValueError:
        return None


def is_time(value: object) -> TypeGuard[int | float]:
    """Tell whether a value of a JWT is a time that can be calculated with (NumericDate, RFC 7519 section 2): a finite
    number from 1970 on that is a date."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return (isinstance(value, int) or math.isfinite(value)) and 0 <= value <= MAX_TIME


def is_day(text: str) -> bool:
    """Tell whether ``text`` has the form of a day, such as ``2026-11-26``; whether the day exists is not checked."""
    return _DAY.fullmatch(text) is not None


def read_day(text: str, zone: str = "UTC", *, end: bool = False) -> datetime:
    """Return the beginning of a day, in UTC, that is written as ``2026-11-26``.

    Args:
        text: the day.
        zone: the time zone in which the day begins, such as ``Asia/Jakarta``.
        end: return the beginning of the day after.

    Raises:
        ValueError: when it is no day from 1900 to 9998.
    """
    if not _DAY.fullmatch(text):
        raise ValueError("must be a day such as 2026-11-26")
    if not _in_range(int(text[:4])):
        return _no_day()
    day = date.fromisoformat(text) + timedelta(days=1 if end else 0)
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def checked_moment(moment: datetime) -> datetime:
    """Return a moment in UTC.

    Raises:
        ValueError: when it is before 1900 or after 9998, where calculating with it fails.
    """
    if not _in_range(moment.year):  # a time zone takes less than a day off
        return _no_day()
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_uuid(text: str) -> uuid.UUID:
    """Return the id that ``text`` is: 32 ASCII hexadecimal digits, with or without hyphens (RFC 9562 section 4).

    Raises:
        ValueError: when it is none.
    """
    if not _UUID.fullmatch(text):
        raise ValueError("must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057")
    return uuid.UUID(text)


def _in_range(year: int) -> bool:
    return _FIRST_YEAR <= year <= _LAST_YEAR


def _no_day() -> datetime:
    raise ValueError(f"must be from the year {_FIRST_YEAR} to {_LAST_YEAR}")
