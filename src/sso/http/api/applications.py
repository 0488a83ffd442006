"""Applications that teams manage: what the developer portal does, for programs.

Members do what their role in the team allows; callers with ``clients:write`` do it with every application.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso.clients import store as clients
from sso.clients.models import Application
from sso.clients.secrets import ClientError
from sso.clients.validation_errors import scope_warnings
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.paging import CursorText, Limit, cut, read_cursor
from sso.http.api.preconditions import representation_response
from sso.http.api.problems import Problem, ProblemError, not_found, problems
from sso.http.api.schemas import applications as schemas
from sso.http.api.team_access import metadata_problems, team_application
from sso.http.common.late_routes import new_router
from sso.http.common.services import Box, Clients, CurrentSettings, Db, OutboundHttp
from sso.identity.users.models import User
from sso.portal import applications as apps
from sso.portal import teams
from sso.portal.administration import Review, review_application
from sso.portal.applications import RequestedSettings, State, kind_of, sandbox_id
from sso.portal.approval import check_sector_of, submit_application
from sso.portal.rp_check.results import passes_now
from sso.portal.rp_check.store import last_check
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings

router = new_router(prefix=PREFIX, tags=["applications"])


@router.get("/applications", summary="List applications of teams", responses=problems(), **needs("clients:read"))
async def list_applications(
    db: Db,
    state: Annotated[State | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.ApplicationPage:
    async with db.read() as session:
        states = (state,) if state else ()
        applications = await apps.page_of_applications(
            session, states=states, after=read_cursor(cursor) or "", limit=limit + 1
        )
    rows, following = cut(applications, limit, lambda application: application.application_id)
    items = [schemas.ApplicationSummary.model_validate(application, from_attributes=True) for application in rows]
    return schemas.ApplicationPage(items=items, next_cursor=following)


@router.post(
    "/applications",
    status_code=201,
    summary="Create an application",
    response_model=schemas.ApplicationWithSecret,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def begin(
    body: schemas.ApplicationCreate,
    creation: Creation,
    access: Access,
    settings: CurrentSettings,
    box: Box,
    known: Clients,
) -> Response:
    """With its sandbox at once, or as a draft. Who calls is its owner; a program names one."""
    caller = access.caller
    owner = caller.user_id or body.owner_id
    if owner is None or (caller.user_id is not None and body.owner_id not in (None, caller.user_id)):
        mistake = ProblemError(pointer="/owner_id", detail="Name who owns it; somebody who calls owns it themselves.")
        raise Problem(422, "invalid_request", mistake.detail, [mistake])

    async def check(session: AsyncSession) -> None:
        if await session.get(User, owner) is None:
            raise not_found("person")
        present = await session.get(Application, body.application_id)
        if present is not None and not access.manages_all:  # an earlier answer is for those who own it still
            role = await teams.role_of(session, present.application_id, caller.user_id) if caller.user_id else None
            if role != "owner":
                raise ClientError("the application id is already used")

    async def make(session: AsyncSession) -> Created:
        secret = None
        with metadata_problems():
            requested = RequestedSettings(body.kind, body.document, body.sandbox)
            application = await apps.create_application(session, body.application_id, requested, actor=access.actor)
            await teams.add_member(
                session,
                application.application_id,
                owner,
                "owner",
                actor=access.actor,
                authority=access.authority,
            )
            if not body.draft:
                uri = own_redirect_uri(settings)
                secret = await apps.open_sandbox(session, box, application, own_uri=uri, actor=access.actor)
        representation = await _representation(settings, session, application)
        location = f"{PREFIX}/applications/{body.application_id}"
        return Created(schemas.ApplicationWithSecret(application=representation, client_secret=secret), location)

    response = await creation.once(check, make)
    await known.refresh()
    return response


@router.get(
    "/applications/{application_id}",
    summary="Show an application of a team",
    response_model=schemas.Application,
    responses=problems(404),
    **needs("applications:create"),
)
async def get_application(application_id: str, access: Access, db: Db, settings: CurrentSettings) -> Response:
    async with db.read() as session:
        application = await team_application(access, session, application_id)
        return representation_response(await _representation(settings, session, application))


@router.put(
    "/applications/{application_id}",
    summary="Change an application of a team",
    response_model=schemas.Application,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def put_application(
    application_id: str,
    body: schemas.ApplicationUpdate,
    access: Access,
    db: Db,
    settings: CurrentSettings,
    known: Clients,
) -> Response:
    """The sandbox changes at once, production after the application was submitted and approved."""
    async with db.write() as session:
        application = await team_application(access, session, application_id)
        with metadata_problems():
            await apps.change_application(
                session,
                application,
                RequestedSettings(kind_of(application), body.document, body.sandbox),
                revision=body.revision,
                own_uri=own_redirect_uri(settings),
                actor=access.actor,
            )
        representation = await _representation(settings, session, application)
    await known.refresh()
    return representation_response(representation)


@router.post(
    "/applications/{application_id}/acts",
    summary="Submit, withdraw or comment on an application, or open its sandbox",
    response_model=schemas.ApplicationActionResult,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def act(
    application_id: str,
    body: schemas.ApplicationActionRequest,
    access: Access,
    db: Db,
    settings: CurrentSettings,
    box: Box,
    known: Clients,
) -> Response:
    secret = None
    async with db.write() as session:
        application = await team_application(access, session, application_id)
        with metadata_problems():
            if body.act == "submit":
                accepted = body.accept_new_subjects
                await submit_application(
                    session, settings, application, body.text, accepted=accepted, actor=access.actor
                )
            elif body.act == "withdraw":
                await apps.withdraw(session, application, actor=access.actor)
            elif body.act == "open_sandbox":
                uri = own_redirect_uri(settings)
                secret = await apps.open_sandbox(session, box, application, own_uri=uri, actor=access.actor)
            else:
                await apps.comment(session, application, body.text, actor=access.actor)
        representation = await _representation(settings, session, application)
    await known.refresh()
    return representation_response(schemas.ApplicationActionResult(application=representation, client_secret=secret))


@router.post(
    "/applications/{application_id}/review",
    summary="Approve a submitted application, or send it back",
    response_model=schemas.Application,
    responses=problems(404, 409),
    **needs("applications:review"),
)
async def review(
    application_id: str,
    body: schemas.ApplicationReview,
    access: Access,
    db: Db,
    settings: CurrentSettings,
    known: Clients,
    outbound: OutboundHttp,
) -> Response:
    if body.decision == "approve":
        with metadata_problems():
            await check_sector_of(
                db,
                outbound,
                application_id,
                body.revision,
                allow_http_loopback=settings.loopback,
            )
    async with db.write() as session:
        application = await apps.lock_application(session, application_id)
        if application is None:
            raise not_found("application")
        with metadata_problems():
            decision = Review(body.decision, body.text, body.revision, body.granted, body.accept_new_subjects)
            await review_application(
                session,
                settings,
                application,
                decision,
                actor=access.actor,
                authority=access.authority,
            )
        representation = await _representation(settings, session, application)
    await known.refresh()
    return representation_response(representation)


async def _representation(settings: Settings, session: AsyncSession, application: Application) -> schemas.Application:
    await session.flush()
    row = await clients.get_client(session, application.application_id)
    changes, missing = await apps.outlook(session, application, allow_http_loopback=settings.loopback)
    names = (
        "application_id", "state", "kind", "document", "sandbox", "granted", "revision", "created_at", "updated_at",
        "submitted_at", "approved_at",
    )  # fmt: skip
    return schemas.Application.model_validate(
        {
            **{name: getattr(application, name) for name in names},
            "sandbox_client_id": sandbox_id(application.application_id),
            "kept_by": apps.catalogue_of(row) or "team",
            "changes": changes,
            "missing": missing,
            "warnings": scope_warnings(str(application.document.get("scope") or "")),
            "checked": passes_now(await last_check(session, application.application_id), application),
        }
    )
