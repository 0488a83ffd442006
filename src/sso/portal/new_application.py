"""Beginning an application: with its first owner, and its sandbox where it is not a draft."""

from __future__ import annotations

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.privileges import OPERATOR, Authority
from sso.platform.actor import Actor
from sso.platform.security.encryption import SecretBox
from sso.portal import teams
from sso.portal.applications import RequestedSettings, create_application, open_sandbox
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings


async def begin_application(
    session: AsyncSession,
    settings: Settings,
    box: SecretBox,
    application_id: str,
    requested: RequestedSettings,
    *,
    owner: uuid.UUID,
    draft: bool,
    actor: Actor,
    authority: Authority = OPERATOR,
) -> str | None:
    """Begin an application, and return the secret of its sandbox, which is not shown again; None: it has none.

    Args:
        session: the transaction.
        settings: the issuer.
        box: encrypts the secret where client_secret_jwt needs it again.
        application_id: its client_id in production.
        requested: the settings.
        owner: the first owner of its team.
        draft: whether it begins without a sandbox.
        actor: who begins it.
        authority: what the actor may do.

    Raises:
        Unfinished: naming each field that is wrong.
    """
    application = await create_application(session, application_id, requested, actor=actor)
    await teams.add_member(session, application_id, owner, "owner", actor=actor, authority=authority)
    if draft:
        return None
    return await open_sandbox(session, box, application, own_uri=own_redirect_uri(settings), actor=actor)
