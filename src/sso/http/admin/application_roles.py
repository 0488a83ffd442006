"""The page of an administrator about the roles of one application: who has which, giving, ending, access reviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.role_assignments import GIVES, READS, giver_of
from sso.accounts.services import AccountActions
from sso.http.admin.applications import APPLICATIONS
from sso.http.admin.csv_download import EXPORT, TOO_MANY, Downloads
from sso.http.common.field_errors import FieldError
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.responses import to_wait
from sso.http.common.services import AccountActor, Outbox
from sso.http.common.state import site_of
from sso.http.common.typed_forms import Sent
from sso.http.console import roles
from sso.http.console.access import Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.role_downloads import file_response
from sso.http.console.role_lists import read_query
from sso.http.console.role_texts import DONE, NOTE_MISSING, REVIEW_STATES
from sso.platform.security.rate_limits import TooManyFailures

router = new_router()

ROLES = APPLICATIONS + "/{client_id}/roles"
Sees = Annotated[Here, Depends(Needs(READS))]
Gives = Annotated[Here, Depends(Needs(GIVES))]
Takes = Annotated[Here, Depends(Downloads(READS))]
RolesSent = Annotated[Sent[roles.RoleForm], Depends(OwnForm(roles.RoleForm, "admin roles {client_id}"))]


@router.get(ROLES)
async def roles_page(request: Request, client_id: str, here: Sees, accounts: AccountActor) -> Response:
    """Show who has which role of an application."""
    return await _roles_page(request, client_id, here, accounts)


async def _roles_page(
    request: Request,
    client_id: str,
    here: Here,
    accounts: AccountActions,
    errors: Sequence[FieldError] = (),
    typed: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    client = accounts.registry.get(client_id)
    if client is None:
        return failure(request, "not_found", 404, header=here.visit.header(request))
    async with accounts.db.read() as session:
        giver = await giver_of(session, here.as_actor, client_id, here.visit.user.id)
        view = await roles.view_of(session, client, giver, None, read_query(request.query_params))
    return admin_page(
        request,
        here,
        "applications",
        "admin_roles.html",
        status,
        client_id=client_id,
        name=client.name(locale_of(request)),
        view=view,
        roles_at=f"{APPLICATIONS}/{client_id}/roles",
        errors=roles.placed(errors, view),
        typed=typed or {},
        now_at=clock.now(),
        may_download=here.may(EXPORT),
        role_options=roles.role_options(client, locale_of(request)),
        review_states=REVIEW_STATES,
        done=DONE.get(request.query_params.get("done", ""), "") if status == 200 else "",
        csrf_token=token_for(request, f"admin roles {client_id}"),
    )


@router.post(ROLES)
async def change_roles(
    request: Request, client_id: str, here: Gives, sent: RolesSent, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Give, end or confirm roles, or start or cancel an access review."""
    if accounts.registry.get(client_id) is None:
        return failure(request, "not_found", 404, header=here.visit.header(request))
    try:
        async with accounts.db.write() as session:
            done = await roles.carry_out(session, accounts, client_id, here, sent.form, dict(sent.typed))
    except roles.PageError as error:
        typed = {**sent.typed, "choice": sent.form.choice.act}
        return await _roles_page(request, client_id, here, accounts, [error.error], typed, error.status)
    outbox.nudge()
    return RedirectResponse(read_query(request.query_params).done(f"{APPLICATIONS}/{client_id}/roles", done), 303)


@router.post(ROLES + "/download")
async def download_roles(
    request: Request, client_id: str, here: Takes, sent: RolesSent, accounts: AccountActor
) -> Response:
    """Return who has which role as a CSV file."""
    client = accounts.registry.get(client_id)
    if client is None:
        return failure(request, "not_found", 404, header=here.visit.header(request))
    if not sent.form.note:
        error = FieldError("download-note", NOTE_MISSING)
        return await _roles_page(request, client_id, here, accounts, [error], dict(sent.typed), 400)
    try:
        await site_of(request).limits.downloads.take(here.actor)
    except TooManyFailures as failed:
        error = FieldError("download-note", TOO_MANY)
        return to_wait(await _roles_page(request, client_id, here, accounts, [error], None, 429), failed.retry_after)
    return await file_response(request, accounts.db, here, client, sent.form.note)
