"""Mails to people: what they say, in the person's language, as plain text and as HTML."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sso.delivery import Abandon
from sso.delivery.mail import Mailer
from sso.oidc.provider import Provider
from sso.settings import Settings
from sso.users import store as users
from sso.users.models import Identifier, User
from sso.web.i18n import N_
from sso.web.pages import environment
from sso.web.times import moment_text

GREETING = N_("Hello %(name)s,")


@dataclass(frozen=True, slots=True)
class Notice:
    """What one kind of mail says: what happened, and what to do if it was not you."""

    subject: str
    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, ready to be sent."""

    to: str
    subject: str
    text: str
    html: str
    locale: str


_NOT_YOU = N_("If this was not you, or not at your wish, write to %(support)s at once.")
NOTICES = {
    "password_changed": Notice(
        N_("Your password was changed"),
        N_("The password of your account was changed on %(at)s. You were signed out everywhere."),
        _NOT_YOU,
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
}


def compose(settings: Settings, notice: str, user: User, to: str, at: datetime) -> Mail:
    """Return a mail to a person.

    Args:
        settings: names and the default language.
        notice: what about; one of ``NOTICES``.
        user: the person.
        to: their address.
        at: when it happened.
    """
    locale = user.locale if user.locale in ("id", "en") else settings.default_locale
    said, jinja = NOTICES[notice], environment(locale)
    moment = moment_text(at, "d MMMM yyyy HH:mm z", locale=locale, zone=settings.time_zone)
    values = {"at": moment, "support": settings.support_contact}
    context: dict[str, Any] = {
        "locale": locale,
        "service": settings.service_name,
        "city": settings.city_name,
        "name": user.name,
        "values": values,
        "subject": said.subject,
        "text": said.text,
        "advice": said.advice,
        "greeting": GREETING,
    }
    subject = jinja.from_string("{{ _(subject, **values) }}").render(context)
    text = jinja.overlay(autoescape=False).get_template("mail/notice.txt").render(context)
    return Mail(to, subject, text, jinja.get_template("mail/notice.html").render(context), locale)


def send_notice(provider: Provider) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Return the handler that sends mails to people, at their address of that moment."""
    mailer = Mailer(provider.settings)

    async def send(payload: Mapping[str, Any]) -> None:
        async with provider.db.read() as session:
            user = await session.get(User, uuid.UUID(payload["user_id"]))
            known = await users.identifiers_of(session, user.id) if user else []
        to = _address(known)
        if user is None or to is None or payload["notice"] not in NOTICES:
            raise Abandon("the person has no address that was verified")
        at = datetime.fromisoformat(payload["at"])
        made = compose(provider.settings, payload["notice"], user, to, at)
        await mailer.send(made.to, made.subject, made.text, made.html, made.locale)

    return send


def _address(identifiers: list[Identifier]) -> str | None:
    verified = [one for one in identifiers if one.kind == "email" and one.verified_at is not None]
    return max(verified, key=lambda one: one.is_primary).value if verified else None
