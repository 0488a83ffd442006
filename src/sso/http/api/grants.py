"""What was granted: authorizations that hold, each with everything that grew from it."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.accounts.power import check_power_over
from sso.http.api.access import PREFIX, caller_in, needs, rights_of
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import grants as schemas
from sso.http.common.state import kept_address_of, request_id_of, site_of
from sso.oidc.store import store
from sso.oidc.store.models import Grant
from sso.oidc.store.store import GrantFilter
from sso.platform.audit import record

router = APIRouter(prefix=PREFIX, tags=["grants"])


@router.get("/grants", summary="List grants", responses=problems(), **needs("grants:read"))
async def list_grants(
    request: Request,
    user_id: Annotated[uuid.UUID | None, Query()] = None,
    client_id: Annotated[str | None, Query(max_length=100)] = None,
    session_id: Annotated[uuid.UUID | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.GrantPage:
    provider, now = site_of(request).provider, clock.now()
    wanted, before = GrantFilter(user_id, client_id, session_id), read_id_cursor(cursor)
    async with provider.db.read() as session:
        found = await store.page_of_grants(session, wanted, before, now, now - provider.idle, limit + 1)
    rows, following = cut(found, limit, lambda one: one.id)
    return schemas.GrantPage(items=[_shown(one) for one in rows], next_cursor=following)


@router.get("/grants/{grant_id}", summary="Show a grant", responses=problems(404), **needs("grants:read"))
async def get_grant(request: Request, grant_id: uuid.UUID) -> schemas.Grant:
    provider, now = site_of(request).provider, clock.now()
    async with provider.db.read() as session:
        found = await store.get_grant(session, grant_id, now, now - provider.idle)
    if found is None:
        raise not_found("grant that holds")
    return _shown(found)


@router.delete(
    "/grants/{grant_id}", status_code=204, summary="Revoke a grant", responses=problems(404), **needs("grants:revoke")
)
async def revoke(request: Request, grant_id: uuid.UUID) -> Response:
    """Revoke the grant with all its refresh tokens and access tokens. The session stays."""
    provider, now = site_of(request).provider, clock.now()
    async with provider.db.write() as session:
        found = await store.get_grant(session, grant_id, now, now - provider.idle)
        if found is not None:
            await check_power_over(session, provider.registry, [found.user_id], rights_of(request), opens=False)
        if found is None or not await session.run_sync(lambda sync: store.revoke_grant(sync, grant_id, now)):
            raise not_found("grant that holds")
        record(
            session,
            "grant.revoked",
            actor=caller_in(request).actor,
            subject=str(found.user_id),
            client_id=found.client_id,
            address=kept_address_of(request),
            request_id=request_id_of(request),
            data={"grant": str(grant_id)},
        )
    return Response(status_code=204)


def _shown(found: Grant) -> schemas.Grant:
    return schemas.Grant(
        id=found.id,
        client_id=found.client_id,
        user_id=found.user_id,
        session_id=found.session_id,
        scope=found.scope,
        offline=found.offline,
        signed_in_at=found.auth_time,
        acr=found.acr,
        created_at=found.created_at,
        expires_at=found.expires_at,
    )
