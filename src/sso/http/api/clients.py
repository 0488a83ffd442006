"""Registered applications: those that this API looks after are changed here; those of a catalogue, in its file."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import JsonValue, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.clients import store
from sso.clients.dynamic_registration import RegistrationRefused, check_sector
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE, REMOVED, SANDBOX, SANDBOX_END, ClientRow
from sso.clients.privileges import check_hold, grant_privilege, revoke_privilege, shown
from sso.clients.profiles import relaxations
from sso.clients.registry import stored_metadata
from sso.clients.secrets import create_client, new_secret, replace_client
from sso.clients.sectors import check_kept_sector
from sso.clients.validation_errors import mistakes_of, scope_warnings
from sso.http.api.access import PREFIX, actor_of, caller_in, needs
from sso.http.api.idempotency import IdempotencyKeyHeader, Made, once
from sso.http.api.paging import CursorText, Limit, cut, read_cursor
from sso.http.api.preconditions import IfMatch, check_etag, shown_response
from sso.http.api.problems import Problem, ProblemError, not_found, problems
from sso.http.api.schemas import clients as schemas
from sso.http.common.state import request_id_of, site_of
from sso.oidc.subjects import check_subjects
from sso.platform.security.outbound_http import Outbound
from sso.portal.applications import follow_client, lock_application
from sso.portal.lifecycle import remove_client, resume_client, suspend_client
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings

router = APIRouter(prefix=PREFIX, tags=["clients"])


@router.get("/clients", summary="List clients", responses=problems(), **needs("clients:read"))
async def list_clients(
    request: Request,
    catalogue: Annotated[str | None, Query(max_length=100)] = None,
    status: Annotated[Literal["active", "suspended"] | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.ClientPage:
    async with site_of(request).provider.db.read() as session:
        after = read_cursor(cursor) or ""
        found = await store.page_of_clients(session, catalogue=catalogue, status=status, after=after, limit=limit + 1)
    rows, following = cut(found, limit, lambda one: one.client_id)
    return schemas.ClientPage(items=[_shown(one) for one in rows], next_cursor=following)


@router.post(
    "/clients",
    status_code=201,
    summary="Register a client",
    response_model=schemas.ClientWithSecret,
    responses=problems(409),
    **needs("clients:write"),
)
async def create(request: Request, body: schemas.ClientCreate, key: IdempotencyKeyHeader = None) -> Response:
    provider = site_of(request).provider
    metadata = await _metadata(provider.settings, provider.outbound, body.metadata)

    async def check(session: AsyncSession) -> None:
        await check_hold(session, body.client_id, caller_in(request).authority)

    async def make(session: AsyncSession) -> Made:
        check_kept_sector(None, metadata)
        secret = await create_client(
            session,
            provider.box,
            body.client_id,
            metadata,
            catalogue=HERE,
            authority=caller_in(request).authority,
            actor=caller_in(request).actor,
            request_id=request_id_of(request),
        )
        row = await store.lock_client(session, body.client_id)
        assert row is not None
        return Made(
            schemas.ClientWithSecret(client=_shown(row), client_secret=secret), f"{PREFIX}/clients/{body.client_id}"
        )

    made = await once(request, key, check, make)
    await provider.refresh()
    return made


@router.get(
    "/clients/{client_id}",
    summary="Show a client",
    response_model=schemas.Client,
    responses=problems(404),
    **needs("clients:read"),
)
async def get_client(request: Request, client_id: str) -> Response:
    async with site_of(request).provider.db.read() as session:
        found = await store.get_client(session, client_id)
    if found is None or found.status == REMOVED:
        raise not_found("application")
    return shown_response(_shown(found))


@router.put(
    "/clients/{client_id}",
    summary="Change a client",
    response_model=schemas.Client,
    responses=problems(404, 409, 412, 428),
    **needs("clients:write"),
)
async def put_client(
    request: Request, client_id: str, body: schemas.ClientUpdate, if_match: IfMatch = None
) -> Response:
    """Replace the registered metadata. Clients of a catalogue file are changed in that file."""
    provider = site_of(request).provider
    async with provider.db.read() as session:
        found = await store.get_client(session, client_id)
    if found is None or found.status == REMOVED:
        raise not_found("application")
    check_etag(if_match, _shown(found))
    own_secret = stored_metadata(found.metadata_).has_shared_secret
    # May fetch a document: before the transaction.
    metadata = await _metadata(provider.settings, provider.outbound, body.metadata, own_secret=own_secret)
    async with provider.db.write() as session:
        row = await _present(session, client_id)
        check_etag(if_match, _shown(row))
        before = stored_metadata(row.metadata_)
        await check_subjects(
            session,
            client_id,
            before,
            metadata,
            accepted=body.accept_new_subjects,
            actor=caller_in(request).actor,
            request_id=request_id_of(request),
        )
        await replace_client(
            session,
            row,
            metadata,
            catalogue=HERE,
            authority=caller_in(request).authority,
            actor=caller_in(request).actor,
            request_id=request_id_of(request),
        )
        await session.flush()
        application = await lock_application(session, client_id)
        if application is not None:
            await follow_client(session, application, before, metadata, own_uri=own_redirect_uri(provider.settings))
        shown = _shown(row)
    await provider.refresh()
    return shown_response(shown)


@router.post(
    "/clients/{client_id}/secrets",
    status_code=201,
    summary="Create a client secret",
    response_model=schemas.ClientSecret,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def make_secret(
    request: Request, client_id: str, body: schemas.ClientSecretCreate, key: IdempotencyKeyHeader = None
) -> Response:
    provider = site_of(request).provider

    async def check(session: AsyncSession) -> None:
        await _present(session, client_id)
        await check_hold(session, client_id, caller_in(request).authority)

    async def make(session: AsyncSession) -> Made:
        secret = await new_secret(
            session,
            provider.box,
            client_id,
            overlap_seconds=body.overlap_seconds,
            authority=caller_in(request).authority,
            actor=caller_in(request).actor,
        )
        return Made(schemas.ClientSecret(client_id=client_id, client_secret=secret), f"{PREFIX}/clients/{client_id}")

    made = await once(request, key, check, make)
    await provider.refresh()
    return made


@router.post(
    "/clients/{client_id}/suspend",
    summary="Suspend a client",
    response_model=schemas.Client,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def suspend(request: Request, client_id: str, body: schemas.ClientSuspendRequest) -> Response:
    """The client can do nothing any more: its grants are revoked and its client sessions end, with a logout notice.
    Catalogue files do not resume it."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        await _present(session, client_id)
        await suspend_client(
            session,
            site.provider,
            client_id,
            actor=actor_of(request),
            end_sessions=body.end_sessions,
        )
        shown = _shown(await _present(session, client_id))
    await site.provider.refresh()
    site.worker.nudge()
    return shown_response(shown)


