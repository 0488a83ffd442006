"""Sending mail over SMTP (RFC 5321)."""

from __future__ import annotations

import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from functools import cache
from urllib.parse import unquote, urlsplit

from sso import clock
from sso.platform.outbox.dev_mailbox import keep
from sso.platform.outbox.worker import Abandon, ReceiverAnswered
from sso.platform.security.text import one_line
from sso.settings import Settings, is_loopback_host

TIMEOUT_SECONDS = 20.0


@cache
def _tls_context() -> ssl.SSLContext:
    """Return a context that trusts the authorities of this machine. Reading them takes 30 ms, so it is done once."""
    return ssl.create_default_context()


class Mailer:
    """Sends mails through the server at ``SSO_SMTP_URL``.

    Args:
        settings: the server and the sender.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.smtp_url.get_secret_value() if settings.smtp_url else ""
        self._from = settings.mail_from

    async def send(self, to: str, subject: str, text: str, html: str, locale: str) -> None:
        """Send one mail, as plain text and as HTML.

        Raises:
            Abandon: when there is no server, or a retry cannot succeed.
            ReceiverAnswered, aiosmtplib.SMTPException, OSError: when a retry may succeed.
        """
        import aiosmtplib  # a late import, because the start does not need it

        if self._settings.development_outbox:
            keep(self._settings, {"kind": "email", "to": to, "subject": subject, "text": text, "html": html})
            return
        if not self._url:
            raise Abandon("there is no mail server (SSO_SMTP_URL)")
        try:
            message = self._message(to, subject, text, html, locale)
        except Exception as error:  # the email package raises many kinds; a retry cannot succeed
            raise Abandon(f"the mail cannot be written: {type(error).__name__}") from None
        parts = urlsplit(self._url)
        host, tls = parts.hostname or "", parts.scheme == "smtps"
        try:
            await aiosmtplib.send(
                message,
                hostname=host,
                port=parts.port or (465 if tls else 587),
                username=unquote(parts.username) if parts.username else None,
                password=unquote(parts.password) if parts.password else None,
                use_tls=tls,
                start_tls=None if is_loopback_host(host) else not tls,
                tls_context=_tls_context(),
                timeout=TIMEOUT_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            if all(refused.code >= 500 for refused in error.recipients):
                raise Abandon(f"the mail server refuses the address: {error.recipients[0].code}") from None
            code = min(refused.code for refused in error.recipients)
            raise ReceiverAnswered(f"the mail server answered {code} to the address", code) from None
        except aiosmtplib.SMTPResponseException as error:
            if error.code >= 500:
                raise Abandon(f"the mail server refuses: {error.code} {error.message}") from None
            raise ReceiverAnswered(f"the mail server answered {error.code} {error.message}", error.code) from None

    def _message(self, to: str, subject: str, text: str, html: str, locale: str) -> EmailMessage:
        """Return a mail. Header values are one line each, so that none can begin another header."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._from, one_line(to), one_line(subject)
        message["Date"] = formatdate(clock.timestamp(), usegmt=True)
        message["Message-ID"] = make_msgid(domain=parseaddr(self._from)[1].rpartition("@")[2] or None)
        message["Auto-Submitted"], message["Content-Language"] = "auto-generated", locale
        message.set_content(text)
        message.add_alternative(html, subtype="html")
        return message
