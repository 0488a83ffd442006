"""Registered applications: those that this API looks after are changed here; those of a catalogue, in its file."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import JsonValue, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso.clients import store
from sso.clients.dynamic_registration import RegistrationRefused, check_sector
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE, REMOVED, SANDBOX, SANDBOX_END, ClientRow
from sso.clients.privileges import check_hold, grant_privilege, privilege_view, revoke_privilege
from sso.clients.profiles import relaxations
from sso.clients.registry import stored_metadata
from sso.clients.secrets import create_client, new_secret, replace_client
from sso.clients.sectors import check_kept_sector
from sso.clients.validation_errors import mistakes_of, scope_warnings
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.paging import CursorText, Limit, cut, read_cursor
from sso.http.api.preconditions import IfMatch, check_etag, representation_response
from sso.http.api.problems import Problem, ProblemError, not_found, problems
from sso.http.api.schemas import clients as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Box, Clients, CurrentSettings, Db, OutboundHttp, Outbox
from sso.oidc.subjects import check_subjects
from sso.platform.security.outbound_http import Outbound
from sso.portal.applications import follow_client, lock_application
from sso.portal.lifecycle import remove_client, resume_client, suspend_client
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings

router = new_router(prefix=PREFIX, tags=["clients"])


@router.get("/clients", summary="List clients", responses=problems(), **needs("clients:read"))
async def list_clients(
    db: Db,
    catalogue: Annotated[str | None, Query(max_length=100)] = None,
    status: Annotated[Literal["active", "suspended"] | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.ClientPage:
    async with db.read() as session:
        after = read_cursor(cursor) or ""
        clients = await store.page_of_clients(session, catalogue=catalogue, status=status, after=after, limit=limit + 1)
    rows, following = cut(clients, limit, lambda client: client.client_id)
    return schemas.ClientPage(items=[_representation(client) for client in rows], next_cursor=following)


@router.post(
    "/clients",
    status_code=201,
    summary="Register a client",
    response_model=schemas.ClientWithSecret,
    responses=problems(409),
    **needs("clients:write"),
)
async def create(
    body: schemas.ClientCreate,
    creation: Creation,
    access: Access,
    settings: CurrentSettings,
    box: Box,
    known: Clients,
    outbound: OutboundHttp,
) -> Response:
    metadata = await _metadata(settings, outbound, body.metadata)

    async def check(session: AsyncSession) -> None:
        await check_hold(session, body.client_id, access.authority)

    async def make(session: AsyncSession) -> Created:
        check_kept_sector(None, metadata)
        actor, authority = access.actor_with_address, access.authority
        secret = await create_client(
            session, box, body.client_id, metadata, catalogue=HERE, authority=authority, actor=actor
        )
        row = await store.lock_client(session, body.client_id)
        assert row is not None
        representation = schemas.ClientWithSecret(client=_representation(row), client_secret=secret)
        return Created(representation, f"{PREFIX}/clients/{body.client_id}")

    response = await creation.once(check, make)
    await known.refresh()
    return response


@router.get(
    "/clients/{client_id}",
    summary="Show a client",
    response_model=schemas.Client,
    responses=problems(404),
    **needs("clients:read"),
)
async def get_client(client_id: str, db: Db) -> Response:
    async with db.read() as session:
        client = await store.get_client(session, client_id)
    if client is None or client.status == REMOVED:
        raise not_found("application")
    return representation_response(_representation(client))


@router.put(
    "/clients/{client_id}",
    summary="Change a client",
    response_model=schemas.Client,
    responses=problems(404, 409, 412, 428),
    **needs("clients:write"),
)
async def put_client(
    client_id: str,
    body: schemas.ClientUpdate,
    access: Access,
    db: Db,
    settings: CurrentSettings,
    known: Clients,
    outbound: OutboundHttp,
    if_match: IfMatch = None,
) -> Response:
    """Replace the registered metadata. Clients of a catalogue file are changed in that file."""
    async with db.read() as session:
        client = await store.get_client(session, client_id)
    if client is None or client.status == REMOVED:
        raise not_found("application")
    check_etag(if_match, _representation(client))
    own_secret = stored_metadata(client.metadata_).has_shared_secret
    # May fetch a document: before the transaction.
    metadata = await _metadata(settings, outbound, body.metadata, own_secret=own_secret)
    async with db.write() as session:
        row = await _present(session, client_id)
        check_etag(if_match, _representation(row))
        before = stored_metadata(row.metadata_)
        actor, accepted = access.actor_with_address, body.accept_new_subjects
        await check_subjects(session, client_id, before, metadata, accepted=accepted, actor=actor)
        await replace_client(session, row, metadata, catalogue=HERE, authority=access.authority, actor=actor)
        await session.flush()
        application = await lock_application(session, client_id)
        if application is not None:
            await follow_client(session, application, before, metadata, own_uri=own_redirect_uri(settings))
        representation = _representation(row)
    await known.refresh()
    return representation_response(representation)


@router.post(
    "/clients/{client_id}/secrets",
    status_code=201,
    summary="Create a client secret",
    response_model=schemas.ClientSecret,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def make_secret(
    client_id: str,
    body: schemas.ClientSecretCreate,
    creation: Creation,
    access: Access,
    box: Box,
    known: Clients,
) -> Response:
    async def check(session: AsyncSession) -> None:
        await _present(session, client_id)
        await check_hold(session, client_id, access.authority)

    async def make(session: AsyncSession) -> Created:
        secret = await new_secret(
            session,
            box,
            client_id,
            overlap_seconds=body.overlap_seconds,
            authority=access.authority,
            actor=access.actor_with_address,
        )
        return Created(schemas.ClientSecret(client_id=client_id, client_secret=secret), f"{PREFIX}/clients/{client_id}")

    response = await creation.once(check, make)
    await known.refresh()
    return response


@router.post(
    "/clients/{client_id}/suspend",
    summary="Suspend a client",
    response_model=schemas.Client,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def suspend(
    client_id: str,
    body: schemas.ClientSuspendRequest,
    access: Access,
    db: Db,
    known: Clients,
    accounts: AccountActor,
    outbox: Outbox,
) -> Response:
    """The client can do nothing any more: its grants are revoked and its client sessions end, with a logout notice.
    Catalogue files do not resume it."""
    async with db.write() as session:
        await _present(session, client_id)
        await suspend_client(
            session,
            accounts,
            client_id,
            actor=access.actor,
            end_sessions=body.end_sessions,
        )
        representation = _representation(await _present(session, client_id))
    await known.refresh()
    outbox.nudge()
    return representation_response(representation)


@router.post(
    "/clients/{client_id}/resume",
    summary="Resume a client",
    response_model=schemas.Client,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def resume(client_id: str, access: Access, db: Db, known: Clients) -> Response:
    """Grants that the suspension revoked stay revoked."""
    async with db.write() as session:
        await _present(session, client_id)
        await resume_client(session, client_id, authority=access.authority, actor=access.actor)
        representation = _representation(await _present(session, client_id))
    await known.refresh()
    return representation_response(representation)


@router.delete(
    "/clients/{client_id}",
    status_code=204,
    summary="Remove a client",
    responses=problems(404, 409, 412),
    **needs("clients:delete"),
)
async def delete(
    client_id: str,
    access: Access,
    db: Db,
    known: Clients,
    accounts: AccountActor,
    outbox: Outbox,
    if_match: IfMatch = None,
) -> Response:
    """Like suspending; the consents of users are deleted too. Clients of a catalogue file are removed from that file:
    here the answer is 409. A catalogue can use the client_id again at once, this API
    after SSO_DELIVERY_RETENTION."""
    async with db.write() as session:
        check_etag(if_match, _representation(await _present(session, client_id)), required=False)
        await remove_client(
            session,
            accounts,
            client_id,
            actor=access.actor,
        )
    await known.refresh()
    outbox.nudge()
    return Response(status_code=204)


@router.get(
    "/clients/{client_id}/privileges",
    summary="List the privileges of a client",
    responses=problems(404),
    **needs("clients:read"),
)
async def list_privileges(client_id: str, db: Db) -> list[schemas.Privilege]:
    """Administration scopes and restricted data that were granted: active and revoked ones."""
    async with db.read() as session:
        row = await store.get_client(session, client_id)
        if row is None or row.status == REMOVED:
            raise not_found("application")
        privileges = await store.privileges_of(session, client_id)
    return [schemas.Privilege.model_validate(privilege_view(privilege)) for privilege in privileges]


@router.post(
    "/clients/{client_id}/privileges",
    status_code=201,
    summary="Grant a privilege to a client",
    response_model=schemas.Privilege,
    responses=problems(404, 409),
    **needs("clients:grant"),
)
async def add_privilege(
    client_id: str,
    body: schemas.PrivilegeCreate,
    creation: Creation,
    access: Access,
    known: Clients,
) -> Response:
    """Only production clients of the city can have privileges, and must register the scope too. Only a user can grant
    privileges, and only those that the user has."""

    async def check(session: AsyncSession) -> None:
        await _present(session, client_id)
        access.authority.check_grant([body.privilege])

    async def make(session: AsyncSession) -> Created:
        granted = await grant_privilege(
            session,
            client_id,
            body.privilege,
            reason=body.reason,
            without_person=body.without_person,
            authority=access.authority,
            actor=access.actor_with_address,
        )
        privilege = schemas.Privilege.model_validate(privilege_view(granted))
        return Created(privilege, f"{PREFIX}/clients/{client_id}/privileges")

    answer = await creation.once(check, make)
    await known.refresh()
    return answer


@router.post(
    "/clients/{client_id}/privileges/{privilege}/revoke",
    summary="Revoke a privilege of a client",
    response_model=schemas.Privilege,
    responses=problems(404, 409),
    **needs("clients:grant"),
)
async def end_privilege(
    client_id: str,
    privilege: str,
    body: schemas.PrivilegeRevokeRequest,
    access: Access,
    db: Db,
    known: Clients,
) -> Response:
    """Access tokens with the privilege are revoked at once; refresh tokens keep their other scopes. Catalogues do not
    grant it again."""
    async with db.write() as session:
        await _present(session, client_id)
        actor = access.actor_with_address
        ended = await revoke_privilege(
            session, client_id, privilege, reason=body.reason, authority=access.authority, actor=actor
        )
        answer = schemas.Privilege.model_validate(privilege_view(ended))
    await known.refresh()
    return representation_response(answer)


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
        metadata = ClientMetadata.model_validate(document, context=context)
        await check_sector(outbound, metadata)
        return metadata
    except ValidationError as error:
        found_mistakes = mistakes_of(document, error, context)
        mistakes = [ProblemError(pointer=_pointer(mistake.place), detail=mistake.text) for mistake in found_mistakes]
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


def _representation(row: ClientRow) -> schemas.Client:
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
