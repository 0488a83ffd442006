"""Rules of employments: kinds, and when one is valid. Pure functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

Status = Literal["pns", "cpns", "pppk", "honorer", "other"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""Civil servant, candidate civil servant, employee with a work agreement, contract worker without a NIP, and others."""
WITHOUT_NIP: tuple[Status, ...] = ("honorer", "other")
"""Who may have no NIP. They are found by their NIK."""
MAX_GRADE_CHARS, MAX_POSITION_CHARS = 40, 200
State = Literal["planned", "active", "ended"]
MAX_FILE_BYTES, MAX_LIST_BYTES = 256 * 1024, 512 * 1024
"""Of a file that is sent to a page, and of a list that is sent to the API."""
_DAY = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[ T]00:00(?::00)?)?")
_DAY_FIRST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})(?: 00:00(?::00)?)?")
_STATUS_WORDS: dict[Status, tuple[str, ...]] = {
    "pns": ("pns", "pegawainegerisipil"),
    "cpns": ("cpns", "calonpegawainegerisipil"),
    "pppk": ("pppk", "p3k", "pk", "pppkparuhwaktu", "pppkpenuhwaktu", "pegawaipemerintahdenganperjanjiankerja"),
    "honorer": ("honorer", "honor", "nonasn", "thl", "tkk", "kontrak", "tenagakontrak", "tenagaharianlepas"),
    "other": ("other", "lainnya", "lain"),
}
NOT_A_DAY = "is not a date: write it as in 2026-12-31 or 31-12-2026"


def read_day(text: str, zone: str) -> datetime:
    """Return the beginning of a day.

    Args:
        text: ``2026-12-31``, ``31-12-2026``, ``31/12/2026`` or ``31.12.2026``: the day comes before the month.
        zone: the time zone of the city.

    Raises:
        ValueError: when there is no such day.
    """
    match = _DAY.fullmatch(text.strip())
    parts = match.groups() if match else ()
    if match is None and (match := _DAY_FIRST.fullmatch(text.strip())):
        parts = match.groups()[::-1]
    try:
        year, month, day = map(int, parts)
        return datetime(year, month, day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(NOT_A_DAY) from None


def read_last_day(text: str, zone: str) -> datetime:
    """Return the end of a day: the beginning of the next one. Arguments and errors as at :func:`read_day`."""
    start = read_day(text, zone).astimezone(ZoneInfo(zone))
    try:
        following = start.date() + timedelta(days=1)
        return datetime(following.year, following.month, following.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except OverflowError:
        raise ValueError(NOT_A_DAY) from None


def read_status(text: str) -> Status:
    """Return the kind of employment that is written.

    Raises:
        ValueError: when it is none.
    """
    word = re.sub(r"[^a-z]", "", text.casefold())
    for status, words in _STATUS_WORDS.items():
        if word in words:
            return status
    raise ValueError(f"must be one of {', '.join(STATUSES)}")


def state_of(valid_from: datetime | None, valid_until: datetime | None, now: datetime) -> State:
    """Return whether an employment is planned, active or ended."""
    if valid_until is not None and valid_until <= now:
        return "ended"
    return "planned" if valid_from is not None and valid_from > now else "active"
