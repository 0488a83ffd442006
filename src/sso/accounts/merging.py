"""Two accounts of one person: deciding about imported users who seem to exist already, and merging accounts."""

from __future__ import annotations

import uuid
from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.contact_changes import contacts_notified
from sso.accounts.deletion import delete_user
from sso.accounts.employees import StoredEmployment, details_of_stored, employ_in_change
from sso.accounts.guards import refuse_locked, refuse_test_user
from sso.accounts.revocation import end_pending
from sso.accounts.services import AccountChanges
from sso.identity.employees import store as employees
from sso.identity.notifications import notify
from sso.identity.users import merge_proposals
from sso.identity.users import store as users
from sso.identity.users.merge_proposals import Decided
from sso.identity.users.models import MergeProposal, User
from sso.identity.users.service import UserError, keep_an_administrator
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.portal import teams
from sso.portal.applications import lock_application


async def decide_proposal(
    session: AsyncSession, services: AccountChanges, proposal_id: uuid.UUID, decision: str, *, actor: Actor
) -> Decided:
    """Decide about an imported user who seems to exist already, and tell the user what was added to the account.
    Arguments and decisions as in :func:`sso.identity.users.merge_proposals.decide`.

    Raises:
        UserError: when the proposal cannot be decided so, or the account is locked.
    """
    proposal = await session.get(MergeProposal, proposal_id)
    user = await users.lock_user(session, proposal.user_id) if proposal is not None else None
    if user is None:
        raise UserError("there is no such proposal, or it was decided before")
    refuse_test_user(user)
    if decision == "merged":
        refuse_locked(user)
    async with contacts_notified(session, services, user):
        assert proposal is not None
        employment = merge_proposals.employment_of(services.box, proposal)
        decided = await merge_proposals.decide(session, services.box, proposal_id, decision, actor=actor)
        if employment is not None and decided.user_id is not None:
            await _employ(session, services, decided.user_id, cast(StoredEmployment, employment), actor)
    return decided


async def _employ(
    session: AsyncSession,
    services: AccountChanges,
    user_id: uuid.UUID,
    employment: StoredEmployment,
    actor: Actor,
) -> None:
    """Record the employment that an imported row names, in the account that the row belongs to now."""
    user = await users.lock_user(session, user_id)
    assert user is not None
    details = await details_of_stored(session, employment)
    reason = employment["reason"]
    await employ_in_change(session, services, user, details, source="import", actor=actor, reason=reason)


async def lock_to_merge(
    session: AsyncSession, kept_id: uuid.UUID, other_id: uuid.UUID
) -> tuple[User | None, User | None]:
    """Lock two users whose accounts are to be merged, after the applications of their teams, in the order of locks."""
    applications = {*await teams.teams_with(session, kept_id), *await teams.teams_with(session, other_id)}
    for application_id in sorted(applications):
        await lock_application(session, application_id)
    locked = {user_id: await users.lock_user(session, user_id) for user_id in sorted({kept_id, other_id})}
    return locked[kept_id], locked[other_id]


async def merge_users(
    session: AsyncSession, services: AccountChanges, remaining: User, other: User, *, actor: Actor
) -> list[str]:
    """Merge the account ``other`` into ``remaining``: the identifiers, the ids by which applications knew the user, and
    the places in teams move. Contacts must be verified again; passwords, second factors, roles and permissions do not
    move.
    The other account is deleted: applications are notified, and know the user by ``remaining`` from then on.

    Returns:
        The user names of the other account, with which the user signs in besides the one of ``remaining``.

    Raises:
        UserError: when they are the same account, one was deleted or is a test user, or no administrator would be left.
    """
    if remaining.id == other.id:
        raise UserError("both are the same account")
    if any(user.deleted_at is not None or user.preferences.get("test") for user in (remaining, other)):
        raise UserError("one of the accounts was deleted or is a test user")
    if await employees.open_of_user(session, other.id) is not None:
        raise UserError("the other account is the one of an employee: keep that account, and merge this one into it")
    for user in (remaining, other):
        refuse_locked(user)
    await end_pending(session, other)
    await keep_an_administrator(session, other)
    async with contacts_notified(session, services, remaining, other):
        await _move(session, services, remaining, other, actor)
    identifiers = await users.identifiers_of(session, remaining.id)
    return [
        identifier.value for identifier in identifiers if identifier.kind == "username" and not identifier.is_primary
    ]


async def _move(session: AsyncSession, services: AccountChanges, remaining: User, other: User, actor: Actor) -> None:
    """Move everything that moves from ``other`` to ``remaining``, and delete ``other``."""
    for application_id, other_role in (await teams.teams_with(session, other.id)).items():
        role: teams.Role = "owner" if other_role == "owner" else "member"
        if await teams.role_of(session, application_id, remaining.id) != "owner":
            await teams.add_member(session, application_id, remaining.id, role, actor=actor)
    moved = await users.move_identity(session, other.id, remaining.id, clock.now())
    await session.flush()
    record_by(
        session, actor, "user.merged", subject=str(other.id), data={"kept": str(remaining.id), "identifiers": moved}
    )
    notify(session, services, remaining, "merged")
    await delete_user(session, services, other, actor=actor)
