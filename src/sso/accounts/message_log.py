"""The messages that were sent to a user, for administrators who are asked why a code does not arrive.

Nothing here shows a code, a link or a whole contact: of a message only its kind, its channel, its state and the reason
of a failure.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.notifications import MessageServices, opened, recipient_hashes
from sso.identity.users import store as users
from sso.identity.users.identifiers import masked, meanings, receives_codes
from sso.identity.users.models import Identifier
from sso.identity.users.service import UserError, find_all
from sso.platform.outbox import MAIL
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.models import Delivery, DeliveryKind
from sso.platform.outbox.store import DeliveryFilter, Recipient
from sso.platform.security.encryption import CannotDecrypt
from sso.settings import Settings

CONTACT_KINDS = ("email", "phone")
MAX_SHOWN = 20
MAX_COUNTED = 500
"""Of how many messages of a day the codes are counted."""
MAX_HASHES = 20


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message to a user.

    Args:
        id: of the delivery.
        about: the name of the message; empty: it cannot be read any more.
        channel: ``mail``, ``sms`` or ``whatsapp``: the one that has the message, or had it last.
        receipt: what WhatsApp last said about it; None: nothing.
        to: the contact, masked; empty: the contact that the user had when it was sent.
        status: of the delivery.
        error: why it failed, as it is stored.
        attempts: how often it was tried.
        at: when it was written.
        finished_at: when it was sent or given up.
        next_attempt_at: when it is tried next.
    """

    id: uuid.UUID
    about: str
    channel: str
    receipt: str | None
    to: str
    status: str
    error: str
    attempts: int
    at: datetime
    finished_at: datetime | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class ContactState:
    """Whether a contact of a user receives codes. ``problem``: ``unverified``, ``no_channel``, ``no_codes``; or empty,
    where it does."""

    kind: str
    contact: str
    problem: str


def recipient_of(services: MessageServices, user_id: uuid.UUID, identifiers: Sequence[Identifier]) -> Recipient:
    """Return what finds the messages to a user: notices by the user, codes by the contacts."""
    contacts = [known.lookup for known in identifiers if known.kind in CONTACT_KINDS]
    hashes = [digest for contact in contacts for digest in recipient_hashes(services, contact)]
    return Recipient((user_id,), tuple(hashes[:MAX_HASHES]))


async def recipient_named(session: AsyncSession, services: MessageServices, typed: str) -> Recipient:
    """Return what finds the messages to whoever an identifier may mean: a user, or a contact that no account has."""
    matches = []
    with suppress(UserError):
        matches = await find_all(session, typed, services.box, unverified=True)
    recipients = [recipient_of(services, user.id, await users.identifiers_of(session, user.id)) for user in matches[:5]]
    contacts = [meaning.value for meaning in meanings(typed) if meaning.kind in CONTACT_KINDS]
    hashes = [digest for contact in contacts for digest in recipient_hashes(services, contact)]
    for recipient in recipients:
        hashes += recipient.hashes
    user_ids = tuple(user_id for recipient in recipients for user_id in recipient.user_ids)
    return Recipient(user_ids, tuple(dict.fromkeys(hashes)))


async def messages_to(session: AsyncSession, services: MessageServices, recipient: Recipient) -> list[SentMessage]:
    """Return the last messages to a user, the newest first."""
    rows = await deliveries.page_of(session, DeliveryFilter(recipient=recipient), None, MAX_SHOWN)
    return [_sent_message(services, row) for row in rows]


def _sent_message(services: MessageServices, row: Delivery) -> SentMessage:
    about, to = str(row.payload.get("notice", "")), ""
    if row.kind == DeliveryKind.MESSAGE:
        message = _content(services, row.payload)
        about = str(message.get("about", ""))
        to = masked(str(message["kind"]), str(message["to"])) if "to" in message else ""
    waits = row.status == "pending"
    return SentMessage(
        id=row.id,
        about=about,
        channel=row.channel or MAIL,
        receipt=row.receipt,
        to=to,
        status=row.status,
        error=row.last_error or "",
        attempts=row.attempts,
        at=row.created_at,
        finished_at=row.finished_at,
        next_attempt_at=row.next_attempt_at if waits and row.attempts else None,
    )


def _content(services: MessageServices, payload: Mapping[str, object]) -> dict[str, object]:
    """Return the encrypted part of a message; nothing where it cannot be read any more."""
    try:
        return opened(services, payload)
    except CannotDecrypt:
        return {}


def contact_states(settings: Settings, identifiers: Sequence[Identifier]) -> list[ContactState]:
    """Return, of each contact of a user, whether it receives codes now."""
    states = []
    for known in identifiers:
        if known.kind not in CONTACT_KINDS:
            continue
        problem = ""
        if not receives_codes(known.kind, known.value):
            problem = "no_codes"
        elif known.verified_at is None:
            problem = "unverified"
        elif not settings.can_send(known.kind):
            problem = "no_channel"
        states.append(ContactState(known.kind, masked(known.kind, known.value), problem))
    return states


@dataclass(frozen=True, slots=True)
class CodeLimits:
    """How many codes were written to a user lately, and how many one contact gets for one purpose."""

    last_hour: int
    last_day: int
    per_hour: int
    per_day: int

    @property
    def reached(self) -> bool:
        """Whether a limit may be in effect."""
        return self.last_hour >= self.per_hour or self.last_day >= self.per_day


async def code_limits(
    session: AsyncSession, services: MessageServices, recipient: Recipient, settings: Settings
) -> CodeLimits:
    """Return the limits in effect for a user, by the codes of the last hour and day."""
    now = clock.now()
    rows = await deliveries.messages_since(session, recipient.hashes, now - timedelta(days=1), MAX_COUNTED)
    codes = [at for at, payload in rows if str(_content(services, payload).get("about", "")).startswith("code_")]
    return CodeLimits(
        sum(1 for at in codes if at > now - timedelta(hours=1)),
        len(codes),
        settings.one_time_codes_per_contact_per_hour,
        settings.one_time_codes_per_contact_per_day,
    )
