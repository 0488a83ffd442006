"""Sending SMS through an HTTP gateway."""

from __future__ import annotations

from typing import Protocol

import orjson

from sso.platform.outbox.dev_mailbox import keep
from sso.platform.outbox.worker import Abandon, ReceiverAnswered
from sso.platform.security.outbound_http import Outbound
from sso.settings import Settings

MAX_CHARS = 480


class SmsSender(Protocol):
    """Sends SMS."""

    async def send(self, to: str, text: str) -> None:
        """Send a text to a number in E.164.

        Raises:
            Abandon: when a retry cannot succeed.
            Exception: when a retry may succeed.
        """


class HttpGateway:
    """Sends through the gateway at ``SSO_SMS_URL``: JSON with ``to``, ``text`` and ``sender``.

    Args:
        settings: the gateway.
        outbound: sends the request.
    """

    def __init__(self, settings: Settings, outbound: Outbound) -> None:
        self._settings = settings
        self._outbound = outbound

    async def send(self, to: str, text: str) -> None:
        """See :class:`SmsSender`."""
        settings = self._settings
        if settings.development_outbox:
            keep(settings, {"kind": "phone", "to": to, "subject": "", "text": text, "html": ""})
            return
        if not settings.sms_url:
            raise Abandon("there is no SMS gateway (SSO_SMS_URL)")
        body = orjson.dumps({"to": to, "text": text[:MAX_CHARS], "sender": settings.sms_sender})
        headers = {"Content-Type": "application/json"}
        if settings.sms_token is not None:
            headers["Authorization"] = f"Bearer {settings.sms_token.get_secret_value()}"
        status, _ = await self._outbound.post(settings.sms_url, body, headers)
        if 400 <= status < 500 and status not in (408, 409, 425, 429):
            raise Abandon(f"the SMS gateway refuses: {status}")
        if not 200 <= status < 300:
            raise ReceiverAnswered(f"the SMS gateway answered {status}", status)
