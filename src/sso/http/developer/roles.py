"""The page of a team about the roles of its application: who has which, giving and ending, access reviews."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.role_assignments import GIVES
from sso.accounts.services import AccountActions
from sso.clients.registry import Client
from sso.http.common.errors import Interrupted
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.responses import to_wait
from sso.http.common.services import AccountActor, Outbox
from sso.http.common.typed_forms import Sent
from sso.http.console import roles
from sso.http.console.access import OwnForm, Team, There
from sso.http.console.lookups import counted
from sso.http.console.role_downloads import file_response
from sso.http.console.role_lists import read_query
from sso.http.console.role_texts import DONE
from sso.http.developer.application_page import APPS, Reader, application_page

router = new_router()

ROLES = APPS + "/{application_id}/roles"
Gives = Annotated[There, Depends(Team("member", recent=True))]
RolesSent = Annotated[Sent[roles.RoleForm], Depends(OwnForm(roles.RoleForm, "roles {application_id}"))]


def _client_of(request: Request, there: There, accounts: AccountActions) -> Client | None:
    """Return the application that the page shows: in production; in the sandbox, where that is asked for or the only
    one."""
    sandbox, production = accounts.registry.get(there.sandbox_id), accounts.registry.get(there.application_id)
    return sandbox if request.query_params.get("sandbox") or production is None else production


@router.get(ROLES)
async def roles_page(request: Request, there: Reader, accounts: AccountActor) -> Response:
    """Show who has which role."""
    return await _roles_page(request, there, accounts)


async def _roles_page(
    request: Request,
    there: There,
    accounts: AccountActions,
    refused: roles.RoleFormRefused | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    """Return the page.

    Args:
        request: the request.
        there: who is here, and at which application.
        accounts: the database and the registered applications.
        refused: why a form of the page was refused.
        typed: the fields of that form.
    """
    client = _client_of(request, there, accounts)
    view = None
    both = accounts.registry.get(there.application_id) and accounts.registry.get(there.sandbox_id)
    query = read_query(request.query_params, sandbox=bool(both and client and client.sandbox))
    if client is not None:
        async with accounts.db.read() as session:
            view = await roles.view_of(session, client, there.here, query, there.role)
    page = await application_page(
        request,
        there,
        "roles",
        "developer_roles.html",
        refused.status if refused is not None else 200,
        purpose="roles",
        roles_at=f"{APPS}/{there.application_id}/roles",
        query="?sandbox=1" if query.sandbox else "",
        both=both,
        done=DONE.get(request.query_params.get("done", ""), "") if refused is None else "",
        **roles.page_values(view, locale_of(request), refused, typed),
    )
    return to_wait(page, refused.retry_after if refused is not None else 0)


@router.post(ROLES)
async def change_roles(
    request: Request, there: Gives, sent: RolesSent, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Give, end or confirm roles, or start or cancel an access review."""
    client = _client_of(request, there, accounts)
    if client is None:
        raise Interrupted(failure(request, "not_found", 404))
    try:
        async with counted(request, there.here, sent.form.user, GIVES), accounts.db.write() as session:
            done = await roles.carry_out(session, accounts, client.client_id, there.here, sent.form, dict(sent.typed))
    except roles.RoleFormRefused as error:
        typed = {**sent.typed, "choice": sent.form.choice.act}
        return await _roles_page(request, there, accounts, error, typed)
    outbox.nudge()
    query = read_query(request.query_params, sandbox=bool(request.query_params.get("sandbox")))
    return RedirectResponse(query.done(f"{APPS}/{there.application_id}/roles", done), 303)


@router.post(ROLES + "/download")
async def download_roles(request: Request, there: Gives, sent: RolesSent, accounts: AccountActor) -> Response:
    """Return who has which role as a CSV file."""
    client = _client_of(request, there, accounts)
    if client is None:
        raise Interrupted(failure(request, "not_found", 404))
    try:
        return await file_response(request, accounts.db, there.here, client, sent.form.note)
    except roles.RoleFormRefused as error:
        return await _roles_page(request, there, accounts, error, sent.typed)
