"""Moments as people read them: in their language, in the city's time."""

from __future__ import annotations

from datetime import datetime
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
