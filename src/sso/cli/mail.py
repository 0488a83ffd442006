"""``sso mail``: whether mail can be sent."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from sso.cli.common import group, refuse
from sso.platform.messages import _

app = group()


@app.command("test")
def test_command(address: Annotated[str, typer.Argument(help="Address that receives the e-mail.")]) -> None:
    """Send a test e-mail at once through SSO_SMTP_URL."""
    from sso.platform.outbox import Abandon
    from sso.platform.outbox.smtp import Mailer
    from sso.settings import load_settings

    settings = load_settings()
    text = f"{settings.service_name}: mail works."
    if settings.smtp_url is None:
        refuse(_("There is no mail server: set SSO_SMTP_URL."))
    try:
        asyncio.run(Mailer(settings).send(address, text, text, f"<p>{text}</p>", settings.default_locale))
    except Abandon as error:
        refuse(str(error))
    except Exception as error:
        refuse(
            _("The mail server does not accept the e-mail: %(error)s") % {"error": f"{type(error).__name__}: {error}"}
        )
    print(_("sent"))
