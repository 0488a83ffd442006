"""The pages of one application: their dependencies, and what all of them show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.clients.models import Application
from sso.http.common.errors import Interrupted
from sso.http.common.i18n import N_
from sso.http.common.pages import failure
from sso.http.console.access import DEVELOPER, Here, Team, There, developer_page, token_for
from sso.portal import applications as apps
from sso.settings import Settings

APPS = DEVELOPER + "/apps"
STATES = {
    "draft": N_("Draft"),
    "sandbox": N_("In the sandbox"),
    "submitted": N_("Waits for approval"),
    "approved": N_("In production"),
    "suspended": N_("Suspended"),
    "retired": N_("Over"),
}
NOTES = {
    "created": N_("begun"),
    "sandbox": N_("opened in the sandbox"),
    "submitted": N_("submitted for approval"),
    "withdrawn": N_("taken back"),
    "sent_back": N_("sent back"),
    "approved": N_("approved"),
    "suspended": N_("suspended"),
    "resumed": N_("works again"),
    "retired": N_("over"),
    "changed": N_("changed it in production"),
    "comment": N_("says"),
}
CANNOT = N_("That cannot be done now: %(detail)s.")
Reader = Annotated[There, Depends(Team("reader"))]
Member = Annotated[There, Depends(Team("member"))]
Owner = Annotated[There, Depends(Team("owner", recent=True))]


async def application_page(
    request: Request,
    there: There,
    tab: str,
    template: str,
    status: int = 200,
    *,
    purpose: str = "",
    **context: object,
) -> Response:
    """Return a page of one application.

    Args:
        request: the request.
        there: who is here, and at which application.
        tab: the tab that the page is part of.
        template: the template.
        status: the HTTP status.
        purpose: what the form of the page does, for its CSRF token; empty: it has no form.
        context: what the template needs besides.
    """
    if purpose:
        context["csrf_token"] = token_for(request, f"{purpose} {there.application_id}")
    return await developer_page(
        request,
        there.here,
        there.application_id,
        template,
        status,
        tab=tab,
        there=there,
        app=there.application,
        states=STATES,
        kept_by=there.kept_by,
        **context,
    )


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret that was made, and the client that has it."""

    application_id: str
    client_id: str
    secret: str


async def secret_page(request: Request, here: Here, settings: Settings, new_secret: NewSecret) -> Response:
    """Return the page that shows a secret, once."""
    return await developer_page(
        request,
        here,
        new_secret.application_id,
        "developer_secret.html",
        application_id=new_secret.application_id,
        client_id=new_secret.client_id,
        secret=new_secret.secret,
        issuer=settings.issuer,
    )


async def present(request: Request, session: AsyncSession, application_id: str) -> Application:
    """Return an application, locked until the transaction ends.

    Raises:
        Interrupted: when it is not there any more.
    """
    application = await apps.lock_application(session, application_id)
    if application is None:
        raise Interrupted(failure(request, "not_found", 404))
    return application
