"""Actions of administrators on several accounts: what would happen to each, and carrying it out.

Each account has a transaction of its own, with the same checks as the action on one account: a refusal of one does not
keep the others from being done, and the result names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.power import TooPowerful, check_power_over
from sso.accounts.services import AccountActions
from sso.accounts.user_actions import ActionRequest, ActionValues, perform
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.identity.users.service import UserError
from sso.platform.actor import Actor

MAX_SELECTED = 100
"""How many rows one action takes."""
BULK_ACTIONS = ("disable", "enable", "new_password", "end_sessions")
"""The actions on one account that can be carried out on several."""
OWN_ACCOUNT = "this is your own account"


@dataclass(frozen=True, slots=True)
class Selected:
    """A row that was selected.

    Args:
        id: of the account, application, session or delivery.
        name: the name that the page shows.
        refusal: why nothing happens to it; empty: the action is, or was, carried out.
    """

    id: str
    name: str
    refusal: str = ""


async def plan_action(
    services: AccountActions, act: str, user_ids: Sequence[UUID], *, actor: Actor, rights: frozenset[str]
) -> list[Selected]:
    """Return what an action would do to each account. It is checked again when the action is carried out.

    Args:
        services: the database and the registered applications.
        act: one of ``BULK_ACTIONS``.
        user_ids: the accounts; at most ``MAX_SELECTED`` are looked at.
        actor: the administrator.
        rights: the permissions of the administrator.
    """
    async with services.db.read() as session:
        return [
            await _planned(session, services, act, user_id, actor, rights)
            for user_id in dict.fromkeys(user_ids[:MAX_SELECTED])
        ]


async def _planned(
    session: AsyncSession, services: AccountActions, act: str, user_id: UUID, actor: Actor, rights: frozenset[str]
) -> Selected:
    user = await session.get(User, user_id)
    if user is None:
        return Selected(str(user_id), "", "the user does not exist")
    refusal = ""
    if str(user_id) == actor.name:
        refusal = OWN_ACCOUNT
    elif user.deleted_at is not None:
        refusal = "the user was deleted"
    elif act == "disable" and user.disabled_at is not None:
        refusal = "the account is already disabled"
    elif act == "enable" and user.disabled_at is None:
        refusal = "the account is not disabled"
    else:
        try:
            await check_power_over(session, services.registry, [user_id], rights)
        except TooPowerful as error:
            refusal = str(error)
    if not refusal and act == "new_password" and not await _has_verified_contact(session, user_id):
        refusal = "the user has no verified e-mail address or phone number and could not choose a new password"
    return Selected(str(user_id), user.name, refusal)


async def _has_verified_contact(session: AsyncSession, user_id: UUID) -> bool:
    identifiers = await users.identifiers_of(session, user_id)
    return any(known.kind in ("email", "phone") and known.verified_at is not None for known in identifiers)


async def carry_out(
    services: AccountActions,
    act: str,
    user_ids: Sequence[UUID],
    *,
    reason: str,
    actor: Actor,
    rights: frozenset[str],
) -> list[Selected]:
    """Carry an action out on each account, one after the other, and return the result of each.

    Args:
        services: the database and the registered applications.
        act: one of ``BULK_ACTIONS``.
        user_ids: the accounts; at most ``MAX_SELECTED`` are changed.
        reason: the reason, for the audit log.
        actor: the administrator.
        rights: the permissions of the administrator.
    """
    results = []
    for planned in await plan_action(services, act, user_ids, actor=actor, rights=rights):
        refusal = planned.refusal
        if not refusal:
            request = ActionRequest(act, UUID(planned.id), ActionValues(), reason, actor, rights)
            try:
                done = await perform(services, request)
                refusal = "" if done is not None else "the user does not exist"
            except (TooPowerful, UserError) as error:
                refusal = str(error)
        results.append(Selected(planned.id, planned.name, refusal))
    return results
