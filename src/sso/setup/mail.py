"""A test of the mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sso.platform.outbox.smtp import Mailer

if TYPE_CHECKING:
    from sso.settings import Settings


async def send_test_mail(settings: Settings, address: str, text: str) -> str:
    """Send an e-mail at once, not by the outbox.

    Args:
        settings: the mail server.
        address: who receives the e-mail.
        text: of the subject and of the body; plain text without markup.

    Returns:
        What went wrong, in the words of the mail server; empty: the server has accepted the e-mail.
    """
    if settings.smtp_url is None and not settings.development_outbox:
        return "SSO_SMTP_URL"
    try:
        await Mailer(settings).send(address, text, text, f"<p>{text}</p>", settings.default_locale)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
