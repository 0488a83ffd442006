"""The applications of somebody's teams, invitations, and the page that begins an application."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.models import SANDBOX_END, Application
from sso.clients.secrets import ClientError
from sso.http.common.pages import failure
from sso.http.common.state import site_of
from sso.http.console.access import DEVELOPER, Here, Needs, developer_page, own_form, token_for
from sso.http.developer.application_page import APPS, STATES, secret_page
from sso.http.developer.form import read_typed, requested_from, typed_from
from sso.http.developer.form_advice import advise_typed
from sso.http.developer.form_context import chosen_kind
from sso.http.developer.form_texts import KIND_TEXTS
from sso.http.developer.settings import form_page
from sso.platform.metrics.store import mistakes_of
from sso.portal import applications as apps
from sso.portal import invitations as joining
from sso.portal import teams
from sso.portal.applications import RequestedSettings, Unfinished, sandbox_id, suggested_id
from sso.portal.invitation_limits import EVERY_TEAM, block_invitations
from sso.portal.new_application import begin_application

router = APIRouter()

Anybody = Annotated[Here, Depends(Needs(None))]
Creator = Annotated[Here, Depends(Needs("applications:create"))]


@router.get(DEVELOPER)
async def my_applications(request: Request, here: Anybody) -> Response:
    """The applications that somebody looks after, invitations, and the way to begin another."""
    async with site_of(request).provider.db.read() as session:
        roles = await teams.teams_with(session, here.visit.user.id)
        found = await apps.page_of_applications(session, ids=sorted(roles), limit=len(roles)) if roles else []
        invited = await joining.invitations_of_person(session, here.visit.user.id)
        names = {one.application_id: one for one in await _named(session, [one.application_id for one in invited])}
        mistakes = await _mistakes_by(session, found)
    return await developer_page(
        request,
        here,
        "developer",
        "developer.html",
        rows=[(one, roles[one.application_id], mistakes.get(one.application_id, 0)) for one in found],
        invited=[(one, names[one.application_id].name) for one in invited if one.application_id in names],
        states=STATES,
        kinds=KIND_TEXTS,
        may_create=here.may("applications:create"),
        csrf_token=token_for(request, "invitations"),
    )


async def _named(session: AsyncSession, ids: list[str]) -> list[Application]:
    """Return applications by their ids."""
    return await apps.page_of_applications(session, ids=ids, limit=len(ids)) if ids else []


async def _mistakes_by(session: AsyncSession, found: list[Application]) -> dict[str, int]:
    """Return how many different mistakes each application made lately."""
    ids = [name for one in found for name in (one.application_id, sandbox_id(one.application_id))]
    counted: dict[str, int] = {}
    for one in await mistakes_of(session, ids, 500) if ids else []:
        stem = one.client_id.removesuffix(SANDBOX_END)
        counted[stem] = counted.get(stem, 0) + 1
    return counted


@router.post(DEVELOPER + "/invitations")
async def answer_invitation(request: Request, here: Anybody) -> Response:
    """Join a team, decline, or decline all invitations."""
    fields = await own_form(request, "invitations")
    choice, _, application_id = fields.get("choice", "").partition(" ")
    async with site_of(request).provider.db.write() as session:
        if choice == "accept":
            try:
                await joining.join(session, application_id, here.visit.user.id)
            except ClientError:
                return failure(request, "not_found", 404)
            return RedirectResponse(f"{APPS}/{application_id}", 303)
        every_team = choice == "block"
        recipients = await joining.decline(session, here.visit.user.id, application_id, every_team=every_team)
    team = EVERY_TEAM if every_team else application_id
    await block_invitations(site_of(request).limits, team, recipients)
    return RedirectResponse(DEVELOPER, 303)


@router.get(DEVELOPER + "/new")
async def new_page(request: Request, here: Creator) -> Response:
    """Choose a kind of application; with ``kind`` in the address, the form for it."""
    kind = chosen_kind(request.query_params.get("kind", ""))
    if kind is None:
        return await developer_page(request, here, "new", "developer_kind.html", kinds=KIND_TEXTS)
    return await form_page(request, here, typed_from(kind, RequestedSettings(kind)), None)


@router.post(DEVELOPER + "/new")
async def begin(request: Request, here: Creator) -> Response:
    """Begin an application: with its sandbox at once, or as a draft."""
    fields = await own_form(request, "settings new")
    kind = chosen_kind(fields.get("kind", ""))
    if kind is None:
        return RedirectResponse(DEVELOPER + "/new", 303)
    site, typed = site_of(request), read_typed(kind, fields)
    requested = requested_from(typed, RequestedSettings(kind))
    client_id = typed.values["client_id"].strip() or suggested_id(typed.values["client_name"])
    advise_typed(request, typed, requested, client_id)
    draft = fields.get("choice") == "draft"
    if (typed.wrong and not draft) or not requested.document.get("client_name"):
        typed.refuse({} if requested.document.get("client_name") else {"client_name": "is missing"})
        return await form_page(request, here, typed, None, 400)
    try:
        async with site.provider.db.write() as session:
            secret = await begin_application(
                session,
                site.settings,
                site.provider.box,
                client_id,
                requested,
                owner=here.visit.user.id,
                draft=draft,
                actor=here.as_actor,
                authority=here.authority,
            )
    except Unfinished as error:
        typed.refuse(error.problems)
        return await form_page(request, here, typed, None, 400)
    await site.provider.refresh()
    if secret is not None:
        return await secret_page(request, here, client_id, sandbox_id(client_id), secret)
    return RedirectResponse(f"{APPS}/{client_id}", 303)
