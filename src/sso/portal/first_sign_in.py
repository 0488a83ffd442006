"""The first sign-in with a sandbox, so that a developer sees that the application works; and with production."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import Application
from sso.oidc.store.models import Grant
from sso.platform.audit import record
from sso.platform.metrics.models import UsageCount
from sso.portal.applications import sandbox_id
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings

_EXCHANGED = (
    select(Grant.code_used_at)
    .where(Grant.client_id == bindparam("client_id"), Grant.code_used_at.is_not(None))
    .where(Grant.redirect_uri.is_distinct_from(bindparam("own_redirect_uri")))
    .order_by(Grant.id)
    .limit(1)
)
_COUNTED = (
    select(UsageCount.hour)
    .where(UsageCount.client_id == bindparam("client_id"))
    .where(UsageCount.name == "token", UsageCount.label == "client_credentials")
    .order_by(UsageCount.hour)
    .limit(1)
)


async def first_sign_in(session: AsyncSession, settings: Settings, application_id: str) -> datetime | None:
    """Return when the sandbox of an application first received tokens; None: never.

    Sign-ins from the portal's own test page do not count. For a service without users, the usage counts tell the hour.
    """
    client_id = sandbox_id(application_id)
    values = {"client_id": client_id, "own_redirect_uri": own_redirect_uri(settings)}
    at = (await session.execute(_EXCHANGED, values)).scalar_one_or_none()
    if at is not None:
        return at
    return (await session.execute(_COUNTED, {"client_id": client_id})).scalar_one_or_none()


async def record_first_sign_ins(session: AsyncSession, limit: int) -> int:
    """Record the first sign-in with each application in production that had none before, at most ``limit``; return how
    many."""
    signed_in = exists().where(Grant.client_id == Application.application_id, Grant.code_used_at.is_not(None))
    waiting = select(Application).where(
        Application.state == "approved", Application.first_sign_in_at.is_(None), signed_in
    )
    waiting = waiting.order_by(Application.application_id).limit(limit).with_for_update(key_share=True, of=Application)
    applications = list((await session.execute(waiting)).scalars())
    for application in applications:
        application.first_sign_in_at = clock.now()
        record(session, "application.first_sign_in", actor="system", client_id=application.application_id)
    return len(applications)
