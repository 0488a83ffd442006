"""Applications that teams look after: the same that the developers' portal does, for programs.

Somebody does with an application what their place in its team allows; whoever may change every application, people
and programs with ``clients:write``, does it with each.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.clients import store as clients
from sso.clients.models import Application, RelyingPartyCheck
from sso.clients.privileges import check_hold
from sso.clients.secrets import ClientError, add_secret, revoke_secret, valid_secrets
from sso.clients.validation_errors import scope_warnings
from sso.http.api.access import PREFIX, actor_of, by, caller_in, needs
from sso.http.api.idempotency import IdempotencyKeyHeader, Made, once
from sso.http.api.paging import CursorText, Limit, cut, read_cursor
from sso.http.api.preconditions import shown_response
from sso.http.api.problems import Problem, ProblemError, not_found, problems, refused
from sso.http.api.schemas import applications as schemas
from sso.http.common.state import site_of
from sso.identity.users.models import User
from sso.platform.metrics.store import mistakes_of
from sso.portal import applications as apps
from sso.portal import teams
from sso.portal.applications import RequestedSettings, State, Unfinished, sandbox_id
from sso.portal.approval import approve_application, check_sector_of, submit_application
from sso.portal.rp_check.results import passed, passes_now
from sso.portal.rp_check.runner import begin_check, start
from sso.portal.rp_check.store import last_check
from sso.portal.sandbox import own_redirect_uri

router = APIRouter(prefix=PREFIX, tags=["applications"])


@router.get("/applications", summary="List applications of teams", responses=problems(), **needs("clients:read"))
async def list_applications(
    request: Request,
    state: Annotated[State | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.ApplicationPage:
    async with site_of(request).provider.db.read() as session:
        states = (state,) if state else ()
        found = await apps.page_of_applications(
            session, states=states, after=read_cursor(cursor) or "", limit=limit + 1
        )
    rows, following = cut(found, limit, lambda one: one.application_id)
    items = [schemas.ApplicationSummary.model_validate(one, from_attributes=True) for one in rows]
    return schemas.ApplicationPage(items=items, next_cursor=following)


@router.post(
    "/applications",
    status_code=201,
    summary="Create an application",
    response_model=schemas.ApplicationWithSecret,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def begin(request: Request, wanted: schemas.ApplicationCreate, key: IdempotencyKeyHeader = None) -> Response:
    """With its sandbox at once, or as a draft. Who calls is its owner; a program names one."""
    provider, caller = site_of(request).provider, caller_in(request)
    owner = caller.user_id or wanted.owner_id
    if owner is None or (caller.user_id is not None and wanted.owner_id not in (None, caller.user_id)):
        mistake = ProblemError(pointer="/owner_id", detail="Name who owns it; somebody who calls owns it themselves.")
        raise Problem(422, "invalid_request", mistake.detail, [mistake])

    async def check(session: AsyncSession) -> None:
        if await session.get(User, owner) is None:
            raise not_found("person")
        found = await session.get(Application, wanted.application_id)
        if found is not None and not _everything(request):  # an earlier answer is for those who own it still
            role = await teams.role_of(session, found.application_id, caller.user_id) if caller.user_id else None
            if role != "owner":
                raise refused(ClientError("the application id is already used"))

    async def make(session: AsyncSession) -> Made:
        secret = None
        with _explained():
            asked = RequestedSettings(wanted.kind, wanted.document, wanted.sandbox)
            made = await apps.create_application(session, wanted.application_id, asked, actor=actor_of(request))
            await teams.add_member(
                session,
                made.application_id,
                owner,
                "owner",
                actor=actor_of(request),
                authority=caller_in(request).authority,
            )
            if not wanted.draft:
                uri = own_redirect_uri(provider.settings)
                secret = await apps.open_sandbox(session, provider.box, made, own_uri=uri, actor=actor_of(request))
        shown = await _shown(request, session, made)
        location = f"{PREFIX}/applications/{wanted.application_id}"
        return Made(schemas.ApplicationWithSecret(application=shown, client_secret=secret), location)

    made = await once(request, key, check, make)
    await provider.refresh()
    return made


@router.get(
    "/applications/{application_id}",
    summary="Show an application of a team",
    response_model=schemas.Application,
    responses=problems(404),
    **needs("applications:create"),
)
async def get_application(request: Request, application_id: str) -> Response:
    async with site_of(request).provider.db.read() as session:
        found = await _theirs(request, session, application_id)
        return shown_response(await _shown(request, session, found))


@router.put(
    "/applications/{application_id}",
    summary="Change an application of a team",
    response_model=schemas.Application,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def put_application(request: Request, application_id: str, wanted: schemas.ApplicationUpdate) -> Response:
    """The sandbox changes at once, production after the application was submitted and approved."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        found = await _theirs(request, session, application_id)
        kind: Any = found.kind
        with _explained():
            await apps.change_application(
                session,
                found,
                RequestedSettings(kind, wanted.document, wanted.sandbox),
                revision=wanted.revision,
                own_uri=own_redirect_uri(provider.settings),
                actor=actor_of(request),
            )
        shown = await _shown(request, session, found)
    await provider.refresh()
    return shown_response(shown)


