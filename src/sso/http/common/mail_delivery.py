"""Sending mails, SMS and WhatsApp messages to users: the handlers of the outbox. The texts are in ``mail_texts.py``.

A message to a telephone number goes to the channel that the delivery names (``phone_delivery.py``).
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict, Unpack, cast

from sso import clock
from sso.http.common.mail_notices import MAIL_ONLY, NOTICES, OPTIONAL
from sso.http.common.mail_texts import Mail, compose
from sso.http.common.phone_delivery import DeliveryServices, PhoneSender
from sso.identity.authn import pending_flows
from sso.identity.notifications import Message, opened, phone_channel
from sso.identity.users import store as users
from sso.identity.users.identifiers import receives_codes
from sso.identity.users.models import Identifier, User
from sso.platform.outbox import MAIL, PHONE_CHANNELS, Abandon, NotNeeded, OtherReceiver
from sso.platform.outbox.smtp import Mailer
from sso.settings import Settings


class MailOptions(TypedDict, total=False):
    """What a message may have besides its text, contact and time; see ``compose``."""

    name: str
    locale: str | None
    values: Mapping[str, str] | None


class NoticePayload(TypedDict):
    """The delivery of a notice. ``at``: when it was written (ISO 8601). ``receiver``: the server that it goes to."""

    notice: str
    user_id: str
    at: str
    receiver: NotRequired[str]


def _written(settings: Settings, notice: str, to: str, at: datetime, **options: Unpack[MailOptions]) -> Mail:
    """Return a message that is to be sent.

    Raises:
        Abandon: when it cannot be written. Trying again would change nothing, and others wait behind it.
    """
    try:
        return compose(settings, notice, to, at, **options)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Abandon(f"the message cannot be written: {type(error).__name__}") from None


def send_notice(services: DeliveryServices) -> Callable[[Mapping[str, object]], Awaitable[None]]:
    """Return the handler that sends notices to users, at the contact that they have at that moment: by mail, or to the
    telephone number where a user has no e-mail address."""
    deliver = _deliver(services)

    async def send(stored: Mapping[str, object]) -> None:
        payload = cast(NoticePayload, stored)
        async with services.db.read() as session:
            user = await session.get(User, uuid.UUID(payload["user_id"]))
            known = await users.identifiers_of(session, user.id) if user else []
        notice = payload["notice"]
        if notice not in NOTICES:
            raise Abandon(f"this release does not know the notice {notice}")
        kinds = ("email",) if notice in MAIL_ONLY else ("email", "phone")
        contact = _contact(services.settings, known, kinds)
        if user is None or contact is None:
            raise NotNeeded("the person has no address that was verified")
        if notice in OPTIONAL and user.preferences.get(OPTIONAL[notice]) is False:
            raise NotNeeded("the person does not want to be told")
        _check_receiver(services.settings, contact, payload.get("receiver"))
        at, values = datetime.fromisoformat(payload["at"]), cast(dict[str, str], opened(services, stored))
        mail = _written(services.settings, notice, contact.value, at, name=user.name, locale=user.locale, values=values)
        await deliver(contact.kind, mail, stored)

    return send


def send_message(services: DeliveryServices) -> Callable[[Mapping[str, object]], Awaitable[None]]:
    """Return the handler that sends codes, and other messages to one contact, whoever has it."""
    deliver = _deliver(services)

    async def send(payload: Mapping[str, object]) -> None:
        if clock.now() > datetime.fromisoformat(str(payload["until"])):
            raise Abandon("it is of no use any more")
        message = cast(Message, opened(services, payload))
        if message.get("flow"):
            async with services.db.read() as session:
                if not await pending_flows.is_current(session, message["flow"]):
                    raise NotNeeded("the code was used, or a newer code was sent")
        kind, to, at = message["kind"], message["to"], datetime.fromisoformat(message["at"])
        options: MailOptions = {"locale": message["locale"], "values": message["values"]}
        await deliver(kind, _written(services.settings, message["about"], to, at, **options), payload)

    return send


def _deliver(services: DeliveryServices) -> Callable[[str, Mail, Mapping[str, object]], Awaitable[None]]:
    mailer, phone = Mailer(services.settings), PhoneSender(services)

    async def deliver(kind: str, mail: Mail, payload: Mapping[str, object]) -> None:
        if kind == "phone":
            await phone.send(mail, payload)
        else:
            await mailer.send(mail.to, mail.subject, mail.text, mail.html, mail.locale)

    return deliver


def _check_receiver(settings: Settings, contact: Identifier, receiver: str | None) -> None:
    """Check that a delivery has the receiver that its contact needs: places and breakers are counted for it.

    Raises:
        OtherReceiver: when it has another one.
    """
    if contact.kind == "email" and receiver != MAIL:
        raise OtherReceiver(MAIL)
    if contact.kind == "phone" and receiver not in PHONE_CHANNELS:
        raise OtherReceiver(phone_channel(settings, contact.channel))


def _contact(settings: Settings, identifiers: Sequence[Identifier], kinds: Sequence[str]) -> Identifier | None:
    """Return the contact of a user: the primary e-mail address, or the telephone number."""
    for kind in kinds:
        able = [
            identifier
            for identifier in identifiers
            if identifier.kind == kind and receives_codes(kind, identifier.value)
        ]
        verified = [identifier for identifier in able if identifier.verified_at is not None]
        if verified and settings.can_send(kind):
            return max(verified, key=lambda identifier: identifier.is_primary)
    return None
