"""Recovery codes that the helpdesk makes for users who lost a factor."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.guards import refuse_test_user
from sso.identity.authn import recovery_requests as recovery
from sso.identity.notifications import MessageServices, notify
from sso.identity.users.models import User
from sso.identity.users.service import UserError
from sso.platform.actor import Actor
from sso.platform.audit import record_by


async def start_recovery(session: AsyncSession, services: MessageServices, user: User, *, actor: Actor) -> str:
    """Make a recovery code for a user, and tell the user; return the code, which is not stored readable.

    The code replaces one factor. With a verified contact it opens the account; alone the recovery waits, so that the
    helpdesk cannot take over an account.

    Raises:
        UserError: when the account is disabled or deleted.
    """
    if user.disabled_at is not None:
        raise UserError("the account is disabled")
    refuse_test_user(user)
    code = recovery.new_helpdesk_code()
    valid = services.settings.helpdesk_code_lifetime
    await recovery.add(session, user.id, "helpdesk", code, wait=timedelta(0), valid=valid, created_by=actor.name)
    notify(session, services, user, "helpdesk_recovery")
    record_by(session, actor, "recovery.helpdesk_code_made", subject=str(user.id))
    return code
