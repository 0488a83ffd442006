"""Sending a message to a telephone number: over WhatsApp or by SMS, within the daily budgets.

If WhatsApp cannot deliver a message, or does not confirm it within ``SSO_WHATSAPP_FALLBACK_AFTER``, the same message
goes out by SMS, once: it is the same row of the outbox, whose receiver becomes ``sms`` (docs/decisions/0066).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from sso import clock
from sso.accounts.message_alarms import alarm_administrators, record_used_up
from sso.http.common.mail_texts import Mail
from sso.identity.notifications import MessageServices
from sso.platform.outbox import SMS, WHATSAPP, Abandon, AwaitsReceipt, OtherReceiver, ReceiverAnswered, Retry
from sso.platform.outbox.phone import PhoneChannel, PhoneMessage
from sso.platform.outbox.sms import HttpGateway
from sso.platform.outbox.whatsapp import WhatsApp
from sso.platform.outbox.worker import has_answered
from sso.platform.security.message_limits import BudgetUsedUp, MessageBudgets, PrefixRefused
from sso.platform.security.rate_limits import Counts, DatabaseStorage
from sso.platform.services import HasDatabase, HasOutbound, HasUsage

log = logging.getLogger(__name__)


class DeliveryServices(MessageServices, HasDatabase, HasOutbound, HasUsage, Protocol):
    """What sending messages needs."""


class PhoneSender:
    """Sends messages to telephone numbers.

    Args:
        services: what is needed.
    """

    def __init__(self, services: DeliveryServices) -> None:
        self._services, self._settings = services, services.settings
        self._budgets = MessageBudgets(services.settings, Counts(DatabaseStorage(services.db)))

    async def send(self, mail: Mail, payload: Mapping[str, object]) -> None:
        """Send one message over the channel that the delivery names.

        Args:
            mail: the message.
            payload: the delivery: its id, receiver and time.

        Raises:
            OtherReceiver: when the message goes out by SMS instead.
            AwaitsReceipt: when WhatsApp has accepted the message and has not yet delivered it.
            Abandon: when the message cannot be sent.
            Exception: when a retry may succeed.
        """
        channel = WHATSAPP if payload.get("receiver") == WHATSAPP else SMS
        if channel not in self._settings.phone_channels:
            self._instead(channel, "it is not set up", answered=None)
        message = PhoneMessage(
            mail.to, mail.sms, mail.whatsapp, mail.locale, mail.code, str(payload.get("delivery", ""))
        )
        await self._send_counted(channel, message, datetime.fromisoformat(str(payload["written_at"])))

    async def _send_counted(self, channel: str, message: PhoneMessage, written_at: datetime) -> None:
        """Count a message against its budgets and send it; what was certainly not sent does not count."""
        try:
            place = await self._budgets.take(channel, message.to)
        except PrefixRefused as error:
            self._count(channel, "prefix")
            raise Abandon(str(error)) from None
        except BudgetUsedUp as error:
            self._count(channel, "budget")
            if await self._budgets.is_first_refusal(error.budget):
                await record_used_up(self._services.db, error.budget)
            self._instead(channel, str(error), answered=None)
        try:
            await self._send(channel, message, written_at)
        except AwaitsReceipt:
            self._count(channel, "accepted")
            await self._alarm(channel, message.to)
            raise
        except (Abandon, OtherReceiver):
            await place.give_back()
            raise
        except Retry as error:
            if isinstance(error.cause, ReceiverAnswered):  # otherwise it may have been sent
                await place.give_back()
            raise
        self._count(channel, "accepted")
        await self._alarm(channel, message.to)

    async def _send(self, channel: str, message: PhoneMessage, written_at: datetime) -> None:
        deadline = written_at + self._settings.whatsapp_fallback_after
        falls_back = channel == WHATSAPP and SMS in self._settings.phone_channels
        try:
            key = await _channel(channel, self._services).send(message)
        except Abandon as error:
            self._count(channel, "refused")
            log.warning("%s refused a message: %s", channel, error)
            self._instead(channel, str(error), answered=True)
        except Exception as error:
            self._count(channel, "failed")
            if not falls_back:
                raise
            cause, after = (error.cause, error.after) if isinstance(error, Retry) else (error, 0.0)
            if clock.now() >= deadline:
                raise OtherReceiver(SMS, str(cause), answered=has_answered(cause)) from None
            raise Retry(cause, after, deadline) from None
        if key is not None:
            raise AwaitsReceipt(key, SMS if falls_back else "", max(deadline, clock.now()))

    def _instead(self, channel: str, reason: str, *, answered: bool | None) -> None:
        """Let the message go out by SMS, where that is possible.

        Raises:
            OtherReceiver: always, or:
            Abandon: when there is no SMS.
        """
        if channel == WHATSAPP and SMS in self._settings.phone_channels:
            raise OtherReceiver(SMS, reason, answered=answered)
        raise Abandon(reason)

    async def _alarm(self, channel: str, number: str) -> None:
        """Tell administrators that a budget is almost used up. The message was sent: no error here may undo that."""
        try:
            for use in await self._budgets.alarms(channel, number):
                self._count(channel, "alarm")
                await alarm_administrators(self._services, use)
        except Exception:
            log.exception("administrators could not be told of a budget")

    def _count(self, channel: str, outcome: str) -> None:
        self._services.usage.count("message", label=f"{channel}:{outcome}")


class ChannelServices(MessageServices, HasOutbound, Protocol):
    """What a channel needs."""


def _channel(channel: str, services: ChannelServices) -> PhoneChannel:
    """Return what sends messages over a channel."""
    outbound = services.outbound
    return WhatsApp(services.settings, outbound) if channel == WHATSAPP else HttpGateway(services.settings, outbound)
