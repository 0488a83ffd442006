"""Sending SMS through an HTTP gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from sso.platform.outbox.dev_mailbox import keep
from sso.platform.outbox.phone import PhoneMessage
from sso.platform.outbox.worker import Abandon, ReceiverAnswered, Retry
from sso.settings import Settings

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound


class HttpGateway:
    """Sends through the gateway at ``SSO_SMS_URL``: JSON with ``to``, ``text`` and ``sender``.

    Args:
        settings: the gateway.
        outbound: sends the request.
    """

    def __init__(self, settings: Settings, outbound: Outbound) -> None:
        self._settings = settings
        self._outbound = outbound

    async def send(self, message: PhoneMessage) -> None:
        """See :class:`sso.platform.outbox.phone.PhoneChannel`."""
        settings = self._settings
        if settings.development_outbox:
            keep(settings, {"kind": "sms", "to": message.to, "subject": "", "text": message.sms, "html": ""})
            return
        if not settings.sms_url:
            raise Abandon("there is no SMS gateway (SSO_SMS_URL)")
        body = orjson.dumps({"to": message.to, "text": message.sms, "sender": settings.sms_sender})
        headers = {"Content-Type": "application/json"}
        if settings.sms_token is not None:
            headers["Authorization"] = f"Bearer {settings.sms_token.get_secret_value()}"
        answer = await self._outbound.call("POST", settings.sms_url, headers, body)
        if 400 <= answer.status < 500 and answer.status not in (408, 409, 425, 429):
            raise Abandon(f"the SMS gateway refuses: {answer.status}")
        if not 200 <= answer.status < 300:
            failure = ReceiverAnswered(f"the SMS gateway answered {answer.status}", answer.status)
            raise Retry(failure, answer.retry_after)
