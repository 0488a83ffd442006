"""``sso messages``: whether SMS and WhatsApp messages can be sent."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from sso.cli.common import check_choice, group, refuse
from sso.platform.messages import _

SMS, WHATSAPP = "sms", "whatsapp"  # as platform.outbox.models has them, which would import SQLAlchemy for the help
PHONE_CHANNELS = (SMS, WHATSAPP)
app = group()

TEST_CODE = "123456"


@app.callback()
def _group() -> None:
    """Keep ``test`` a command of its own while it is the only one."""


@app.command("test")
def send_test_message(
    number: Annotated[str, typer.Argument(help="The phone number, such as +6281234567890.")],
    channel: Annotated[str, typer.Option(help=f"One of {', '.join(PHONE_CHANNELS)}.")] = WHATSAPP,
    locale: Annotated[str, typer.Option(help="The language of the template: id or en.")] = "id",
) -> None:
    """Send a message with the sample code 123456 at once over one channel, to see whether the channel works.

    Budgets do not count this message. The command does not wait for a delivery receipt.
    """
    from sso.identity.users.identifiers import normalise_contact
    from sso.platform.outbox import Abandon
    from sso.platform.outbox.phone import PhoneMessage
    from sso.settings import load_settings

    settings = load_settings()
    check_choice("--channel", channel, PHONE_CHANNELS)
    check_choice("--locale", locale, ("id", "en"))
    if channel not in settings.phone_channels:
        setting = "SSO_SMS_URL" if channel == SMS else "SSO_WHATSAPP_PHONE_NUMBER_ID"
        refuse(_("%(channel)s is not set up: set %(setting)s") % {"channel": channel, "setting": setting})
    try:
        contact = normalise_contact(number)
    except ValueError:
        refuse(_("%(number)s is not a phone number") % {"number": number})
    if contact.kind != "phone":
        refuse(_("%(number)s is not a phone number") % {"number": number})
    text = f"{settings.service_name}: {TEST_CODE}"
    message = PhoneMessage(contact.value, text, text, locale, TEST_CODE)

    async def send() -> None:
        from sso.platform.outbox.sms import HttpGateway
        from sso.platform.outbox.whatsapp import WhatsApp
        from sso.platform.security.outbound_http import Outbound

        outbound = Outbound(settings)
        try:
            await (WhatsApp if channel == WHATSAPP else HttpGateway)(settings, outbound).send(message)
        finally:
            await outbound.close()

    try:
        asyncio.run(send())
    except Abandon as error:
        refuse(str(error))
    except Exception as error:
        text = _("The provider of %(channel)s does not accept the message: %(error)s")
        refuse(text % {"channel": channel, "error": f"{type(error).__name__}: {error}"})
    print(_("accepted"))
