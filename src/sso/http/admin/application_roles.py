"""The page of an administrator about the roles of one application: who has which, giving, ending, access reviews."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.role_assignments import GIVES, READS
from sso.accounts.services import AccountActions
from sso.http.admin.applications import APPLICATIONS
from sso.http.admin.csv_download import EXPORT, Downloads
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.responses import to_wait
from sso.http.common.services import AccountActor, Outbox
from sso.http.common.typed_forms import Sent
from sso.http.console import roles
from sso.http.console.access import Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.role_downloads import file_response
from sso.http.console.role_lists import read_query
from sso.http.console.role_texts import DONE

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
    refused: roles.RoleFormRefused | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    """Return the page.

    Args:
        request: the request.
        client_id: the application.
        here: the administrator.
        accounts: the database and the registered applications.
        refused: why a form of the page was refused.
        typed: the fields of that form.
    """
    client = accounts.registry.get(client_id)
    if client is None:
        return failure(request, "not_found", 404, header=here.visit.header(request))
    async with accounts.db.read() as session:
        view = await roles.view_of(session, client, here, read_query(request.query_params))
    locale = locale_of(request)
    page = admin_page(
        request,
        here,
        "applications",
        "admin_roles.html",
        refused.status if refused is not None else 200,
        client_id=client_id,
        name=client.name(locale),
        roles_at=f"{APPLICATIONS}/{client_id}/roles",
        may_download=here.may(EXPORT),
        done=DONE.get(request.query_params.get("done", ""), "") if refused is None else "",
        csrf_token=token_for(request, f"admin roles {client_id}"),
        **roles.page_values(view, locale, refused, typed),
    )
    return to_wait(page, refused.retry_after if refused is not None else 0)


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
    except roles.RoleFormRefused as error:
        typed = {**sent.typed, "choice": sent.form.choice.act}
        return await _roles_page(request, client_id, here, accounts, error, typed)
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
    try:
        return await file_response(request, accounts.db, here, client, sent.form.note)
    except roles.RoleFormRefused as error:
        return await _roles_page(request, client_id, here, accounts, error, sent.typed)
