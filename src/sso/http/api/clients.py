"""Registered applications: those that this API looks after are changed here; those of a catalogue, in its file."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.clients import store
from sso.clients.dynamic_registration import RegistrationRefused, check_sector
from sso.clients.metadata import ClientMetadata
from sso.clients.mistakes import mistakes_of, scope_warnings
from sso.clients.models import HERE, REMOVED, SANDBOX, SANDBOX_END, ClientRow
from sso.clients.privileges import check_hold, grant_privilege, revoke_privilege, shown
from sso.clients.profiles import relaxations
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError, create_client, new_secret, replace_client
from sso.clients.sectors import check_kept_sector
from sso.http.api.common import (
    PREFIX,
    CursorText,
    IdempotencyKeyHeader,
    IfMatch,
    Limit,
    Made,
    Mistake,
    Page,
    Problem,
    by,
    caller_in,
    check_etag,
    cut,
    needs,
    not_found,
    once,
    problems,
    read_cursor,
    refused,
    request_id_of,
    shown_response,
    site_of,
)
from sso.oidc.provider import Provider
from sso.oidc.subjects import check_subjects
from sso.portal.applications import follow_client, lock_application
from sso.portal.lifecycle import own_redirect_uri, remove_client, resume_client, suspend_client

router = APIRouter(prefix=PREFIX, tags=["clients"])

ClientId = Annotated[str, Field(min_length=2, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]*$")]
_EXAMPLE: dict[str, Any] = {
    "client_id": "e-antrean",
    "metadata": {
        "type": "web",
        "client_name": "e-Antrean",
        "group": "E-Kesehatan",
        "first_party": True,
        "redirect_uris": ["https://antrean.tangerangkota.example/callback"],
        "backchannel_logout_uri": "https://antrean.tangerangkota.example/logout",
    },
}


class ClientShown(BaseModel):
    """A registered application."""

    client_id: str
    status: Literal["active", "suspended"]
    catalogue: str = Field(description="Who looks after its configuration: `api`, or the name of a catalogue file.")
    name: str
    group: str | None
    relaxed: list[str] = Field(description="The strict rules that it is freed from.")
    warnings: list[str] = Field(
        description="What can be registered and is probably not meant, such as a misspelt scope."
    )
    metadata: dict[str, Any] = Field(description="As registered; see docs/clients.md.")
    created_at: datetime
    updated_at: datetime


class ClientWanted(BaseModel):
    """An application to be registered."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    client_id: ClientId
    metadata: dict[str, Any] = Field(description="See docs/clients.md.")


class ClientChange(BaseModel):
    """What is to be registered in place of what is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"metadata": _EXAMPLE["metadata"]}]})

    metadata: dict[str, Any] = Field(description="See docs/clients.md.")
    accept_new_subjects: Annotated[str, Field(max_length=100)] = Field(
        "", description="The client_id: it is accepted that every `sub` of its users changes."
    )


class NewClient(BaseModel):
    """An application that was registered, with its secret, which is not shown again."""

    client: ClientShown
    client_secret: str | None


class SecretWanted(BaseModel):
    """A new secret."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 86400}]})

    overlap_seconds: Annotated[int, Field(ge=0, le=90 * 86400)] = Field(
        0, description="How long earlier secrets stay valid, so that nothing stops."
    )


class NewSecret(BaseModel):
    """A secret, which is not shown again."""

    client_id: str
    client_secret: str


class SuspendWanted(BaseModel):
    """How an application is suspended."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"end_sessions": False}]})

    end_sessions: bool = Field(
        False,
        description="End every session in which it takes part, for every application; otherwise only its own part.",
    )


class PrivilegeShown(BaseModel):
    """That an application was granted an administration scope, or restricted data."""

    privilege: str = Field(description="The scope: of a permission, such as `sso:users:read`, or `nik`.")
    without_person: bool = Field(description="Whether it holds in tokens without a person where it gives power.")
    granted_by: str
    granted_at: datetime
    reason: str
    revoked_at: datetime | None = Field(description="null: it holds.")
    revoked_by: str | None
    revoked_reason: str | None


class PrivilegeWanted(BaseModel):
    """A privilege to be granted."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"privilege": "sso:users:read", "reason": "The helpdesk looks people up."}]},
    )

    privilege: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z_:]+$")]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]
    without_person: bool = Field(
        False, description="Also in tokens without a person, such as of `client_credentials`, where it gives power."
    )


