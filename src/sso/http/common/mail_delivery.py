"""Sending mails and SMS to users: the handlers of the outbox. The texts are in ``mail_texts.py``."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sso import clock
from sso.http.common.mail_texts import NOTICES, OPTIONAL, Mail, compose
from sso.identity.notifications import MessageServices, opened
from sso.identity.users import store as users
from sso.identity.users.identifiers import receives_codes
from sso.identity.users.models import Identifier, User
from sso.platform.outbox import MAIL, SMS, Abandon, NotNeeded, OtherReceiver
from sso.platform.outbox.sms import HttpGateway
from sso.platform.outbox.smtp import Mailer
from sso.platform.services import HasDatabase, HasOutbound
from sso.settings import Settings


class MailServices(MessageServices, HasDatabase, HasOutbound, Protocol):
    """What sending messages needs."""


def _written(settings: Settings, notice: str, to: str, at: datetime, **options: Any) -> Mail:
    """Return a message that is to be sent.

    Raises:
        Abandon: when it cannot be written. Trying again would change nothing, and others wait behind it.
    """
    try:
        return compose(settings, notice, to, at, **options)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Abandon(f"the message cannot be written: {type(error).__name__}") from None


def send_notice(services: MailServices) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Return the handler that sends notices to users, at the contact that they have at that moment: by mail, or by SMS
    where a user has no e-mail address."""
    deliver = _deliver(services)

    async def send(payload: Mapping[str, Any]) -> None:
        async with services.db.read() as session:
            user = await session.get(User, uuid.UUID(payload["user_id"]))
            known = await users.identifiers_of(session, user.id) if user else []
        notice = payload["notice"]
        to = _address(services.settings, known)
        if notice not in NOTICES:
            raise Abandon(f"this release does not know the notice {notice}")
        if user is None or to is None:
            raise NotNeeded("the person has no address that was verified")
        if notice in OPTIONAL and user.preferences.get(OPTIONAL[notice]) is False:
            raise NotNeeded("the person does not want to be told")
        receiver = SMS if to[0] == "phone" else MAIL
        if payload.get("receiver", receiver) != receiver:
            raise OtherReceiver(receiver)
        at, values = datetime.fromisoformat(payload["at"]), opened(services, payload)
        mail = _written(services.settings, notice, to[1], at, name=user.name, locale=user.locale, values=values)
        await deliver(to[0], mail)

    return send


def send_message(services: MailServices) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Return the handler that sends codes, and other messages to one contact, whoever has it."""
    deliver = _deliver(services)

    async def send(payload: Mapping[str, Any]) -> None:
        if clock.now() > datetime.fromisoformat(payload["until"]):
            raise Abandon("it is of no use any more")
        message = opened(services, payload)
        kind, to, at = message["kind"], message["to"], datetime.fromisoformat(message["at"])
        options = {"locale": message["locale"], "values": message["values"]}
        await deliver(kind, _written(services.settings, message["about"], to, at, **options))

    return send


def _deliver(services: MailServices) -> Callable[[str, Mail], Awaitable[None]]:
    mailer = Mailer(services.settings)

    async def deliver(kind: str, mail: Mail) -> None:
        if kind == "phone":
            await HttpGateway(services.settings, services.outbound).send(mail.to, mail.sms)
        else:
            await mailer.send(mail.to, mail.subject, mail.text, mail.html, mail.locale)

    return deliver


def _address(settings: Settings, identifiers: Sequence[Identifier]) -> tuple[str, str] | None:
    """Return kind and value of the contact of a user: the primary e-mail address, or the telephone number."""
    for kind in ("email", "phone"):
        able = [
            identifier
            for identifier in identifiers
            if identifier.kind == kind and receives_codes(kind, identifier.value)
        ]
        verified = [identifier for identifier in able if identifier.verified_at is not None]
        if verified and settings.can_send(kind):
            return kind, max(verified, key=lambda identifier: identifier.is_primary).value
    return None
