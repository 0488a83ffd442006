"""The settings that administrators may change while the provider runs, with their bounds.

The list is closed (docs/decisions/0069). Their values are in the database; a value in the environment wins. A setting
belongs here when a wrong value does no harm that its owner cannot undo on the same page: no secret, no address that
the provider connects to, no floor of security. The bounds are narrower than those of the environment where a large
value would switch a protection off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from sso.settings.reference import display

Source = Literal["environment", "database", "default"]
"""Where the value of a setting comes from."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the value of a setting in the database may be, besides what the environment allows.

    Args:
        at_least: the smallest value.
        at_most: the largest value.
        choices: the values; empty: all that the setting has.
        max_chars: of a text.
    """

    at_least: int | timedelta | None = None
    at_most: int | timedelta | None = None
    choices: tuple[str, ...] = ()
    max_chars: int = 0

    def mistake(self, value: object) -> str:
        """Return what is wrong with a value; empty: nothing."""
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(self.choices)}; other values can only be set in the environment"
        if isinstance(value, (int, timedelta)):
            return self._number_mistake(value)
        if self.max_chars and isinstance(value, str) and len(value) > self.max_chars:
            return f"must have at most {self.max_chars} characters"
        return ""

    def _number_mistake(self, value: int | timedelta) -> str:
        for limit, words in ((self.at_least, "at least"), (self.at_most, "at most")):
            if limit is None or not isinstance(value, type(limit)):
                continue
            outside = value < limit if limit is self.at_least else value > limit  # type: ignore[operator]
            if outside:
                return f"must be {words} {display(limit)}; other values can only be set in the environment"
        return ""


MAX_COUNT = 5
"""An upper bound is at most so many times the default: more weakens a limit or costs more than administrators
may decide on a page. Whoever runs the hosts sets more in the environment."""
MAX_DURATION = 3
"""The same for lifetimes of sessions."""
_HOURS, _DAYS = timedelta(hours=1), timedelta(days=1)
_NAME, _LINK = Bounds(max_chars=60), Bounds(max_chars=500)
MAX_LOGO_TEXT = 44_000
"""Characters of a logo of 32 KB as a data URL."""

CHANGEABLE: Mapping[str, Bounds] = MappingProxyType(
    {
        "service_name": _NAME,
        "city_name": _NAME,
        "brand_colour": Bounds(),
        "brand_colour_dark": Bounds(),
        "brand_logo_data": Bounds(max_chars=MAX_LOGO_TEXT),
        "support_contact": Bounds(max_chars=120),
        "support_phone": Bounds(),
        "support_whatsapp": Bounds(),
        "terms_version": Bounds(),
        "terms_url": _LINK,
        "privacy_url": _LINK,
        "sign_in_notice": Bounds(max_chars=300),
        "sign_in_notice_english": Bounds(max_chars=300),
        "default_locale": Bounds(),
        "session_idle_timeout": Bounds(_HOURS / 12, 24 * _HOURS),
        "session_lifetime": Bounds(_HOURS / 4, 3 * _DAYS),
        "remembered_session_idle_timeout": Bounds(_HOURS, 30 * _DAYS),
        "remembered_session_lifetime": Bounds(timedelta(0), 90 * _DAYS),
        "sessions_per_user": Bounds(1, 100),
        "sign_up": Bounds(),
        "client_registration": Bounds(choices=("closed", "token")),
        "channels": Bounds(),
        "sign_in_failures_per_account": Bounds(3, 20),
        "sign_in_failures_per_ip_address": Bounds(10, 500),
        "sign_ups_per_ip_address": Bounds(1, 100),
        "one_time_codes_per_contact_per_hour": Bounds(1, 20),
        "one_time_codes_per_contact_per_day": Bounds(1, 50),
        "one_time_codes_per_ip_address": Bounds(10, 500),
        "sms_per_day": Bounds(1, 100_000),
        "invitations_per_user": Bounds(1, 100),
    }
)
"""The settings that administrators may change, each with its bounds."""
