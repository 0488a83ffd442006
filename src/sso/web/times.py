"""Moments as people read them: in their language, in the city's time."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime


def moment_text(at: datetime, locale: str, zone: str, form: str = "d MMM yyyy HH:mm") -> str:
    """Return a moment in words.

    Args:
        at: the moment.
        locale: the language.
        zone: the city's time zone, such as ``Asia/Jakarta``.
        form: a pattern of CLDR.
    """
    return format_datetime(at, form, tzinfo=ZoneInfo(zone), locale=locale)
