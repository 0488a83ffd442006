"""The pages of the gate. They are shown on the host of an application, so they load nothing and lead nowhere else."""

from __future__ import annotations

import base64
import hashlib

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.gate.check import Why
from sso.gate.decision import ProxiedRequest, is_navigation
from sso.http.common.i18n import N_
from sso.http.common.pages import environment, locale_of
from sso.http.common.state import request_id_of, site_of

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:0;padding:1.5rem min(1rem,5vw);color:#1d2b2a;background:#eef3f2;"
    "overflow-wrap:anywhere}main{box-sizing:border-box;max-width:29rem;margin:0 auto;padding:1.25rem 1.5rem;"
    "background:#fff;border:1px solid #d4dedc;border-top:5px solid #0b5f5a;border-radius:.875rem}"
    "h1{margin:.5rem 0;font-size:1.625rem;line-height:1.25}p{margin:.75rem 0}.from,small{color:#4a5c5a}"
    "a{display:block;padding:.75rem 1rem;border-radius:.625rem;background:#0b5f5a;color:#fff;text-align:center;"
    "text-decoration:none}a:focus-visible{outline:3px solid #f2b134;outline-offset:2px}"
    "@media(prefers-color-scheme:dark){body{color:#dbe7e5;background:#0d1514}main{background:#16211f;"
    "border-color:#2c3d3a;border-top-color:#7fd1c7}.from,small{color:#a3b6b3}a{background:#0f766e}}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
NO_ROLE = (
    N_("You cannot open this page"),
    N_("Your account does not have the role that this page needs. Ask the administrator of the application for it."),
)
STRANGE_PATH = (
    N_("This address cannot be opened"),
    N_("The address has an unusual encoding. Open the application from its start page."),
)
NO_USERNAME = (
    N_("Your account is not known to this application"),
    N_(
        "Your account has no username for this application. Ask the administrator of the application to add your "
        "account."
    ),
)
NO_PASSWORD = (
    N_("The application cannot be opened now"),
    N_("The connection between the sign-in and the application is not set up. Tell the administrator."),
)
FORBIDDEN = {Why.PATH: STRANGE_PATH, Why.NO_USERNAME: NO_USERNAME, Why.NO_PASSWORD: NO_PASSWORD}
SENT = (
    N_("You are signed in. Send your form again"),
    N_(
        "You were not signed in when you sent the form, so the application did not receive it. Go back to the page, "
        "fill in the form and send it again."
    ),
)
NOT_SIGNED_IN = (
    N_("You are not signed in"),
    N_("The sign-in was not completed, or it took too long. If it fails again, allow cookies for this address."),
)
BACK, AGAIN, START = N_("Back to the page"), N_("Sign in again"), N_("To the start page of the application")


def message(
    request: Request, client: Client, status: int, texts: tuple[str, str], link: tuple[str, str], detail: str = ""
) -> Response:
    """Return a page.

    Args:
        request: what is answered.
        client: the application.
        status: the HTTP status.
        texts: title and text.
        link: where the page leads to on the same host, and the words of the link.
        detail: what developers need.
    """
    locale, settings = locale_of(request), site_of(request).settings
    html = (
        environment(locale)
        .get_template("gate_message.html")
        .render(
            locale=locale,
            style=Markup(STYLE),  # noqa: S704
            service=settings.service_name,
            application=client.name(locale),
            title=texts[0],
            text=texts[1],
            address=link[0],
            link=link[1],
            detail=detail,
            reference=request_id_of(request),
        )
    )
    return Response(html, status, _HEADERS, "text/html")


def forbidden_page(request: Request, client: Client, proxied: ProxiedRequest, why: Why | None) -> Response:
    """Return the answer to a request that the user may not make, and ``why``."""
    if not is_navigation(proxied.headers):
        return Response(status_code=403, headers={"Cache-Control": "no-store"})
    return message(request, client, 403, FORBIDDEN.get(why, NO_ROLE) if why else NO_ROLE, ("/", START))
