"""The applications of somebody's teams, invitations, and the page that begins an application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.models import SANDBOX_END, Application
from sso.clients.secrets import ClientError
from sso.clients.services import LiveClients
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.services import Box, Clients, CurrentSettings, Db, Limits
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent
from sso.http.console.access import DEVELOPER, Here, Needs, OwnForm, developer_page, own_form, token_for
from sso.http.developer import new_application
from sso.http.developer.application_page import APPS, STATES
from sso.http.developer.form import read_typed, requested_from, typed_from
from sso.http.developer.form_advice import advise_typed
from sso.http.developer.form_context import chosen_kind
from sso.http.developer.form_texts import KIND_TEXTS
from sso.http.developer.requested_data import offered_by
from sso.http.developer.sample import NewSecret, secret_page
from sso.http.developer.settings import form_page
from sso.platform.db import Database
from sso.platform.metrics.store import mistakes_of
from sso.platform.security.encryption import SecretBox
from sso.portal import applications as apps
from sso.portal import invitations as joining
from sso.portal import teams
from sso.portal.applications import RequestedSettings, Unfinished, sandbox_id, suggested_id
from sso.portal.invitation_limits import EVERY_TEAM, block_invitations
from sso.portal.new_application import begin_application
from sso.settings import Settings

router = new_router()

Anybody = Annotated[Here, Depends(Needs(None))]
Creator = Annotated[Here, Depends(Needs("applications:create"))]


class InvitationForm(FormModel):
    """The answer to an invitation: ``accept``, ``decline`` or ``block``, and the application."""

    choice: ChoiceField = Choice()


Invitation = Annotated[Sent[InvitationForm], Depends(OwnForm(InvitationForm, "invitations"))]


@router.get(DEVELOPER)
async def my_applications(request: Request, here: Anybody, db: Db) -> Response:
    """The applications that somebody looks after, invitations, and the way to begin another."""
    async with db.read() as session:
        roles = await teams.teams_with(session, here.visit.user.id)
        mine = await apps.page_of_applications(session, ids=sorted(roles), limit=len(roles)) if roles else []
        invitations = await joining.invitations_of_person(session, here.visit.user.id)
        inviting = await _with_ids(session, [invitation.application_id for invitation in invitations])
        mistakes = await _mistakes_by(session, mine)
    names = {application.application_id: application.name for application in inviting}
    return await developer_page(
        request,
        here,
        "developer",
        "developer.html",
        rows=[(app, roles[app.application_id], mistakes.get(app.application_id, 0)) for app in mine],
        invited=[
            (invitation, names[invitation.application_id])
            for invitation in invitations
            if invitation.application_id in names
        ],
        states=STATES,
        kinds=KIND_TEXTS,
        may_create=here.may("applications:create"),
        csrf_token=token_for(request, "invitations"),
    )


async def _with_ids(session: AsyncSession, ids: list[str]) -> list[Application]:
    """Return applications by their ids."""
    return await apps.page_of_applications(session, ids=ids, limit=len(ids)) if ids else []


async def _mistakes_by(session: AsyncSession, applications: list[Application]) -> dict[str, int]:
    """Return how many different mistakes each application made lately."""
    ids = [client_id for app in applications for client_id in (app.application_id, sandbox_id(app.application_id))]
    counted: dict[str, int] = {}
    for mistake in await mistakes_of(session, ids, 500) if ids else []:
        stem = mistake.client_id.removesuffix(SANDBOX_END)
        counted[stem] = counted.get(stem, 0) + 1
    return counted


@router.post(DEVELOPER + "/invitations")
async def answer_invitation(request: Request, here: Anybody, sent: Invitation, db: Db, limits: Limits) -> Response:
    """Join a team, decline, or decline all invitations."""
    act, application_id = sent.form.choice
    async with db.write() as session:
        if act == "accept":
            try:
                await joining.join(session, application_id, here.visit.user.id)
            except ClientError:
                return failure(request, "not_found", 404)
            return RedirectResponse(f"{APPS}/{application_id}", 303)
        every_team = act == "block"
        recipients = await joining.decline(session, here.visit.user.id, application_id, every_team=every_team)
    team = EVERY_TEAM if every_team else application_id
    await block_invitations(limits, team, recipients)
    return RedirectResponse(DEVELOPER, 303)


@router.get(DEVELOPER + "/new")
async def new(request: Request, here: Creator, clients: Clients) -> Response:
    """Create an application; with ``kind`` in the address, with all settings on one page."""
    kind = chosen_kind(request.query_params.get("kind", ""))
    if kind is None:
        return await new_application.new_page(request, here)
    typed = typed_from(kind, RequestedSettings(kind), offered=offered_by(clients.registry.city))
    return await form_page(request, here, clients.registry, typed, None)


@router.post(DEVELOPER + "/new")
async def begin(
    request: Request, here: Creator, db: Db, settings: CurrentSettings, box: Box, clients: Clients
) -> Response:
    """Create an application: with its sandbox at once, or as a draft."""
    fields = await own_form(request, "settings new")
    if fields.get("short"):
        return await _create(request, here, db, settings, box, clients, fields)
    kind = chosen_kind(fields.get("kind", ""))
    if kind is None:
        return RedirectResponse(DEVELOPER + "/new", 303)
    typed = read_typed(kind, fields, offered_by(clients.registry.city))
    requested = requested_from(typed, RequestedSettings(kind))
    client_id = typed.values["client_id"].strip() or suggested_id(typed.values["client_name"])
    advise_typed(typed, requested, client_id, clients.registry, settings)
    draft = fields.get("choice") == "draft"
    if (typed.wrong and not draft) or not requested.document.get("client_name"):
        typed.refuse({} if requested.document.get("client_name") else {"client_name": "is missing"})
        return await form_page(request, here, clients.registry, typed, None, 400)
    try:
        secret = await _begin(here, db, settings, box, client_id, requested, draft=draft)
    except Unfinished as error:
        typed.refuse(error.problems)
        return await form_page(request, here, clients.registry, typed, None, 400)
    await clients.refresh()
    if secret is not None:
        return await _ready(request, here, settings, clients, client_id, secret)
    return RedirectResponse(f"{APPS}/{client_id}", 303)


async def _begin(
    here: Here,
    db: Database,
    settings: Settings,
    box: SecretBox,
    client_id: str,
    requested: RequestedSettings,
    *,
    draft: bool = False,
) -> str | None:
    """Begin an application whose owner is the user; return the secret of its sandbox, where it has one.

    Raises:
        Unfinished: when a setting is missing or cannot be used.
    """
    async with db.write() as session:
        return await begin_application(
            session,
            settings,
            box,
            client_id,
            requested,
            owner=here.visit.user.id,
            draft=draft,
            actor=here.as_actor,
            authority=here.authority,
        )


async def _create(
    request: Request,
    here: Here,
    db: Database,
    settings: Settings,
    box: SecretBox,
    clients: LiveClients,
    fields: Mapping[str, str],
) -> Response:
    """Create an application of a name, a type and one redirect URI, with its sandbox."""
    typed = new_application.read_new(fields)
    new_application.check_new(typed, clients.registry)
    if typed.wrong:
        return await new_application.new_page(request, here, typed, 400)
    requested, ids = new_application.settings_of_new(typed), new_application.ids_for(typed)
    for client_id in ids:
        try:
            secret = await _begin(here, db, settings, box, client_id, requested)
        except Unfinished as error:
            if "client_id" in error.problems and client_id != ids[-1]:
                continue
            new_application.refuse_new(typed, error.problems)
            return await new_application.new_page(request, here, typed, 400)
        await clients.refresh()
        if secret is not None:
            return await _ready(request, here, settings, clients, client_id, secret)
        return RedirectResponse(f"{APPS}/{client_id}/quick-start?watch=60", 303)
    raise AssertionError("there is always one client ID to try")


async def _ready(
    request: Request, here: Here, settings: Settings, clients: LiveClients, client_id: str, secret: str
) -> Response:
    new_secret = NewSecret(client_id, sandbox_id(client_id), secret, fresh=True)
    return await secret_page(request, here, settings, clients.registry, new_secret)