class PrivilegeRevoked(BaseModel):
    """Why a privilege is revoked."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "The project is over."}]})

    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]


@router.get("/clients", summary="List applications", responses=problems(), **needs("clients:read"))
async def list_clients(
    request: Request,
    catalogue: Annotated[str | None, Query(max_length=100)] = None,
    status: Annotated[Literal["active", "suspended"] | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[ClientShown]:
    async with site_of(request).provider.db.read() as session:
        after = read_cursor(cursor) or ""
        found = await store.page_of_clients(session, catalogue=catalogue, status=status, after=after, limit=limit + 1)
    rows, following = cut(found, limit, lambda one: one.client_id)
    return Page(items=[_shown(one) for one in rows], next_cursor=following)


@router.post(
    "/clients",
    status_code=201,
    summary="Register an application",
    response_model=NewClient,
    responses=problems(409),
    **needs("clients:write"),
)
async def create(request: Request, wanted: ClientWanted, key: IdempotencyKeyHeader = None) -> Response:
    provider = site_of(request).provider
    metadata = await _metadata(provider, wanted.metadata)

    async def check(session: AsyncSession) -> None:
        await check_hold(session, wanted.client_id, caller_in(request).authority)

    async def make(session: AsyncSession) -> Made:
        try:
            check_kept_sector(None, metadata)
            secret = await create_client(
                session,
                provider.box,
                wanted.client_id,
                metadata,
                catalogue=HERE,
                authority=caller_in(request).authority,
                **by(request),
            )
        except ClientError as error:
            raise refused(error) from None
        row = await store.lock_client(session, wanted.client_id)
        assert row is not None
        return Made(NewClient(client=_shown(row), client_secret=secret), f"{PREFIX}/clients/{wanted.client_id}")

    made = await once(request, key, check, make)
    await provider.refresh()
    return made


@router.get(
    "/clients/{client_id}",
    summary="Show an application",
    response_model=ClientShown,
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
    summary="Change an application",
    response_model=ClientShown,
    responses=problems(404, 409, 412, 428),
    **needs("clients:write"),
)
async def put_client(request: Request, client_id: str, wanted: ClientChange, if_match: IfMatch = None) -> Response:
    """Register this in place of what is registered. What a catalogue file looks after is changed there."""
    provider = site_of(request).provider
    async with provider.db.read() as session:
        found = await store.get_client(session, client_id)
    if found is None or found.status == REMOVED:
        raise not_found("application")
    check_etag(if_match, _shown(found))
    own_secret = stored_metadata(found.metadata_).has_shared_secret
    # May fetch a document: before the transaction.
    metadata = await _metadata(provider, wanted.metadata, own_secret=own_secret)
    async with provider.db.write() as session:
        row = await _present(session, client_id)
        check_etag(if_match, _shown(row))
        before = stored_metadata(row.metadata_)
        try:
            await check_subjects(
                session, client_id, before, metadata, accepted=wanted.accept_new_subjects, **by(request)
            )
            await replace_client(
                session,
                row,
                metadata,
                catalogue=HERE,
                authority=caller_in(request).authority,
                **by(request),
            )
        except ClientError as error:
            raise refused(error) from None
        await session.flush()
        application = await lock_application(session, client_id)
        if application is not None:
            try:
                await follow_client(session, application, before, metadata, own_uri=own_redirect_uri(provider))
            except ClientError as error:
                raise refused(error) from None
        shown = _shown(row)
    await provider.refresh()
    return shown_response(shown)


@router.post(
    "/clients/{client_id}/secrets",
    status_code=201,
    summary="Make a new secret",
    response_model=NewSecret,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def make_secret(
    request: Request, client_id: str, wanted: SecretWanted, key: IdempotencyKeyHeader = None
) -> Response:
    provider = site_of(request).provider

    async def check(session: AsyncSession) -> None:
        await _present(session, client_id)
        await check_hold(session, client_id, caller_in(request).authority)

    async def make(session: AsyncSession) -> Made:
        try:
            secret = await new_secret(
                session,
                provider.box,
                client_id,
                overlap_seconds=wanted.overlap_seconds,
                authority=caller_in(request).authority,
                actor=caller_in(request).actor,
            )
        except ClientError as error:
            raise refused(error) from None
        return Made(NewSecret(client_id=client_id, client_secret=secret), f"{PREFIX}/clients/{client_id}")

    made = await once(request, key, check, make)
    await provider.refresh()
    return made


@router.post(
    "/clients/{client_id}/suspend",
    summary="Suspend an application",
    response_model=ClientShown,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def suspend(request: Request, client_id: str, wanted: SuspendWanted) -> Response:
    """It can do nothing any more; what was granted to it is over; its part in every session ends, and it is told so.
    Catalogue files do not bring it back."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        await _present(session, client_id)
        try:
            await suspend_client(
                session,
                site.provider,
                client_id,
                actor=caller_in(request).actor,
                end_sessions=wanted.end_sessions,
                request_id=request_id_of(request),
            )
        except ClientError as error:
            raise refused(error) from None
        shown = _shown(await _present(session, client_id))
    await site.provider.refresh()
    site.worker.nudge()
    return shown_response(shown)


