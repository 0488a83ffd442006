"""The settings that administrators may change, as the console shows them: sections, labels and errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sso.http.common.field_errors import FieldError
from sso.platform.messages import N_
from sso.settings import CHANGEABLE, CHANNELS, Settings, display, variable


@dataclass(frozen=True, slots=True)
class Section:
    """Settings that are changed on one page."""

    title: str
    icon: str
    names: tuple[str, ...]


SECTIONS: Mapping[str, Section] = {
    "brand": Section(
        N_("Name, logo and colours"),
        "building",
        ("service_name", "city_name", "brand_colour", "brand_colour_dark", "brand_logo_data"),
    ),
    "texts": Section(
        N_("Help, links and notices"),
        "help-circle",
        (
            "support_contact", "support_phone", "support_whatsapp", "sign_in_notice", "sign_in_notice_english",
            "terms_url", "privacy_url", "terms_version", "default_locale",
        ),
    ),
    "sessions": Section(
        N_("Sessions"),
        "clock",
        (
            "session_idle_timeout", "session_lifetime", "remembered_session_idle_timeout",
            "remembered_session_lifetime", "sessions_per_user",
        ),
    ),
    "registration": Section(N_("Registration"), "user-plus", ("sign_up", "client_registration")),
    "channels": Section(N_("Channels"), "send", ("channels",)),
    "limits": Section(
        N_("Limits"),
        "shield-check",
        (
            "sign_in_failures_per_account", "sign_in_failures_per_ip_address", "sign_ups_per_ip_address",
            "one_time_codes_per_contact_per_hour", "one_time_codes_per_contact_per_day",
            "one_time_codes_per_ip_address", "sms_per_day", "invitations_per_user",
        ),
    ),
}  # fmt: skip
"""The sections by the last part of their address. A test compares them with the list of changeable settings."""

LABELS: Mapping[str, str] = {
    "service_name": N_("Name of the service"),
    "city_name": N_("Name of the city"),
    "brand_colour": N_("Colour on a light background"),
    "brand_colour_dark": N_("Colour on a dark background"),
    "brand_logo_data": N_("Logo"),
    "support_contact": N_("Contact of the helpdesk"),
    "support_phone": N_("Phone number of the helpdesk"),
    "support_whatsapp": N_("WhatsApp number of the helpdesk"),
    "sign_in_notice": N_("Notice above the sign-in form, in Indonesian"),
    "sign_in_notice_english": N_("Notice above the sign-in form, in English"),
    "terms_url": N_("Address of the terms of use"),
    "privacy_url": N_("Address of the privacy notice"),
    "terms_version": N_("Version of the terms of use"),
    "default_locale": N_("Language of pages"),
    "session_idle_timeout": N_("End of an unused session"),
    "session_lifetime": N_("Longest session"),
    "remembered_session_idle_timeout": N_("End of an unused session on a remembered device"),
    "remembered_session_lifetime": N_("Longest session on a remembered device"),
    "sessions_per_user": N_("Sessions of one user"),
    "sign_up": N_("Registration of citizens"),
    "client_registration": N_("Dynamic client registration"),
    "channels": N_("Channels for codes and notices"),
    "sign_in_failures_per_account": N_("Wrong passwords for one account"),
    "sign_in_failures_per_ip_address": N_("Wrong passwords from one IP address"),
    "sign_ups_per_ip_address": N_("Registrations from one IP address"),
    "one_time_codes_per_contact_per_hour": N_("Codes to one contact in an hour"),
    "one_time_codes_per_contact_per_day": N_("Codes to one contact in a day"),
    "one_time_codes_per_ip_address": N_("Codes requested from one IP address"),
    "sms_per_day": N_("SMS in a day"),
    "invitations_per_user": N_("Invitations by one user in a day"),
}
CHOICES: Mapping[str, Mapping[str, str]] = {
    "default_locale": {"id": "Bahasa Indonesia", "en": "English"},
    "sign_up": {"open": N_("Open: everybody can create an account"), "closed": N_("Closed")},
    "client_registration": {
        "closed": N_("Closed"),
        "token": N_("Only with an initial access token"),
        "open": N_("Open to everybody"),
    },
    "channels": {"email": N_("E-mail"), "sms": "SMS", "whatsapp": "WhatsApp"},
}
"""The texts of values that are chosen from a list."""
LONG_TEXTS = ("sign_in_notice", "sign_in_notice_english")
SOURCES: Mapping[str, str] = {
    "environment": N_("environment"),
    "database": N_("database"),
    "default": N_("default"),
}
"""Where a value comes from."""

_MESSAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"must be a number and a unit \(ms, s, m, h, d\), such as 30s, 10m, 24h or 14d; not (?P<value>.*)"),
        N_("must be a number and a unit (s, m, h, d), such as 30s, 10m, 24h or 14d; not %(value)s"),
    ),
    (
        re.compile(r"must be at least (?P<limit>[^ ;]*); other values can only be set in the environment"),
        N_("must be at least %(limit)s; other values can only be set in the environment"),
    ),
    (
        re.compile(r"must be at most (?P<limit>[^ ;]*); other values can only be set in the environment"),
        N_("must be at most %(limit)s; other values can only be set in the environment"),
    ),
    (
        re.compile(r"must be one of (?P<choices>.*); other values can only be set in the environment"),
        N_("must be one of %(choices)s; other values can only be set in the environment"),
    ),
    (re.compile(r"must be at least (?P<limit>\S*)"), N_("must be at least %(limit)s")),
    (re.compile(r"must be at most (?P<limit>\S*)"), N_("must be at most %(limit)s")),
    (re.compile(r"must have at most (?P<limit>\d+) characters"), N_("must have at most %(limit)s characters")),
    (re.compile(r"must be an https URL"), N_("must be an https URL")),
    (re.compile(r"must be a colour such as #0f766e"), N_("must be a colour such as #0f766e")),
    (
        re.compile(r"must have a contrast of at least (?P<least>\S+) to (?P<ground>\S+); it has (?P<has>\S+)"),
        N_("must have a contrast of at least %(least)s to %(ground)s; it has %(has)s"),
    ),
    (re.compile(r"must be a name on one line"), N_("must be a name on one line")),
    (re.compile(r"must be a text on one line"), N_("must be a text on one line")),
    (re.compile(r"Input should be a valid integer.*"), N_("must be a whole number")),
    (re.compile(r"the logo is neither SVG nor PNG"), N_("the logo is neither SVG nor PNG")),
    (re.compile(r"the logo has more than (?P<limit>\d+) bytes"), N_("the logo has more than %(limit)s bytes")),
    (
        re.compile(r"must be a phone number such as .*"),
        N_("must be a phone number such as (021) 555-0123 or 112"),
    ),
    (
        re.compile(r"must begin with \+ and the country code, such as .*"),
        N_("must begin with + and the country code, such as +6281234567890"),
    ),
    (re.compile(r"must not be more than (?P<other>SSO_\w+)"), N_("must not be more than %(other)s")),
    (re.compile(r"and (?P<other>SSO_\w+) are needed together"), N_("and %(other)s are needed together")),
    (
        re.compile(r"is set in the environment, which wins: change it there"),
        N_("is set in the environment, which wins: change it there"),
    ),
    (re.compile(r"can only be set in the environment"), N_("can only be set in the environment")),
    (re.compile(r"a reason is required"), N_("Write a reason. It is kept in the history and in the audit log.")),
    (
        re.compile(r"the settings were changed meanwhile: look at them again"),
        N_("Another user has just changed these settings. Check the current values, then try again."),
    ),
)
"""The words in which the settings refuse a value, and their messages."""
NO_REASON = "reason"


def errors_of(lines: list[str]) -> list[FieldError]:
    """Return the errors of the page for lines such as ``SSO_SERVICE_NAME: must be a name on one line``."""
    return [_error(line) for line in lines]


def _error(line: str) -> FieldError:
    named = re.match(r"(SSO_\w+):? (.*)", line, re.S)
    field = named[1].removeprefix("SSO_").lower() if named else ""
    text = named[2] if named else line
    for pattern, message in _MESSAGES:
        if match := pattern.fullmatch(text):
            return FieldError(field or (NO_REASON if "reason" in text else ""), message, match.groupdict())
    return FieldError(field, N_("%(text)s"), {"text": text})


@dataclass(frozen=True, slots=True)
class FieldView:
    """A setting on the page where it is changed.

    Args:
        name: of the setting.
        variable: of the environment.
        label: a message.
        value: as it is written in the environment.
        source: where the value comes from.
        default: the value without an entry in the database.
        limits: the smallest and the largest value; empty: there is none.
        choices: the values, where there is a list, with their messages.
    """

    name: str
    variable: str
    label: str
    value: str
    source: str
    default: str
    limits: tuple[str, str]
    choices: Mapping[str, str]

    @property
    def fixed(self) -> bool:
        """Whether the environment sets it."""
        return self.source == "environment"


def field_of(settings: Settings, name: str, typed: Mapping[str, str]) -> FieldView:
    """Return a setting as the page shows it, with what was typed."""
    bounds, field = CHANGEABLE[name], type(settings).model_fields[name]
    choices = dict(CHOICES.get(name, {}))
    allowed: tuple[str, ...] = CHANNELS if name == "channels" else bounds.choices or tuple(choices)
    value = written(settings, name)
    return FieldView(
        name=name,
        variable=variable(name),
        label=LABELS[name],
        value=typed.get(name, value),
        source=settings.source_of(name),
        default=display(field.get_default(call_default_factory=True)),
        limits=(display(bounds.at_least), display(bounds.at_most)),
        choices={value: choices.get(value, value) for value in allowed},
    )


def written(settings: Settings, name: str) -> str:
    """Return the value of a setting as it is written in the environment. A list without an entry is ``none``."""
    value = getattr(settings, name)
    return "none" if value == [] else display(value)