@router.post(
    "/clients/{client_id}/resume",
    summary="Resume a client",
    response_model=schemas.Client,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def resume(request: Request, client_id: str) -> Response:
    """Grants that the suspension revoked stay revoked."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        await _present(session, client_id)
        await resume_client(session, client_id, authority=caller_in(request).authority, actor=actor_of(request))
        shown = _shown(await _present(session, client_id))
    await provider.refresh()
    return shown_response(shown)


@router.delete(
    "/clients/{client_id}",
    status_code=204,
    summary="Remove a client",
    responses=problems(404, 412),
    **needs("clients:delete"),
)
async def delete(request: Request, client_id: str, if_match: IfMatch = None) -> Response:
    """Like suspending; the consents of users are deleted too. A catalogue can use the client_id again at once, this API
    after SSO_DELIVERY_RETENTION."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        check_etag(if_match, _shown(await _present(session, client_id)), required=False)
        await remove_client(
            session,
            site.provider,
            client_id,
            actor=actor_of(request),
        )
    await site.provider.refresh()
    site.worker.nudge()
    return Response(status_code=204)


@router.get(
    "/clients/{client_id}/privileges",
    summary="List the privileges of a client",
    responses=problems(404),
    **needs("clients:read"),
)
async def list_privileges(request: Request, client_id: str) -> list[schemas.Privilege]:
    """Administration scopes and restricted data that were granted: active and revoked ones."""
    async with site_of(request).provider.db.read() as session:
        row = await store.get_client(session, client_id)
        if row is None or row.status == REMOVED:
            raise not_found("application")
        found = await store.privileges_of(session, client_id)
    return [schemas.Privilege.model_validate(shown(one)) for one in found]


@router.post(
    "/clients/{client_id}/privileges",
    status_code=201,
    summary="Grant a privilege to a client",
    response_model=schemas.Privilege,
    responses=problems(404, 409),
    **needs("clients:grant"),
)
async def add_privilege(
    request: Request, client_id: str, body: schemas.PrivilegeCreate, key: IdempotencyKeyHeader = None
) -> Response:
    """Only production clients of the city can have privileges, and must register the scope too. Only a user can grant
    privileges, and only those that the user has."""
    provider = site_of(request).provider

    async def check(session: AsyncSession) -> None:
        await _present(session, client_id)
        caller_in(request).authority.check_grant([body.privilege])

    async def make(session: AsyncSession) -> Made:
        made = await grant_privilege(
            session,
            client_id,
            body.privilege,
            reason=body.reason,
            without_person=body.without_person,
            authority=caller_in(request).authority,
            actor=caller_in(request).actor,
            request_id=request_id_of(request),
        )
        return Made(schemas.Privilege.model_validate(shown(made)), f"{PREFIX}/clients/{client_id}/privileges")

    answer = await once(request, key, check, make)
    await provider.refresh()
    return answer


@router.post(
    "/clients/{client_id}/privileges/{privilege}/revoke",
    summary="Revoke a privilege of a client",
    response_model=schemas.Privilege,
    responses=problems(404, 409),
    **needs("clients:grant"),
)
async def end_privilege(
    request: Request, client_id: str, privilege: str, body: schemas.PrivilegeRevokeRequest
) -> Response:
    """Access tokens with the privilege are revoked at once; refresh tokens keep their other scopes. Catalogues do not
    grant it again."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        await _present(session, client_id)
        ended = await revoke_privilege(
            session,
            client_id,
            privilege,
            reason=body.reason,
            authority=caller_in(request).authority,
            actor=caller_in(request).actor,
            request_id=request_id_of(request),
        )
        answer = schemas.Privilege.model_validate(shown(ended))
    await provider.refresh()
    return shown_response(answer)


async def _present(session: AsyncSession, client_id: str) -> ClientRow:
    """Return an application, locked until the transaction ends: first what a team looks after, then its row."""
    await lock_application(session, client_id.removesuffix(SANDBOX_END))
    row = await store.lock_client(session, client_id)
    if row is None or row.status == REMOVED:
        raise not_found("application")
    return row


async def _metadata(
    settings: Settings, outbound: Outbound, document: dict[str, JsonValue], *, own_secret: bool = False
) -> ClientMetadata:
    context = {"allow_http_loopback": settings.loopback, "own_secret": own_secret}
    try:
        made = ClientMetadata.model_validate(document, context=context)
        await check_sector(outbound, made)
        return made
    except ValidationError as error:
        found = mistakes_of(document, error, context)
        mistakes = [ProblemError(pointer=_pointer(one.place), detail=one.text) for one in found]
    except RegistrationRefused as error:
        field, _, text = str(error).partition(": ")
        mistakes = [ProblemError(pointer=f"/metadata/{field}", detail=text)]
    first = mistakes[0]
    raise Problem(422, "invalid_client_metadata", f"{first.pointer}: {first.detail}", mistakes)


def _pointer(place: tuple[str | int, ...]) -> str:
    """Return where a mistake is. Of an address that is refused the field: the text names the address."""
    if place and place[0] in ("redirect_uris", "post_logout_redirect_uris"):
        place = place[:1]
    return "/".join(["/metadata", *map(str, place)])


def _shown(row: ClientRow) -> schemas.Client:
    metadata = stored_metadata(row.metadata_)
    return schemas.Client(
        client_id=row.client_id,
        status="active" if row.status in ("active", SANDBOX) else "suspended",
        catalogue=row.catalogue,
        name=metadata.client_name,
        group=metadata.group,
        relaxed=relaxations(metadata),
        warnings=scope_warnings(metadata.scope),
        metadata=metadata.model_dump(mode="json", by_alias=True, exclude_none=True),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