@router.post(
    "/clients/{client_id}/resume",
    summary="Let an application work again",
    response_model=ClientShown,
    responses=problems(404, 409),
    **needs("clients:write"),
)
async def resume(request: Request, client_id: str) -> Response:
    """What was granted to it before stays over."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        await _present(session, client_id)
        try:
            await resume_client(session, client_id, authority=caller_in(request).authority, **by(request))
        except ClientError as error:
            raise refused(error) from None
        shown = _shown(await _present(session, client_id))
    await provider.refresh()
    return shown_response(shown)


@router.delete(
    "/clients/{client_id}",
    status_code=204,
    summary="Remove an application",
    responses=problems(404, 412),
    **needs("clients:delete"),
)
async def delete(request: Request, client_id: str, if_match: IfMatch = None) -> Response:
    """As if suspended; what people allowed it is forgotten. Its name is free for a catalogue again at once, here after
    SSO_DELIVERY_RETENTION."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        check_etag(if_match, _shown(await _present(session, client_id)), required=False)
        await remove_client(
            session, site.provider, client_id, actor=caller_in(request).actor, request_id=request_id_of(request)
        )
    await site.provider.refresh()
    site.worker.nudge()
    return Response(status_code=204)


@router.get(
    "/clients/{client_id}/privileges",
    summary="List the privileges of an application",
    responses=problems(404),
    **needs("clients:read"),
)
async def list_privileges(request: Request, client_id: str) -> list[PrivilegeShown]:
    """Administration scopes and restricted data that it was granted: those that hold, and those that were revoked."""
    async with site_of(request).provider.db.read() as session:
        row = await store.get_client(session, client_id)
        if row is None or row.status == REMOVED:
            raise not_found("application")
        found = await store.privileges_of(session, client_id)
    return [PrivilegeShown.model_validate(shown(one)) for one in found]


@router.post(
    "/clients/{client_id}/privileges",
    status_code=201,
    summary="Grant a privilege to an application",
    response_model=PrivilegeShown,
    responses=problems(404, 409),
    **needs("clients:grant"),
)
async def add_privilege(
    request: Request, client_id: str, wanted: PrivilegeWanted, key: IdempotencyKeyHeader = None
) -> Response:
    """To a production application of the city. It has the privilege where its scope is registered too. Only a person
    does this, and gives only what they have themselves."""
    provider = site_of(request).provider

    async def check(session: AsyncSession) -> None:
        await _present(session, client_id)
        caller_in(request).authority.check_grant([wanted.privilege])

    async def make(session: AsyncSession) -> Made:
        made = await grant_privilege(
            session,
            client_id,
            wanted.privilege,
            reason=wanted.reason,
            without_person=wanted.without_person,
            authority=caller_in(request).authority,
            **by(request),
        )
        return Made(PrivilegeShown.model_validate(shown(made)), f"{PREFIX}/clients/{client_id}/privileges")

    answer = await once(request, key, check, make)
    await provider.refresh()
    return answer


@router.post(
    "/clients/{client_id}/privileges/{privilege}/revoke",
    summary="Revoke a privilege of an application",
    response_model=PrivilegeShown,
    responses=problems(404, 409),
    **needs("clients:grant"),
)
async def end_privilege(request: Request, client_id: str, privilege: str, wanted: PrivilegeRevoked) -> Response:
    """Access tokens with it are worth nothing any more at once; refresh tokens keep what is left. No catalogue grants
    it again."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        await _present(session, client_id)
        ended = await revoke_privilege(
            session,
            client_id,
            privilege,
            reason=wanted.reason,
            authority=caller_in(request).authority,
            **by(request),
        )
        answer = PrivilegeShown.model_validate(shown(ended))
    await provider.refresh()
    return shown_response(answer)


async def _present(session: AsyncSession, client_id: str) -> ClientRow:
    """Return an application, locked until the transaction ends: first what a team looks after, then its row."""
    await lock_application(session, client_id.removesuffix(SANDBOX_END))
    row = await store.lock_client(session, client_id)
    if row is None or row.status == REMOVED:
        raise not_found("application")
    return row


async def _metadata(provider: Provider, document: dict[str, Any], *, own_secret: bool = False) -> ClientMetadata:
    context = {"allow_http_loopback": provider.settings.loopback, "own_secret": own_secret}
    try:
        made = ClientMetadata.model_validate(document, context=context)
        await check_sector(provider.outbound, made)
        return made
    except ValidationError as error:
        found = mistakes_of(document, error, context)
        mistakes = [Mistake(pointer=_pointer(one.place), detail=one.text) for one in found]
    except RegistrationRefused as error:
        field, _, text = str(error).partition(": ")
        mistakes = [Mistake(pointer=f"/metadata/{field}", detail=text)]
    title, first = "The application cannot be registered like this", mistakes[0]
    raise Problem(422, "invalid_client_metadata", title, f"{first.pointer}: {first.detail}", mistakes)


def _pointer(place: tuple[str | int, ...]) -> str:
    """Return where a mistake is. Of an address that is refused the field: the text names the address."""
    if place and place[0] in ("redirect_uris", "post_logout_redirect_uris"):
        place = place[:1]
    return "/".join(["/metadata", *map(str, place)])


def _shown(row: ClientRow) -> ClientShown:
    metadata = stored_metadata(row.metadata_)
    return ClientShown(
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
