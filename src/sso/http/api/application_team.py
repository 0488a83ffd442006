"""The team of an application, its client secrets, its refused requests and its relying-party check."""

from __future__ import annotations

import uuid

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso.clients import store as clients
from sso.clients.models import RelyingPartyCheck
from sso.clients.privileges import check_hold
from sso.clients.secrets import add_secret, revoke_secret, valid_secrets
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.preconditions import representation_response
from sso.http.api.problems import Problem, not_found, problems
from sso.http.api.schemas import applications as schemas
from sso.http.api.team_access import metadata_problems, team_application
from sso.http.common.late_routes import new_router
from sso.http.common.services import Box, Checks, Clients, Db
from sso.identity.users.models import User
from sso.platform.metrics.store import mistakes_of
from sso.portal import teams
from sso.portal.applications import sandbox_id
from sso.portal.rp_check.results import findings_of, passed
from sso.portal.rp_check.runner import begin_check, start
from sso.portal.rp_check.store import last_check

router = new_router(prefix=PREFIX, tags=["applications"])


@router.get(
    "/applications/{application_id}/team",
    summary="List the members of a team",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_team(application_id: str, access: Access, db: Db) -> list[schemas.TeamMember]:
    async with db.read() as session:
        await team_application(access, session, application_id)
        members = await teams.team_of(session, application_id)
    return [schemas.TeamMember.model_validate(member, from_attributes=True) for member in members]


@router.put(
    "/applications/{application_id}/team/{user_id}",
    summary="Add a member to a team, or change the role of one",
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def put_member(
    application_id: str,
    user_id: uuid.UUID,
    body: schemas.TeamMemberUpdate,
    access: Access,
    db: Db,
) -> list[schemas.TeamMember]:
    """Only callers with `clients:write` add users who were not invited. Owners change the roles of members."""
    async with db.write() as session:
        await team_application(access, session, application_id, owner=True)
        if await session.get(User, user_id) is None:
            raise not_found("person")
        role = await teams.role_of(session, application_id, user_id)
        if role is None and not access.manages_all:
            raise Problem(403, "not_invited", "Invite the person in the portal: they join by themselves.")
        with metadata_problems():
            await teams.add_member(
                session,
                application_id,
                user_id,
                body.role,
                actor=access.actor,
                authority=access.authority,
            )
        members = await teams.team_of(session, application_id)
        return [schemas.TeamMember.model_validate(member, from_attributes=True) for member in members]


@router.delete(
    "/applications/{application_id}/team/{user_id}",
    status_code=204,
    summary="Remove a member from a team",
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def delete_member(application_id: str, user_id: uuid.UUID, access: Access, db: Db) -> Response:
    """The last owner cannot be removed. Members may remove themselves."""
    async with db.write() as session:
        await team_application(access, session, application_id, owner=access.caller.user_id != user_id)
        with metadata_problems():
            await teams.remove_member(session, application_id, user_id, actor=access.actor)
    return Response(status_code=204)


@router.get(
    "/applications/{application_id}/secrets",
    summary="List the client secrets of an application",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_secrets(application_id: str, access: Access, db: Db) -> list[schemas.ApplicationSecretSummary]:
    async with db.read() as session:
        await team_application(access, session, application_id)
        secrets = [
            secret
            for client_id in (sandbox_id(application_id), application_id)
            for secret in await valid_secrets(session, client_id)
        ]
    return [schemas.ApplicationSecretSummary.model_validate(secret, from_attributes=True) for secret in secrets]


@router.post(
    "/applications/{application_id}/secrets",
    status_code=201,
    summary="Create a second client secret",
    response_model=schemas.ApplicationSecret,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def make_secret(
    application_id: str,
    body: schemas.ApplicationSecretCreate,
    creation: Creation,
    access: Access,
    box: Box,
    known: Clients,
) -> Response:
    """Two secrets are valid at a time. Revoke the old one when it is no longer used."""
    client_id = sandbox_id(application_id) if body.environment == "sandbox" else application_id

    async def check(session: AsyncSession) -> None:
        await team_application(access, session, application_id, owner=True)
        await check_hold(session, client_id, access.authority)

    async def make(session: AsyncSession) -> Created:
        with metadata_problems():
            secret = await add_secret(
                session,
                box,
                client_id,
                valid_days=body.valid_days,
                authority=access.authority,
                actor=access.actor_with_address,
            )
        location = f"{PREFIX}/applications/{application_id}/secrets"
        return Created(schemas.ApplicationSecret(client_id=client_id, client_secret=secret), location)

    response = await creation.once(check, make)
    await known.refresh()
    return response


@router.delete(
    "/applications/{application_id}/secrets/{secret_id}",
    status_code=204,
    summary="Revoke a client secret",
    responses=problems(404),
    **needs("applications:create"),
)
async def delete_secret(application_id: str, secret_id: uuid.UUID, access: Access, db: Db, known: Clients) -> Response:
    revoked = False
    async with db.write() as session:
        await team_application(access, session, application_id, owner=True)
        for client_id in (sandbox_id(application_id), application_id):
            if any(secret.id == secret_id for secret in await clients.secrets_of(session, client_id)):
                await revoke_secret(session, client_id, secret_id, actor=access.actor_with_address)
                revoked = True
    if not revoked:
        raise not_found("secret")
    await known.refresh()
    return Response(status_code=204)


@router.get(
    "/applications/{application_id}/mistakes",
    summary="List recent refused requests of an application",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_mistakes(application_id: str, access: Access, db: Db) -> list[schemas.ApplicationMistake]:
    async with db.read() as session:
        await team_application(access, session, application_id)
        mistakes = await mistakes_of(session, [application_id, sandbox_id(application_id)])
    return [schemas.ApplicationMistake.model_validate(mistake, from_attributes=True) for mistake in mistakes]


@router.post(
    "/applications/{application_id}/check",
    status_code=202,
    summary="Start the relying-party check",
    response_model=schemas.RelyingPartyCheck,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def begin_rp_check(
    application_id: str,
    body: schemas.RelyingPartyCheckCreate,
    access: Access,
    db: Db,
    checks: Checks,
    known: Clients,
) -> Response:
    """The check signs in at the sandbox a dozen times as a provider that breaks the rules. Read the result with GET."""
    await known.look()  # the sandbox may have been changed a moment ago
    async with db.write() as session:
        application = await team_application(access, session, application_id)
        with metadata_problems():
            check = await begin_check(
                session, checks.registry, checks.settings, application, body.page, actor=access.actor
            )
        representation = _checked(check)
    start(checks, check)
    return representation_response(representation, 202)


@router.get(
    "/applications/{application_id}/check",
    summary="Show the latest relying-party check",
    response_model=schemas.RelyingPartyCheck,
    responses=problems(404),
    **needs("applications:create"),
)
async def get_rp_check(application_id: str, access: Access, db: Db) -> Response:
    async with db.read() as session:
        await team_application(access, session, application_id)
        check = await last_check(session, application_id)
    if check is None:
        raise not_found("check")
    return representation_response(_checked(check))


def _checked(check: RelyingPartyCheck) -> schemas.RelyingPartyCheck:
    findings = [schemas.RelyingPartyCheckFinding.model_validate(finding) for finding in findings_of(check)]
    running = check.status == "running"
    return schemas.RelyingPartyCheck(
        status="running" if running else "done",
        passed=passed(check),
        revision=check.revision,
        findings=findings,
        created_at=check.created_at,
        finished_at=check.finished_at,
    )
