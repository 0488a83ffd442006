"""The interface of everything that sends messages to telephone numbers: SMS and WhatsApp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PhoneMessage:
    """A message to a telephone number.

    Args:
        to: the number in E.164.
        sms: the text of an SMS: one segment.
        whatsapp: the text of a WhatsApp message. For a code, WhatsApp shows the text of its template instead.
        locale: the language, ``id`` or ``en``.
        code: the one-time code; empty: the message is a notice.
        reference: names the delivery in receipts; says nothing to others.
    """

    to: str
    sms: str
    whatsapp: str
    locale: str
    code: str = ""
    reference: str = ""


class PhoneChannel(Protocol):
    """Sends messages to telephone numbers."""

    async def send(self, message: PhoneMessage) -> bytes | None:
        """Send a message.

        Returns:
            What finds the delivery for a receipt; None: the channel sends no receipts, or the message is delivered.

        Raises:
            Abandon: when a retry over this channel cannot succeed.
            Retry: when a retry may succeed, not before a time that the provider stated.
            Exception: when a retry may succeed.
        """
