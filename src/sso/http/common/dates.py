"""Moments as people read them: in their language, in the city's time."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime


def moment_text(at: datetime, form: str = "d MMM yyyy HH:mm", *, locale: str, zone: str) -> str:
    """Return a moment in words.

    Args:
        at: the moment.
        form: a pattern of CLDR.
        locale: the language.
        zone: the city's time zone, such as ``Asia/Jakarta``.
    """
    return format_datetime(at, form, tzinfo=ZoneInfo(zone), locale=locale)


def last_day_text(until: datetime, form: str = "d MMM yyyy", *, locale: str, zone: str) -> str:
    """Return the last day of something that ends at ``until``: the end of a day is the beginning of the next one.

    Args:
        until: the first moment after it.
        form: a pattern of CLDR.
        locale: the language.
        zone: the city's time zone.
    """
    return moment_text(until - timedelta(seconds=1), form, locale=locale, zone=zone)
