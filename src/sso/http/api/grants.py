"""What was granted: authorizations that hold, each with everything that grew from it."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from sso import clock
from sso.accounts.power import check_power_over
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import grants as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import Clients, CurrentSettings, Db
from sso.oidc.store import store
from sso.oidc.store.models import Grant
from sso.oidc.store.store import GrantFilter
from sso.platform.audit import record

router = new_router(prefix=PREFIX, tags=["grants"])


@router.get("/grants", summary="List grants", responses=problems(), **needs("grants:read"))
async def list_grants(
    db: Db,
    settings: CurrentSettings,
    user_id: Annotated[uuid.UUID | None, Query()] = None,
    client_id: Annotated[str | None, Query(max_length=100)] = None,
    session_id: Annotated[uuid.UUID | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.GrantPage:
    now = clock.now()
    chosen, before = GrantFilter(user_id, client_id, session_id), read_id_cursor(cursor)
    async with db.read() as session:
        grants = await store.page_of_grants(
            session, chosen, before, now, now - settings.session_idle_timeout, limit + 1
        )
    rows, following = cut(grants, limit, lambda grant: grant.id)
    return schemas.GrantPage(items=[_representation(grant) for grant in rows], next_cursor=following)


@router.get("/grants/{grant_id}", summary="Show a grant", responses=problems(404), **needs("grants:read"))
async def get_grant(grant_id: uuid.UUID, db: Db, settings: CurrentSettings) -> schemas.Grant:
    now = clock.now()
    async with db.read() as session:
        grant = await store.get_grant(session, grant_id, now, now - settings.session_idle_timeout)
    if grant is None:
        raise not_found("grant that holds")
    return _representation(grant)


@router.delete(
    "/grants/{grant_id}", status_code=204, summary="Revoke a grant", responses=problems(404), **needs("grants:revoke")
)
async def revoke(
    grant_id: uuid.UUID,
    access: Access,
    db: Db,
    settings: CurrentSettings,
    known: Clients,
) -> Response:
    """Revoke the grant with all its refresh tokens and access tokens. The session stays."""
    now = clock.now()
    async with db.write() as session:
        grant = await store.get_grant(session, grant_id, now, now - settings.session_idle_timeout)
        if grant is not None:
            await check_power_over(session, known.registry, [grant.user_id], access.rights, opens=False)
        if grant is None or not await session.run_sync(lambda sync: store.revoke_grant(sync, grant_id, now)):
            raise not_found("grant that holds")
        record(
            session,
            "grant.revoked",
            subject=str(grant.user_id),
            client_id=grant.client_id,
            address=access.stored_ip_address,
            **access.audited,
            data={"grant": str(grant_id)},
        )
    return Response(status_code=204)


def _representation(grant: Grant) -> schemas.Grant:
    return schemas.Grant(
        id=grant.id,
        client_id=grant.client_id,
        user_id=grant.user_id,
        session_id=grant.session_id,
        scope=grant.scope,
        offline=grant.offline,
        signed_in_at=grant.auth_time,
        acr=grant.acr,
        created_at=grant.created_at,
        expires_at=grant.expires_at,
    )
