"""Time zones by name, for the profile: those of Indonesia first, then others by their names in the language."""

from __future__ import annotations

from functools import lru_cache

from babel import Locale
from babel.core import get_global

INDONESIAN = {"Asia/Jakarta": "WIB", "Asia/Makassar": "WITA", "Asia/Jayapura": "WIT"}
"""The three times of Indonesia, by the zones that stand for them; the page has the text of each."""
_WESTERN = {"Asia/Pontianak": "WIB"}
OTHERS = (
    "Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "America/Argentina/Buenos_Aires",
    "America/Bogota", "America/Chicago", "America/Denver", "America/Halifax", "America/Los_Angeles",
    "America/New_York", "America/Sao_Paulo", "Asia/Amman", "Asia/Bangkok", "Asia/Dhaka", "Asia/Dili", "Asia/Dubai",
    "Asia/Hong_Kong", "Asia/Karachi", "Asia/Kolkata", "Asia/Kuala_Lumpur", "Asia/Manila", "Asia/Riyadh", "Asia/Seoul",
    "Asia/Shanghai", "Asia/Singapore", "Asia/Taipei", "Asia/Tashkent", "Asia/Tehran", "Asia/Tokyo", "Asia/Yangon",
    "Australia/Adelaide", "Australia/Brisbane", "Australia/Darwin", "Australia/Perth", "Australia/Sydney",
    "Europe/Athens", "Europe/Berlin", "Europe/Istanbul", "Europe/London", "Europe/Moscow", "Pacific/Auckland",
    "Pacific/Honolulu", "Pacific/Port_Moresby",
)  # fmt: skip
"""One zone for each time that people from Indonesia live in; a profile may hold any other one."""


@lru_cache(maxsize=64)
def other_time_zones(locale: str, stored: str) -> tuple[tuple[str, str], ...]:
    """Return the zones to choose from after those of Indonesia, as value and name.

    Args:
        locale: the language of the names.
        stored: the zone of the profile, which can be chosen again whatever it is; empty: there is none.
    """
    zones = {*OTHERS, *([stored] if stored and stored not in INDONESIAN else [])}
    return tuple((zone, name) for name, zone in sorted((_name(zone, locale), zone) for zone in zones))


def _name(zone: str, locale: str) -> str:
    """Return the name of a zone, such as ``Jepang (Tokyo)``; a zone of no country as it is written."""
    place = Locale.parse(locale).territories.get(get_global("zone_territories").get(zone, ""))
    city = zone.rpartition("/")[2].replace("_", " ")
    place = _WESTERN.get(zone, place)
    return f"{place} ({city})" if place and not zone.startswith("Etc/") else zone
