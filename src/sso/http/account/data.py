"""Downloading the own data, and deleting the account."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.accounts.data_export import export_data
from sso.accounts.deletion import plan_deletion
from sso.accounts.guards import OnlyOwner
from sso.accounts.own_account import lock_own_account
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.pages import page
from sso.http.common.typed_forms import FormModel, Sent, SentForm, Ticked, required
from sso.http.sign_in.account_chooser import with_accounts
from sso.http.sign_in.texts import STALE
from sso.identity.users.service import UserError
from sso.settings import whole_days

router = new_router()

NOT_SURE = N_("Tick the box if you are sure.")
ONLY_OWNER = N_("Nobody else owns %(what)s. Make somebody else an owner in the developers' portal first.")
LAST_ADMINISTRATOR = N_("You are the last administrator. Make somebody else an administrator first.")
Here = Annotated[OwnVisit, Depends(OwnPage("data"))]
HereRecently = Annotated[OwnVisit, Depends(OwnPage("data", recent=True))]


class DeletionForm(FormModel):
    """The box that confirms a deletion."""

    sure: Annotated[Ticked, required(NOT_SURE)] = False


Deletion = Annotated[Sent[DeletionForm], Depends(SentForm(DeletionForm))]
Export = Annotated[Sent[FormModel], Depends(SentForm(FormModel))]


@router.get("/account/data")
async def data_page(here: Here) -> Response:
    """Downloading the data, and deleting the account."""
    return _page(here)


@router.post("/account/export")
async def export(here: HereRecently, sent: Export) -> Response:
    """All data of the user as JSON (UU PDP 27/2022 article 6; GDPR article 20)."""
    if not here.sent_by_us(sent.typed):
        return _page(here, STALE, 400)
    async with here.services.db.write() as session:
        user = await lock_own_account(session, here.own)
        document = await export_data(session, here.services.changes, user, here.actor)
    here.services.worker.nudge()
    name = f"data-{clock.now():%Y-%m-%d}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str)
    return Response(body, headers=headers, media_type="application/json")


@router.post("/account/delete")
async def delete(request: Request, here: HereRecently, sent: Deletion) -> Response:
    """Ask for the deletion of the account: signed out everywhere at once, deleted after the grace period."""
    if not here.sent_by_us(sent.typed):
        return _page(here, STALE, 400)
    if sent.mistakes:
        return _page(here, sent.mistakes["sure"], 400)
    try:
        async with here.services.db.write() as session:
            user = await lock_own_account(session, here.own)
            await plan_deletion(session, here.services.changes, user, actor=here.actor)
            until = user.delete_at
    except OnlyOwner as error:
        return _page(here, ONLY_OWNER, 409, what=error.applications)
    except UserError:
        return _page(here, LAST_ADMINISTRATOR, 409)
    here.services.worker.nudge()
    response = page(request, "account_leaving.html", here="/", until=until)
    with_accounts(request, response, [])
    return response


def _page(here: OwnVisit, problem: str = "", status: int = 200, **values: str) -> Response:
    days = whole_days(here.services.settings.deletion_grace_period)
    return here.page("account_data.html", status, problem=problem, days=days, values=values)
