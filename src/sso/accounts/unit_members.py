"""Whom administrators of units, who may not change every unit, make members.

A membership gives what members of the unit have: roles, and the way into applications that admit the unit. So nobody
makes themselves a member, and nobody gives by a membership what they could not give as a role (docs/decisions/0073).
"""

from __future__ import annotations

import uuid
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.groups import WRITES, GroupRefused
from sso.accounts.role_assignments import gift_of, giver_of
from sso.accounts.role_rules import Giver, why_not
from sso.accounts.services import AccountChanges
from sso.identity.employees.store import is_employee
from sso.identity.groups import assignments as store
from sso.identity.groups import tree
from sso.identity.groups.models import Group
from sso.identity.users.models import User
from sso.identity.users.service import UserError, find
from sso.platform.actor import Actor
from sso.platform.messages import N_
from sso.platform.security.encryption import SecretBox

OWN = N_("You cannot make yourself a member. Ask an administrator of the city.")
NOT_FOUND = N_(
    "No employee has this e-mail address, phone number, username or user ID. You can add employees and members of your "
    "units. Ask an administrator of the city to add others."
)
OTHERS_ROLES = N_(
    "Members of %(code)s have roles that you are not allowed to give. Ask an administrator of the city to add the user."
)
TOO_MANY_UNKNOWN = N_("You entered many users who were not found. Try again later.")


async def find_new_member(session: AsyncSession, text: str, actor: Actor, box: SecretBox | None) -> User:
    """Return the user whom somebody wants to add. Who may not change every unit finds employees and members of their
    units, never by NIK, and gets one answer for everybody else.

    Raises:
        GroupRefused, UserError: when there is none.
    """
    if WRITES in actor.permissions:
        return await find(session, text, box)
    try:
        user = await find(session, text)
    except UserError:
        raise GroupRefused(NOT_FOUND, "user") from None
    if user.deleted_at is None and await _is_theirs(session, user.id, uuid.UUID(actor.name or "")):
        return user
    raise GroupRefused(NOT_FOUND, "user")


async def _is_theirs(session: AsyncSession, user_id: uuid.UUID, actor_id: uuid.UUID) -> bool:
    """Tell whether a user is the actor, an employee, or in a unit of the actor, where somebody else put them."""
    now = clock.now()
    if user_id == actor_id or await is_employee(session, user_id, now):
        return True
    units = await tree.administered_by(session, actor_id)
    return bool(units & await store.where_user_is(session, user_id, now, but_of=actor_id))


async def check_new_member(
    session: AsyncSession, services: AccountChanges, user_id: uuid.UUID, group_id: uuid.UUID, actor: Actor
) -> None:
    """Check that somebody who may not change every unit may make a user a member of a unit.

    Raises:
        GroupRefused: when it is themselves, or members of the unit have roles that they may not give.
    """
    if WRITES in actor.permissions:
        return
    actor_id = uuid.UUID(actor.name or "")
    if user_id == actor_id:
        raise GroupRefused(OWN, "user")
    already = await store.where_user_is(session, user_id, clock.now(), but_of=actor_id)
    units, givers = await store.above(session, group_id), dict[str, Giver]()
    for assignment in await store.reaching(session, group_id, clock.now()):
        client = services.registry.known(assignment.client_id)
        # In a sandbox a role opens nothing, and any developer gives roles there to any unit.
        if client is None or client.sandbox or assignment.role not in client.meta.application_roles:
            continue
        if assignment.with_units_below and assignment.group_id in already:
            continue  # what they have from above anyway
        if client.client_id not in givers:
            givers[client.client_id] = await giver_of(session, actor, client.client_id, actor_id)
        giver = givers[client.client_id]
        gift = replace(await gift_of(session, client, assignment, giver), where=units)
        if why_not(giver, gift) not in (None, "own_role"):
            group = await session.get(Group, group_id)
            raise GroupRefused(OTHERS_ROLES, "user", code=group.code if group is not None else "")
