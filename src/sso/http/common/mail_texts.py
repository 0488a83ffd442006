"""Composes mails, SMS and WhatsApp messages to users, in the language of the user. What they say is in
``mail_notices.py``; ``mail_delivery.py`` sends them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from urllib.parse import urlsplit

from jinja2 import Environment, Template

from sso.accounts.contact_changes import NOTICES as CONTACT_NOTICES
from sso.http.common.dates import moment_text
from sso.http.common.i18n import N_, page_language
from sso.http.common.mail_notices import LINKS, NOTICES, Notice
from sso.http.common.pages import PLAIN_TEMPLATE_CODE, environment
from sso.platform.outbox.sms_text import fits_one_segment, to_gsm7
from sso.platform.security.text import one_line
from sso.settings import Settings, whole_minutes

GREETING = N_("Hello %(name)s,")
GREETING_NOBODY = N_("Hello,")
SMS_CODE = N_("%(code)s is your code for %(service)s. Do not give this code to anybody.")
SMS_NOTICE = N_("%(service)s: %(text)s")
FACTORS = {"TOTP": N_("authenticator app"), "passkey": N_("passkey"), "recovery codes": N_("recovery codes")}
"""What sign-in methods are called in messages; ``what`` of a notice begins with one."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message, ready to be sent: ``sms`` and ``whatsapp`` are what it says where it goes to a telephone; ``code`` is
    its one-time code, empty where it has none."""

    to: str
    subject: str
    text: str
    html: str
    locale: str
    sms: str
    whatsapp: str
    code: str


MAX_NAME_CHARS = 60
"""The length of a name that somebody chose, maybe to write to the receiver: ``what`` in every message but those of
``CONTACT_NOTICES``, where it is a masked address or number. No subject has it."""
COLOUR = "#0b5f5a"
MIN_SERVICE_CHARS = 8
_MOMENTS = ("ready", "until")


def compose(
    settings: Settings,
    notice: str,
    to: str,
    at: datetime,
    *,
    name: str = "",
    locale: str | None = None,
    values: Mapping[str, str] | None = None,
) -> Mail:
    """Return a message.

    Args:
        settings: names and the default language.
        notice: what about; one of ``NOTICES``.
        to: the address or number.
        at: when it happened.
        name: the person's; nobody knows it where a contact is not proven yet.
        locale: the language; the default one where it is none of ours.
        values: what it says besides; moments among them as ISO 8601.
    """
    language = page_language(locale, settings.default_locale)
    plain = _plain_environment(language)
    content, filled = NOTICES[notice], _filled(settings, notice, at, name, language, values or {})
    if notice in ("factor_added", "factor_removed") and "what" in filled:
        filled["what"] = _factor_text(language, filled["what"])
    context = _context(settings, notice, content, filled, language, name)
    subject = _text_template(language, "{{ service }}: {{ _(subject, **values) }}").render(context)
    return Mail(
        to,
        subject,
        plain.get_template("mail/notice.txt").render(context),
        environment(language).get_template("mail/notice.html").render(context),
        language,
        _sms(plain, context),
        _whatsapp(language, content, context),
        str(context["code"]),
    )


@cache
def _plain_environment(language: str) -> Environment:
    """Return what renders plain text in a language. It keeps the templates that it has read."""
    return environment(language).overlay(autoescape=False, bytecode_cache=PLAIN_TEMPLATE_CODE)


@cache
def _text_template(language: str, source: str) -> Template:
    """Return a template of plain text, compiled once.

    Args:
        language: of the text.
        source: the template: a constant of this module, so that few are kept.
    """
    return _plain_environment(language).from_string(source)


def _context(
    settings: Settings, notice: str, content: Notice, filled: Mapping[str, str], language: str, name: str
) -> dict[str, object]:
    """Return what the templates of a message name."""
    return {
        "locale": language,
        "service": settings.service_name,
        "city": settings.city_name,
        "colour": settings.brand_colour or COLOUR,
        "values": filled,
        "subject": content.subject,
        "text": content.text,
        "advice": content.advice,
        "greeting": GREETING if name else GREETING_NOBODY,
        "code": filled.get("code", "") if content.code else "",
        "link": _link(settings, notice, filled),
        "button": content.button,
        "sms": SMS_CODE if content.code else SMS_NOTICE,
        "host": urlsplit(settings.issuer).hostname,
    }


def _factor_text(language: str, what: str) -> str:
    """Return the name of a sign-in method in the language of the message."""
    known = next((name for name in FACTORS if what == name or what.startswith(f"{name} (")), None)
    if known is None:
        return what
    return _text_template(language, "{{ _(name) }}").render(name=FACTORS[known]) + what[len(known) :]


def _sms(plain: Environment, context: dict[str, object]) -> str:
    """Return the text of the SMS: in the GSM-7 alphabet and, with a shorter name of the service where that is needed,
    in one segment."""
    template, service = plain.get_template("mail/sms.txt"), to_gsm7(str(context["service"]))
    while True:
        values = {**dict(_values_of(context)), "service": service}
        text = to_gsm7(template.render({**context, "service": service, "values": values}).strip())
        if fits_one_segment(text) or len(service) <= MIN_SERVICE_CHARS:
            return text
        service = service[:-1].rstrip()


def _values_of(context: dict[str, object]) -> dict[str, str]:
    values = context["values"]
    assert isinstance(values, dict)
    return values


def _whatsapp(language: str, content: Notice, context: dict[str, object]) -> str:
    """Return the text of the WhatsApp message: of a code, what its template says in about these words; of a notice, the
    parameter of its template, which is one line."""
    if content.code:
        return _text_template(language, "{{ _(sms, **values) }}").render(context)
    text = "{{ _(text, **values) }} {{ _(advice, **values) }}{% if link %} {{ link }}{% endif %}"
    return one_line(_text_template(language, text).render(context))


def _filled(
    settings: Settings, notice: str, at: datetime, name: str, language: str, values: Mapping[str, str]
) -> dict[str, str]:
    """Return what a message names, each on one line, and moments in the words of the language."""

    def moment(when: datetime) -> str:
        return moment_text(when, "d MMMM yyyy HH:mm z", locale=language, zone=settings.time_zone)

    chosen = {"device", "place"} | ({"what"} if notice not in CONTACT_NOTICES else set())
    filled = {
        "at": moment(at),
        "support": settings.support_contact,
        "service": settings.service_name,
        "minutes": str(whole_minutes(settings.one_time_code_lifetime)),
        "name": name,
        **{key: plain_name(value) if key in chosen else value for key, value in values.items()},
    }
    filled = {key: one_line(str(value)) for key, value in filled.items()}
    return filled | {key: moment(datetime.fromisoformat(filled[key])) for key in _MOMENTS if key in filled}


def _link(settings: Settings, notice: str, filled: Mapping[str, str]) -> str:
    """Return where the button of a message leads; empty: it has none."""
    if not NOTICES[notice].button:
        return ""
    sign_in_at = str(filled.get("sign_in_at", ""))
    own = notice == "already_here" and sign_in_at.startswith("/login")
    link = settings.issuer + (sign_in_at if own else LINKS[notice])
    return f"{link}?t={filled['token']}" if "token" in filled else link


def plain_name(text: str) -> str:
    """Return a name that somebody chose as a mail may show it: short, on one line, and nothing of which a mail program
    makes a link or an address."""
    safe_name = "".join(char if char.isprintable() else " " for char in text)
    safe_name = re.sub(r"[:/\\@<>]+", " ", safe_name)
    safe_name = " ".join(re.sub(r"\.(?=[^\W\d])", ". ", safe_name).split())
    return safe_name if len(safe_name) <= MAX_NAME_CHARS else safe_name[: MAX_NAME_CHARS - 1].rstrip() + "…"
