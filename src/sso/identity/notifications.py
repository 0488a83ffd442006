"""Messages to users, put into the outbox in the transaction of their cause. Their texts are in
``http/common/mail_texts.py``.

Codes and links are encrypted in the outbox: a copy of the database does not show them.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol, TypedDict

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.authn import pending_flows
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.users.models import User
from sso.platform.outbox import MAIL, SMS, DeliveryKind, enqueue
from sso.platform.security.tokens import base64url, equal, from_base64url, keyed_token
from sso.platform.services import HasBox, HasSettings
from sso.settings import Settings, whole_seconds

NOTICE = DeliveryKind.NOTICE
"""The kind of delivery that is a notice to a user, at the contact that the user has when it is sent."""
MESSAGE = DeliveryKind.MESSAGE
"""The kind of delivery that goes to one contact, whoever has it."""
DAY_SECONDS = 86400
MAC_CHARS = 22
OLD_SESSION_CHARS = 32
_PURPOSE = "message"


class MessageServices(HasSettings, HasBox, Protocol):
    """What putting a message into the outbox needs: the languages, and the encryption of codes and links."""


class Message(TypedDict):
    """The content of a message to one contact, as it is stored encrypted. ``at``: when it was written (ISO 8601).
    ``flow``: of a code, the pending flow and the number of the code; empty: it is no code."""

    kind: str
    to: str
    about: str
    locale: str | None
    at: str
    values: dict[str, str]
    flow: str


def notify(session: AsyncSession, services: MessageServices, user: User, about: str, **values: str) -> None:
    """Send a notice to a user by mail, or to the telephone where the user has no e-mail address; nothing
    where neither is set up.

    Args:
        session: the transaction.
        services: settings and encryption.
        user: the user.
        about: the notice; one of ``NOTICES`` in ``http/common/mail_texts.py``.
        values: what the notice names; a ``token`` goes into its link.
    """
    if not (services.settings.can_send("email") or services.settings.can_send("phone")):
        return
    # The contact, and with it the channel that the user has chosen, is read when the notice is sent; mail until then.
    payload: dict[str, object] = {"notice": about, "user_id": str(user.id), "at": clock.now().isoformat()}
    if values:
        payload["sealed"] = _encrypted(services, values)
    enqueue(session, NOTICE, payload, receiver=MAIL, user_id=user.id)


def send(
    session: AsyncSession,
    services: MessageServices,
    kind: str,
    to: str,
    about: str,
    locale: str | None,
    *,
    seconds: int = DAY_SECONDS,
    channel: str = "",
    flow: str = "",
    **values: str,
) -> None:
    """Send a message to an e-mail address or a telephone number.

    Args:
        session: the transaction.
        services: settings and encryption.
        kind: email or phone.
        to: the address or number.
        about: the message; one of ``NOTICES`` in ``http/common/mail_texts.py``.
        locale: the language.
        seconds: after how many seconds it is not sent any more.
        channel: ``sms`` or ``whatsapp``; empty, or not set up: as the settings say.
        flow: of a code, the pending flow and the number of the code.
        values: what the message names.
    """
    now = clock.now()
    until = (now + timedelta(seconds=seconds)).isoformat()
    message: Message = {
        "kind": kind,
        "to": to,
        "about": about,
        "locale": locale,
        "at": now.isoformat(),
        "values": values,
        "flow": flow,
    }
    payload: dict[str, object] = {"sealed": _encrypted(services, message), "until": until}
    receiver = phone_channel(services.settings, channel) if kind == "phone" else MAIL
    enqueue(session, MESSAGE, payload, receiver=receiver, recipient_hash=recipient_hashes(services, to)[0])


def phone_channel(settings: Settings, chosen: str | None) -> str:
    """Return the channel for a telephone number: ``chosen`` where it is set up, otherwise the one of the settings."""
    able = settings.phone_channels
    return chosen if chosen in able else able[0] if able else SMS


async def send_code(
    session: AsyncSession,
    services: MessageServices,
    flow: RunningFlow,
    kind: str,
    to: str,
    about: str,
    locale: str | None,
    *,
    really: bool = True,
    channel: str = "",
    remembered: str | None = None,
) -> bool:
    """Make a code for a pending flow and send it.

    Args:
        session: the transaction.
        services: settings and encryption.
        flow: the pending flow.
        kind: email or phone.
        to: the address or number.
        about: the message; one of ``NOTICES`` in ``http/common/mail_texts.py``.
        locale: the language.
        really: otherwise nothing is sent, everything looks as if it was, and no code is right.
        channel: ``sms`` or ``whatsapp``, where the user has just chosen; the flow keeps it for further codes.
        remembered: the channel that the user has chosen for the contact before.

    Returns:
        Whether a code was made; not where too many were, or one a moment ago.
    """
    code = await pending_flows.new_code(session, services.box, flow, usable=really)
    if code is None:
        return False
    if channel in services.settings.phone_channels:
        flow.data["channel"] = channel
        await pending_flows.keep(session, services.box, flow)
    if really:
        seconds = whole_seconds(services.settings.one_time_code_lifetime)
        named = pending_flows.name_of_code(flow)
        chosen = flow.channel or remembered or ""
        send(session, services, kind, to, about, locale, seconds=seconds, channel=chosen, flow=named, code=code)
    return True


def opened(services: MessageServices, payload: Mapping[str, object]) -> dict[str, object]:
    """Return the encrypted part of a delivery: a :class:`Message`, or what a notice names; or nothing."""
    encrypted = payload.get("sealed")
    if encrypted is None:
        return {}
    content: dict[str, object] = orjson.loads(services.box.decrypt(base64.b64decode(str(encrypted)), _PURPOSE))
    return content


def recipient_hashes(services: HasBox, to: str) -> list[bytes]:
    """Return the keyed hashes of a contact by which messages to it are found, that of the present key first."""
    return [hmac.digest(key, to.encode(), "sha256") for key in services.box.derived_keys("recipient")]


def _encrypted(services: MessageServices, content: Message | dict[str, str]) -> str:
    return base64.b64encode(services.box.encrypt(orjson.dumps(content), _PURPOSE)).decode()


def link_token() -> str:
    """Return a random value of 128 bits for a link that opens something, short enough for an SMS. Its case does not
    matter."""
    return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()


def not_me_token(services: MessageServices, session_id: uuid.UUID) -> str:
    """Return the value of the link "this was not me": the session, authenticated with 128 bits, short enough for an
    SMS. Nothing is stored for it."""
    named = base64url(session_id.bytes)
    return f"{named}.{keyed_token(services.box.derived_keys('not-me')[0], named)[:MAC_CHARS]}"


def not_me_session(services: MessageServices, token: str) -> uuid.UUID | None:
    """Return the session that a link "this was not me" is about; None: the link is not ours. Links of releases before
    0018 hold the session in hexadecimal and a longer authentication code."""
    named, _, mac = token.partition(".")
    keys, is_old = services.box.derived_keys("not-me"), len(named) == OLD_SESSION_CHARS
    length = None if is_old else MAC_CHARS
    if not any([equal(mac, keyed_token(key, named)[:length]) for key in keys]):
        return None
    return uuid.UUID(hex=named) if is_old else uuid.UUID(bytes=from_base64url(named))
