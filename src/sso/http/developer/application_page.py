"""The pages of one application: their dependencies, and what all of them show."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.clients.models import Application
from sso.http.common.errors import Interrupted
from sso.http.common.i18n import N_
from sso.http.common.pages import failure
from sso.http.console.access import DEVELOPER, Team, There, developer_page, token_for
from sso.portal import applications as apps

APPS = DEVELOPER + "/apps"
STATES = {
    "draft": N_("Draft"),
    "sandbox": N_("Sandbox"),
    "submitted": N_("Waiting for approval"),
    "approved": N_("In production"),
    "suspended": N_("Suspended"),
    "retired": N_("Retired"),
}
NOTES = {
    "created": N_("created the draft"),
    "sandbox": N_("opened the sandbox"),
    "submitted": N_("submitted the application for approval"),
    "withdrawn": N_("withdrew the submission"),
    "sent_back": N_("sent the application back"),
    "approved": N_("approved the application"),
    "suspended": N_("suspended the application"),
    "resumed": N_("resumed the application"),
    "retired": N_("retired the application"),
    "changed": N_("changed production settings"),
    "comment": N_("wrote"),
}
CANNOT = N_("This is not possible now: %(detail)s.")
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


async def present(request: Request, session: AsyncSession, application_id: str) -> Application:
    """Return an application, locked until the transaction ends.

    Raises:
        Interrupted: when it is not there any more.
    """
    application = await apps.lock_application(session, application_id)
    if application is None:
        raise Interrupted(failure(request, "not_found", 404))
    return application
