"""The first sign-in with a sandbox, so that a developer sees that the application works."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.oidc.store.models import Grant
from sso.platform.metrics.models import UsageCount
from sso.portal.applications import sandbox_id
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings


async def first_sign_in(session: AsyncSession, settings: Settings, application_id: str) -> datetime | None:
    """Return when the sandbox of an application first received tokens; None: never.

    Sign-ins from the portal's own test page do not count. For a service without users, the usage counts tell the hour.
    """
    client_id = sandbox_id(application_id)
    exchanged = select(Grant.code_used_at).where(
        Grant.client_id == client_id,
        Grant.code_used_at.is_not(None),
        Grant.redirect_uri.is_distinct_from(own_redirect_uri(settings)),
    )
    at = (await session.execute(exchanged.order_by(Grant.id).limit(1))).scalar_one_or_none()
    if at is not None:
        return at
    counted = select(UsageCount.hour).where(
        UsageCount.client_id == client_id, UsageCount.name == "token", UsageCount.label == "client_credentials"
    )
    return (await session.execute(counted.order_by(UsageCount.hour).limit(1))).scalar_one_or_none()