@router.post(
    "/applications/{application_id}/acts",
    summary="Submit, withdraw or comment on an application, or open its sandbox",
    response_model=schemas.ApplicationActionResult,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def act(request: Request, application_id: str, wanted: schemas.ApplicationActionRequest) -> Response:
    provider, secret = site_of(request).provider, None
    async with provider.db.write() as session:
        found = await _theirs(request, session, application_id)
        with _explained():
            if wanted.act == "submit":
                accepted = wanted.accept_new_subjects
                await submit_application(
                    session, provider.settings, found, wanted.text, accepted=accepted, actor=actor_of(request)
                )
            elif wanted.act == "withdraw":
                await apps.withdraw(session, found, actor=actor_of(request))
            elif wanted.act == "open_sandbox":
                uri = own_redirect_uri(provider.settings)
                secret = await apps.open_sandbox(session, provider.box, found, own_uri=uri, actor=actor_of(request))
            else:
                await apps.comment(session, found, wanted.text, actor=actor_of(request))
        shown = await _shown(request, session, found)
    await provider.refresh()
    return shown_response(schemas.ApplicationActionResult(application=shown, client_secret=secret))


@router.post(
    "/applications/{application_id}/review",
    summary="Approve a submitted application, or send it back",
    response_model=schemas.Application,
    responses=problems(404, 409),
    **needs("applications:review"),
)
async def review(request: Request, application_id: str, wanted: schemas.ApplicationReview) -> Response:
    provider = site_of(request).provider
    if wanted.decision == "approve":
        with _explained():
            await check_sector_of(
                provider.db,
                provider.outbound,
                application_id,
                wanted.revision,
                allow_http_loopback=provider.settings.loopback,
            )
    async with provider.db.write() as session:
        found = await apps.lock_application(session, application_id)
        if found is None:
            raise not_found("application")
        with _explained():
            if wanted.decision == "approve":
                await approve_application(
                    session,
                    provider.settings,
                    found,
                    wanted.text,
                    wanted.granted,
                    revision=wanted.revision,
                    authority=caller_in(request).authority,
                    accepted=wanted.accept_new_subjects,
                    actor=actor_of(request),
                )
            elif wanted.revision != found.revision:
                raise apps.Stale("somebody else changed it meanwhile")
            else:
                await apps.send_back(session, found, wanted.text, actor=actor_of(request))
        shown = await _shown(request, session, found)
    await provider.refresh()
    return shown_response(shown)


@router.get(
    "/applications/{application_id}/team",
    summary="List the members of a team",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_team(request: Request, application_id: str) -> list[schemas.TeamMember]:
    async with site_of(request).provider.db.read() as session:
        await _theirs(request, session, application_id)
        found = await teams.team_of(session, application_id)
    return [schemas.TeamMember.model_validate(one, from_attributes=True) for one in found]


@router.put(
    "/applications/{application_id}/team/{user_id}",
    summary="Add a member to a team, or change the role of one",
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def put_member(
    request: Request, application_id: str, user_id: uuid.UUID, wanted: schemas.TeamMemberUpdate
) -> list[schemas.TeamMember]:
    """Only callers with `clients:write` add users who were not invited. Owners change the roles of members."""
    async with site_of(request).provider.db.write() as session:
        await _theirs(request, session, application_id, owner=True)
        if await session.get(User, user_id) is None:
            raise not_found("person")
        known = await teams.role_of(session, application_id, user_id)
        if known is None and not _everything(request):
            raise Problem(403, "not_invited", "Invite the person in the portal: they join by themselves.")
        with _explained():
            await teams.add_member(
                session,
                application_id,
                user_id,
                wanted.role,
                actor=actor_of(request),
                authority=caller_in(request).authority,
            )
        found = await teams.team_of(session, application_id)
        return [schemas.TeamMember.model_validate(one, from_attributes=True) for one in found]


@router.delete(
    "/applications/{application_id}/team/{user_id}",
    status_code=204,
    summary="Remove a member from a team",
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def delete_member(request: Request, application_id: str, user_id: uuid.UUID) -> Response:
    """The last owner cannot be removed. Members may remove themselves."""
    async with site_of(request).provider.db.write() as session:
        await _theirs(request, session, application_id, owner=caller_in(request).user_id != user_id)
        with _explained():
            await teams.remove_member(session, application_id, user_id, actor=actor_of(request))
    return Response(status_code=204)


@router.get(
    "/applications/{application_id}/secrets",
    summary="List the client secrets of an application",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_secrets(request: Request, application_id: str) -> list[schemas.ApplicationSecretSummary]:
    async with site_of(request).provider.db.read() as session:
        await _theirs(request, session, application_id)
        found = [
            one
            for client_id in (sandbox_id(application_id), application_id)
            for one in await valid_secrets(session, client_id)
        ]
    return [schemas.ApplicationSecretSummary.model_validate(one, from_attributes=True) for one in found]


@router.post(
    "/applications/{application_id}/secrets",
    status_code=201,
    summary="Create a second client secret",
    response_model=schemas.ApplicationSecret,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def make_secret(
    request: Request, application_id: str, wanted: schemas.ApplicationSecretCreate, key: IdempotencyKeyHeader = None
) -> Response:
    """Two secrets are valid at a time. Revoke the old one when it is no longer used."""
    provider = site_of(request).provider
    client_id = sandbox_id(application_id) if wanted.environment == "sandbox" else application_id

    async def check(session: AsyncSession) -> None:
        await _theirs(request, session, application_id, owner=True)
        await check_hold(session, client_id, caller_in(request).authority)

    async def make(session: AsyncSession) -> Made:
        with _explained():
            secret = await add_secret(
                session,
                provider.box,
                client_id,
                valid_days=wanted.valid_days,
                authority=caller_in(request).authority,
                **by(request),
            )
        location = f"{PREFIX}/applications/{application_id}/secrets"
        return Made(schemas.ApplicationSecret(client_id=client_id, client_secret=secret), location)

    made = await once(request, key, check, make)
    await provider.refresh()
    return made


@router.delete(
    "/applications/{application_id}/secrets/{secret_id}",
    status_code=204,
    summary="Revoke a client secret",
    responses=problems(404),
    **needs("applications:create"),
)
async def delete_secret(request: Request, application_id: str, secret_id: uuid.UUID) -> Response:
    provider, done = site_of(request).provider, False
    async with provider.db.write() as session:
        await _theirs(request, session, application_id, owner=True)
        for client_id in (sandbox_id(application_id), application_id):
            if any(one.id == secret_id for one in await clients.secrets_of(session, client_id)):
                who = by(request)
                await revoke_secret(session, client_id, secret_id, **who)
                done = True
    if not done:
        raise not_found("secret")
    await provider.refresh()
    return Response(status_code=204)


@router.get(
    "/applications/{application_id}/mistakes",
    summary="List recent refused requests of an application",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_mistakes(request: Request, application_id: str) -> list[schemas.ApplicationMistake]:
    async with site_of(request).provider.db.read() as session:
        await _theirs(request, session, application_id)
        found = await mistakes_of(session, [application_id, sandbox_id(application_id)])
    return [schemas.ApplicationMistake.model_validate(one, from_attributes=True) for one in found]


@router.post(
    "/applications/{application_id}/check",
    status_code=202,
    summary="Start the relying-party check",
    response_model=schemas.RelyingPartyCheck,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def begin_rp_check(request: Request, application_id: str, wanted: schemas.RelyingPartyCheckCreate) -> Response:
    """The check signs in at the sandbox a dozen times as a provider that breaks the rules. Read the result with GET."""
    provider = site_of(request).provider
    await provider.look()  # the sandbox may have been changed a moment ago
    async with provider.db.write() as session:
        found = await _theirs(request, session, application_id)
        with _explained():
            made = await begin_check(session, provider, found, wanted.page, actor=actor_of(request))
        shown = _checked(made)
    start(provider, made)
    return shown_response(shown, 202)


@router.get(
    "/applications/{application_id}/check",
    summary="Show the latest relying-party check",
    response_model=schemas.RelyingPartyCheck,
    responses=problems(404),
    **needs("applications:create"),
)
async def get_rp_check(request: Request, application_id: str) -> Response:
    async with site_of(request).provider.db.read() as session:
        await _theirs(request, session, application_id)
        found = await last_check(session, application_id)
    if found is None:
        raise not_found("check")
    return shown_response(_checked(found))


def _checked(found: RelyingPartyCheck) -> schemas.RelyingPartyCheck:
    findings = [schemas.RelyingPartyCheckFinding.model_validate(one) for one in found.results.get("findings", [])]
    running = found.status == "running"
    return schemas.RelyingPartyCheck(
        status="running" if running else "done",
        passed=passed(found),
        revision=found.revision,
        findings=findings,
        created_at=found.created_at,
        finished_at=found.finished_at,
    )


def _everything(request: Request) -> bool:
    """Tell whether who calls may do it with every application."""
    return "clients:write" in caller_in(request).authority.permissions


async def _theirs(request: Request, session: AsyncSession, application_id: str, *, owner: bool = False) -> Application:
    """Return an application that who calls looks after.

    Raises:
        Problem: when they do not: to others it is as if there were none.
    """
    found, caller = await apps.lock_application(session, application_id), caller_in(request)
    if found is None:
        raise not_found("application")
    if _everything(request):
        return found
    role = await teams.role_of(session, application_id, caller.user_id) if caller.user_id is not None else None
    if role is None:
        raise not_found("application")
    if owner and role != "owner":
        raise Problem(403, "not_an_owner", "Only an owner of the application does this.")
    return found


@contextmanager
def _explained() -> Iterator[None]:
    """Answer what cannot be done with a problem."""
    try:
        yield
    except Unfinished as error:
        raise _unfinished(error) from None
    except ClientError as error:
        raise refused(error) from None


def _unfinished(error: Unfinished) -> Problem:
    mistakes = [ProblemError(pointer=_pointer(name), detail=text) for name, text in error.problems.items()]
    first = mistakes[0]
    return Problem(422, "invalid_client_metadata", f"{first.pointer}: {first.detail}", mistakes)


def _pointer(name: str) -> str:
    if name in ("client_id", "kind"):
        return "/application_id" if name == "client_id" else "/kind"
    return f"/sandbox/{name.removeprefix('sandbox.')}" if name.startswith("sandbox.") else f"/document/{name}"


async def _shown(request: Request, session: AsyncSession, found: Application) -> schemas.Application:
    provider = site_of(request).provider
    await session.flush()
    row = await clients.get_client(session, found.application_id)
    changes, missing = await apps.outlook(session, found, allow_http_loopback=provider.settings.loopback)
    names = (
        "application_id", "state", "kind", "document", "sandbox", "granted", "revision", "created_at", "updated_at",
        "submitted_at", "approved_at",
    )  # fmt: skip
    return schemas.Application.model_validate(
        {
            **{name: getattr(found, name) for name in names},
            "sandbox_client_id": sandbox_id(found.application_id),
            "kept_by": apps.catalogue_of(row) or "team",
            "changes": changes,
            "missing": missing,
            "warnings": scope_warnings(str(found.document.get("scope") or "")),
            "checked": passes_now(await last_check(session, found.application_id), found),
        }
    )
