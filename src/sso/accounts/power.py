"""The power over an account, and the rule that nobody changes an account that has more power than their own.

The power is read in the transaction that changes the account, after the row of the user is locked, so that a role that
is given at the same moment counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.guards import is_locked
from sso.clients.registry import Registry
from sso.errors import Refusal
from sso.identity.groups import tree
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.platform.permissions import (
    GRANTING,
    UNIT_PERMISSIONS,
    effective_permissions,
    lacking,
    permissions_of,
    power_of,
)
from sso.portal import teams
from sso.portal.applications import sandbox_id

RECOVERS = "users:recover"
"""The permission to make recovery codes."""


class TooPowerful(Refusal):
    """The act concerns an account that may do more than whoever acts. ``permission``: the first that is missing."""

    status = 403
    code = "no_permission"

    def __init__(self, permission: str) -> None:
        super().__init__(f"to change this account you need the permission {permission}, which the account has too")
        self.permission = permission

    @property
    def explanation(self) -> str:
        """The message as a sentence."""
        text = str(self)
        return f"{text[:1].upper()}{text[1:]}."


def check_power(actor: Collection[str], power: Collection[str]) -> None:
    """Check that whoever acts holds all of a power.

    Args:
        actor: what they may do, from ``effective_permissions``.
        power: what the act would yield.

    Raises:
        TooPowerful: naming the first permission that they lack, and no other.
    """
    missing = lacking(actor, power)
    if missing:
        raise TooPowerful(missing[0])


async def power_over(session: AsyncSession, registry: Registry, user_id: uuid.UUID) -> frozenset[str]:
    """Return the power over an account: of its roles, of its groups, of the units that it looks after, and of the
    applications of its teams, those to which the person is invited included. Five statements."""
    roles = await users.roles_of(session, user_id)
    applications = set(await teams.teams_with(session, user_id))
    identifiers = await users.identifiers_of(session, user_id)
    invited = await invited_power(session, registry, [identifier.lookup for identifier in identifiers], user_id)
    units = UNIT_PERMISSIONS if await tree.administered_by(session, user_id) else frozenset()
    return power_of(roles, _scopes(registry, applications)) | units | invited


async def invited_power(
    session: AsyncSession, registry: Registry, lookups: Collection[str], user_id: uuid.UUID | None = None
) -> frozenset[str]:
    """Return the power that invitations to teams give to whoever verifies one of these contacts, and to a person.
    One statement."""
    if not lookups and user_id is None:
        return frozenset()
    invitations = await teams.invitations_for(session, user_id, lookups)
    return power_of((), _scopes(registry, {invitation.application_id for invitation in invitations}))


async def check_power_over(
    session: AsyncSession,
    registry: Registry,
    user_ids: Iterable[uuid.UUID],
    actor: Collection[str],
    *,
    opens: bool = True,
) -> None:
    """Check that whoever acts holds the power over each of these accounts.

    Args:
        session: the transaction.
        registry: the registered clients.
        user_ids: whose accounts.
        actor: what whoever acts may do.
        opens: whether the act changes what opens the account. One that only takes away (ending, disabling, deleting,
            fewer roles) does not need ``clients:grant``, which no program can have: programs disable administrators.

    Raises:
        TooPowerful: when they do not.
    """
    for user_id in user_ids:
        power = await power_over(session, registry, user_id)
        check_power(actor, power if opens else power - {GRANTING})


async def still_recovers(session: AsyncSession, registry: Registry, maker: str | None, user_id: uuid.UUID) -> bool:
    """Tell whether the maker of a recovery code may still make one for this account: both may have changed since.

    Args:
        session: the transaction.
        registry: the registered clients.
        maker: the maker, as the audit log names it: a user, a program, or the command line.
        user_id: whose account it opens.
    """
    if maker == "cli":
        return True
    try:
        user = await session.get(User, uuid.UUID(maker or ""))
    except ValueError:
        client = registry.enabled(maker or "")
        rights = effective_permissions(None, client.scopes_alone if client is not None else ())
    else:
        active = user is not None and user.disabled_at is None and not is_locked(user)
        rights = permissions_of(await users.roles_of(session, user.id)) if user and active else frozenset()
    return RECOVERS in rights and not lacking(rights, await power_over(session, registry, user_id))


def _scopes(registry: Registry, application_ids: Collection[str]) -> frozenset[str]:
    """Return the scopes of applications and of their sandboxes; suspended ones count too, they can be resumed."""
    clients = (
        registry.get(client_id)
        for application_id in application_ids
        for client_id in (application_id, sandbox_id(application_id))
    )
    return frozenset().union(*(client.scopes for client in clients if client is not None))
