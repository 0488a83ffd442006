"""Texts of mails and SMS to users, in the language of the user, as plain text and as HTML. They are sent by
``mail_delivery.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sso.accounts.contact_changes import NOTICES as CONTACT_NOTICES
from sso.http.common.dates import moment_text
from sso.http.common.i18n import N_, page_language
from sso.http.common.pages import PLAIN_TEMPLATE_CODE, environment
from sso.platform.security.text import one_line
from sso.settings import Settings, whole_minutes

GREETING = N_("Hello %(name)s,")
GREETING_NOBODY = N_("Hello,")
SMS_CODE = N_("%(code)s is your code for %(service)s. Give it to nobody, whoever asks.")
SMS_NOTICE = N_("%(service)s: %(text)s")


@dataclass(frozen=True, slots=True)
class Notice:
    """What one kind of message says: what happened, and what to do. ``button`` is what its link is called; ``code``: it
    holds a code, which an SMS says in short."""

    subject: str
    text: str
    advice: str
    button: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True)
class Mail:
    """A message, ready to be sent; ``sms`` is what it says where it goes to a telephone."""

    to: str
    subject: str
    text: str
    html: str
    locale: str
    sms: str


_NOT_YOU = N_("If this was not you, or not at your wish, write to %(support)s at once.")
_NOBODY = N_("Give the code to nobody, whoever asks: not to us either.")
NOTICES = {
    "code_sign_up": Notice(
        N_("Your code: %(code)s"),
        N_("With this code you go on with your registration. It is valid for %(minutes)s minutes."),
        N_("If you did not want to register, you need not do anything."),
        code=True,
    ),
    "code_sign_in": Notice(
        N_("Your code: %(code)s"),
        N_("With this code you go on signing in. It is valid for %(minutes)s minutes."),
        N_("If you are not signing in, somebody knows your password: change it. Give the code to nobody."),
        code=True,
    ),
    "code_contact": Notice(
        N_("Your code: %(code)s"),
        N_("With this code you show that this address or number is yours. It is valid for %(minutes)s minutes."),
        _NOBODY,
        code=True,
    ),
    "code_recover": Notice(
        N_("Your code: %(code)s"),
        N_("With this code you get back into your account. It is valid for %(minutes)s minutes."),
        N_("If you did not ask for it, you need not do anything: your password still holds. Give the code to nobody."),
        code=True,
    ),
    "already_here": Notice(
        N_("You have an account already"),
        N_("On %(at)s somebody wanted to register with this address. It belongs to your account: sign in with it."),
        N_("If you forgot your password, recover your account. If this was not you, you need not do anything."),
        N_("Sign in"),
    ),
    "welcome": Notice(
        N_("Your account is ready"),
        N_("Since %(at)s you have an account for every application of the city."),
        _NOT_YOU,
        N_("To my account"),
    ),
    "new_device": Notice(
        N_("You signed in at a new device"),
        N_("On %(at)s you signed in with a device that is new to us: %(device)s. %(place)s"),
        N_("If this was not you, say so: every session ends, and your account is locked until you recover it."),
        N_("This was not me"),
    ),
    "password_changed": Notice(
        N_("Your password was changed"),
        N_("The password of your account was changed on %(at)s. You were signed out everywhere."),
        _NOT_YOU,
    ),
    "factor_added": Notice(
        N_("A way to sign in was added"),
        N_("On %(at)s this was added to your account: %(what)s."),
        _NOT_YOU,
    ),
    "factor_removed": Notice(
        N_("A way to sign in was removed"),
        N_("On %(at)s this was removed from your account: %(what)s."),
        _NOT_YOU,
    ),
    "contact_added": Notice(
        N_("Your account has another address or number"),
        N_("On %(at)s this was added to your account: %(what)s."),
        _NOT_YOU,
    ),
    "contact_removed": Notice(
        N_("An address or number was removed from your account"),
        N_("On %(at)s this was removed from your account: %(what)s."),
        _NOT_YOU,
    ),
    "contact_verified": Notice(
        N_("An address or number of your account was verified"),
        N_("On %(at)s this was marked as verified in your account: %(what)s."),
        _NOT_YOU,
    ),
    "contact_unverified": Notice(
        N_("An address or number of your account is not verified any more"),
        N_("On %(at)s this was marked as not verified in your account: %(what)s."),
        _NOT_YOU,
    ),
    "contact_primary": Notice(
        N_("The main address or number of your account was changed"),
        N_("On %(at)s this became the main address or number of your account: %(what)s."),
        _NOT_YOU,
    ),
    "sign_in_name_changed": Notice(
        N_("The user name or NIK of your account was changed"),
        N_("On %(at)s this user name or NIK of your account was added, changed or removed: %(what)s."),
        _NOT_YOU,
    ),
    "recovery_waits": Notice(
        N_("Somebody is recovering your account"),
        N_("On %(at)s somebody began to recover your account without your second step. It is done on %(ready)s."),
        N_("If this was not you, stop it now. If it was, come back then by the link that we send you."),
        N_("Stop it"),
    ),
    "recovery_ready": Notice(
        N_("Go on recovering your account"),
        N_("You can choose a new password now. The link works once, for 24 hours."),
        _NOT_YOU,
        N_("Choose a new password"),
    ),
    "recovery_stopped": Notice(
        N_("The recovery of your account was stopped"),
        N_("It was stopped on %(at)s. Nothing of your account has changed."),
        _NOT_YOU,
    ),
    "helpdesk_recovery": Notice(
        N_("The helpdesk is helping you to recover your account"),
        N_("On %(at)s the helpdesk made a code with which your account can be recovered."),
        _NOT_YOU,
    ),
    "recovered": Notice(
        N_("Your account was recovered"),
        N_("On %(at)s a new password was chosen for your account. You were signed out everywhere."),
        _NOT_YOU,
    ),
    "locked": Notice(
        N_("Your account is protected"),
        N_("You said that a sign-in was not yours. Every session of your account was ended, and until %(until)s your "
        "account is locked."),
        N_("Recover your account now, with a new password."),
        N_("Recover account"),
    ),
    "identity_checked": Notice(
        N_("Your identity was checked"),
        N_("On %(at)s an officer recorded that your document was checked at %(place)s."),
        _NOT_YOU,
    ),
    "exported": Notice(
        N_("Your data were exported"),
        N_("On %(at)s everything that we know of you was downloaded from your account."),
        _NOT_YOU,
    ),
    "deletion_planned": Notice(
        N_("Your account will be deleted"),
        N_("On %(at)s you asked for your account to be deleted. That happens on %(until)s."),
        N_("If you change your mind, or this was not you, sign in before then: you are asked whether to keep it."),
    ),
    "deletion_cancelled": Notice(
        N_("Your account stays"),
        N_("On %(at)s you decided to keep your account."),
        _NOT_YOU,
    ),
    "application_connected": Notice(
        N_("An application was connected"),
        N_("On %(at)s you allowed %(what)s to receive data of yours."),
        N_("You can withdraw that in your account. If this was not you, write to %(support)s at once."),
    ),
    "merged": Notice(
        N_("Two accounts of yours are one now"),
        N_("On %(at)s an administrator merged another account of yours into this one. Prove its addresses and numbers "
        "once more in your account."),
        _NOT_YOU,
        N_("To my account"),
    ),
    "new_password_needed": Notice(
        N_("Choose a new password"),
        N_("On %(at)s an administrator decided that your account needs a new password. You were signed out "
        "everywhere."),
        N_("Choose one now: a code to this address or number lets you in. If you do not know why, write to "
        "%(support)s."),
        N_("Choose a new password"),
    ),
    "factors_reset": Notice(
        N_("Your second steps were taken away"),
        N_("On %(at)s an administrator took the second steps of your account away, passkeys too. You were signed out "
        "everywhere."),
        _NOT_YOU,
    ),
    "team_invitation": Notice(
        N_("An invitation to a team"),
        N_("On %(at)s somebody invited you to the team that looks after %(what)s in the developers' portal."),
        N_("The invitation is valid for 14 days. If you do not know the application, you need not do anything."),
        N_("To the developers' portal"),
    ),
    "secret_expires": Notice(
        N_("A secret of an application ends soon"),
        N_("On %(until)s a secret of %(what)s ends. After that the application cannot sign anybody in with it."),
        N_("Make a second one now, put it into your application, and revoke the old one when it is not used any more."),
        N_("To the developers' portal"),
    ),
    "application_decided": Notice(
        N_("There is news about an application of yours"),
        N_("On %(at)s an administrator decided about %(what)s, or said something about it."),
        N_("Read it in the developers' portal."),
        N_("To the developers' portal"),
    ),
    "user_invitation": Notice(
        N_("%(service)s: create your account"),
        N_("An administrator invites you to create an account for %(service)s. Choose a password or a passkey before "
        "%(until)s."),
        N_("If you do not expect an invitation, you do not need to do anything: no account is created. Questions: "
        "%(support)s."),
        N_("Create my account"),
    ),
    "account_disabled": Notice(
        N_("Your account was switched off"),
        N_("Your account was switched off on %(at)s. You cannot sign in any more, and were signed out everywhere."),
        N_("If you do not know why, write to %(support)s."),
    ),
    "sessions_ended": Notice(
        N_("You were signed out"),
        N_("An administrator ended your session on %(at)s. Sign in again to go on."),
        N_("If you do not know why, write to %(support)s."),
    ),
}  # fmt: skip
LINKS = {
    "already_here": "/login",
    "welcome": "/account",
    "new_device": "/not-me",
    "recovery_waits": "/recover/stop",
    "recovery_ready": "/recover/continue",
    "locked": "/recover",
    "merged": "/account/contacts",
    "new_password_needed": "/recover",
    "team_invitation": "/developer",
    "secret_expires": "/developer",
    "user_invitation": "/invitation",
    "application_decided": "/developer",
}
"""Where the button of a message leads; ``token`` among its values is added."""
OPTIONAL = {"new_device": "new_device", "application_connected": "application_connected"}
"""Notices that a person may switch off, and what the preference is called."""
MAX_NAME_CHARS = 60
"""The length of a name that somebody chose, maybe to write to the receiver: ``what`` in every message but those of
``CONTACT_NOTICES``, where it is a masked address or number. No subject has it."""
COLOUR = "#0b5f5a"
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
    content, filled = NOTICES[notice], _filled(settings, notice, at, name, language, values or {})
    jinja = environment(language)
    context: dict[str, object] = {
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
        "host": settings.issuer.partition("://")[2],
    }
    plain = jinja.overlay(autoescape=False, bytecode_cache=PLAIN_TEMPLATE_CODE)
    subject = plain.from_string("{{ _(subject, **values) }}").render(context)
    text = plain.get_template("mail/notice.txt").render(context)
    sms = plain.get_template("mail/sms.txt").render(context).strip()
    return Mail(to, subject, text, jinja.get_template("mail/notice.html").render(context), language, sms)


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
    shown = "".join(char if char.isprintable() else " " for char in text)
    shown = re.sub(r"[:/\\@<>]+", " ", shown)
    shown = " ".join(re.sub(r"\.(?=[^\W\d])", ". ", shown).split())
    return shown if len(shown) <= MAX_NAME_CHARS else shown[: MAX_NAME_CHARS - 1].rstrip() + "…"
