"""Access reviews: the owners of an application confirm or end each of its role assignments by a day.

A review lists the assignments that were there when it began and that have not ended. Nothing of it is copied: an
assignment is confirmed when its ``confirmed_at`` is not before the beginning. On the day, a job ends what nobody
confirmed, where the application wants that (``end_unconfirmed_roles``).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.role_assignments import GIVES, RoleError, checked_reason, end_assignments
from sso.accounts.role_rules import Giver
from sso.clients import store as clients
from sso.clients.models import SANDBOX_END, TeamMember
from sso.identity.groups import assignments
from sso.identity.groups.models import AccessReview, RoleAssignment
from sso.identity.notifications import MessageServices, notify
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.platform.actor import SYSTEM, Actor
from sso.platform.audit import record_by
from sso.platform.permissions import roles_with
from sso.platform.security.numbers import read_uuid
from sso.portal import teams
from sso.ssf.events import EventServices

SHORTEST, LONGEST = timedelta(days=1), timedelta(days=366)
"""How long a review may take."""
REMINDERS = (timedelta(days=7), timedelta(days=1))
"""How long before the last moment owners are reminded, where something is left."""
UNCONFIRMED = "Not confirmed in the access review."
"""The reason that is recorded with a role that a review ended."""
MAX_ADMINISTRATORS = 100
PART = 50
"""How many assignments one transaction ends: each may have thousands of users."""


class ReviewServices(EventServices, MessageServices, Protocol):
    """What access reviews need: applications are told by events, owners by messages."""


async def start_review(
    session: AsyncSession,
    services: ReviewServices,
    client_id: str,
    *,
    ends_at: datetime,
    giver: Giver,
    actor: Actor,
    reason: str,
) -> AccessReview:
    """Begin a review of an application, and tell its owners; without one, the starter and administrators.

    Args:
        session: the transaction.
        services: the registered applications, and how owners are told.
        client_id: the application, in production.
        ends_at: the last moment to confirm.
        giver: who begins it: an owner of the application, or who gives the roles of every application.
        actor: who acts, for the audit log.
        reason: why.

    Raises:
        RoleError: when they may not, there is a review already, or the day is too near or too far.
    """
    await clients.lock_client(session, client_id)
    client = services.registry.get(client_id)
    if client is None or client.sandbox:
        raise RoleError("not_found", "there is no such application in production")
    await check_reviewer(session, client_id, giver)
    now, note = clock.now(), checked_reason(reason)
    await _check_time(session, client_id, now, ends_at)
    review = _new_review(client_id, now, ends_at, actor, note)
    session.add(review)
    await session.flush()
    data = {"review": str(review.id), "until": ends_at.isoformat(), "note": note}
    record_by(session, actor, "access_review.started", client_id=client_id, data=data)
    await _tell(session, services, review, "access_review")
    return review


def _new_review(client_id: str, now: datetime, ends_at: datetime, actor: Actor, note: str) -> AccessReview:
    return AccessReview(
        client_id=client_id,
        status="running",
        reason=note,
        started_by=actor.name or "",
        started_at=now,
        ends_at=ends_at,
        finished_at=None,
        reminders=0,
        unconfirmed=None,
        ended_unconfirmed=False,
    )


async def _check_time(session: AsyncSession, client_id: str, now: datetime, ends_at: datetime) -> None:
    """Check that a review can begin now, and end then.

    Raises:
        RoleError: when not.
    """
    if not now + SHORTEST <= ends_at <= now + LONGEST:
        text = "the last day must be tomorrow at the earliest, and within a year"
        raise RoleError("invalid_request", text, "ends_at")
    if await running_review(session, client_id) is not None:
        raise RoleError("already_given", "an access review of this application is running already")


async def cancel_review(
    session: AsyncSession, services: ReviewServices, review_id: uuid.UUID, *, giver: Giver, actor: Actor, reason: str
) -> AccessReview:
    """Stop a review: what is not confirmed stays as it is.

    Raises:
        RoleError: when there is no such running review, the actor may not, or there is no reason.
    """
    review = await session.get(AccessReview, review_id)
    if review is None:
        raise RoleError("not_found", "there is no such access review")
    await clients.lock_client(session, review.client_id)
    await session.refresh(review)
    if services.registry.known(review.client_id) is None or review.status != "running":
        raise RoleError("already_ended", "this access review is over")
    await check_reviewer(session, review.client_id, giver)
    await _finish(session, review, "cancelled", actor, note=checked_reason(reason))
    return review


async def check_reviewer(session: AsyncSession, client_id: str, giver: Giver) -> None:
    """Check that somebody may begin and cancel reviews: an owner, or who gives the roles of every application.

    Raises:
        RoleError: when not.
    """
    stem = client_id.removesuffix(SANDBOX_END)
    asks = giver.user_id is not None and not giver.gives_all
    role = await teams.role_of(session, stem, giver.user_id) if asks and giver.user_id is not None else None
    if not is_reviewer(giver, role):
        raise RoleError("not_yours", "only an owner of the application reviews who has its roles")


def is_reviewer(giver: Giver, team_role: str | None) -> bool:
    """Tell the same from what is known already."""
    return giver.gives_all or team_role == "owner"


_OF_APPLICATION = select(AccessReview).where(AccessReview.client_id == bindparam("client_id"))
_RUNNING_REVIEW = _OF_APPLICATION.where(AccessReview.status == "running").limit(1)
_REVIEWS = _OF_APPLICATION.order_by(AccessReview.id.desc()).limit(bindparam("number"))


async def running_review(session: AsyncSession, client_id: str) -> AccessReview | None:
    """Return the running review of an application."""
    return (await session.execute(_RUNNING_REVIEW, {"client_id": client_id})).scalar_one_or_none()


async def reviews_of(session: AsyncSession, client_id: str, limit: int = 20) -> list[AccessReview]:
    """Return the reviews of an application, the newest first."""
    return list((await session.execute(_REVIEWS, {"client_id": client_id, "number": limit})).scalars())


def is_confirmed(assignment: RoleAssignment, review: AccessReview) -> bool:
    """Tell whether a review has nothing to ask of an assignment: it is newer, or it was confirmed."""
    since = review.started_at
    return assignment.created_at > since or (assignment.confirmed_at is not None and assignment.confirmed_at >= since)


async def due(session: AsyncSession, now: datetime, after: uuid.UUID | None) -> list[uuid.UUID]:
    """Return the running reviews, in the order of their ids after ``after``, that are over, or whose owners are to be
    reminded."""
    soon = AccessReview.ends_at <= now + max(REMINDERS)
    running = select(AccessReview.id, AccessReview.ends_at, AccessReview.reminders).where(soon)
    if after is not None:
        running = running.where(AccessReview.id > after)
    rows = await session.execute(running.where(AccessReview.status == "running").order_by(AccessReview.id))
    return [row[0] for row in rows.all() if row[1] <= now or row[2] < _reminders_due(row[1], now)]


def _reminders_due(ends_at: datetime, now: datetime) -> int:
    return sum(ends_at - now <= before for before in REMINDERS)


async def follow_review(session: AsyncSession, services: ReviewServices, review_id: uuid.UUID) -> bool:
    """Remind the owners of a review that ends soon, or do a part of what follows one that is over; tell whether there
    is more to do."""
    review, now = await session.get(AccessReview, review_id), clock.now()
    if review is None or review.status != "running":
        return False
    if review.ends_at <= now:
        return await _finish_ended(session, services, review, now)
    review.reminders = _reminders_due(review.ends_at, now)
    if await assignments.count_unconfirmed(session, review.client_id, review.started_at, now):
        await _tell(session, services, review, "access_review_ends")
    return False


async def _finish_ended(session: AsyncSession, services: ReviewServices, review: AccessReview, now: datetime) -> bool:
    """Do a part of what follows the last day of a review; tell whether there is more to do.

    Where the application wants it, what nobody confirmed ends, ``PART`` assignments in a transaction.
    """
    await clients.lock_client(session, review.client_id)
    await session.refresh(review, with_for_update={"key_share": True})
    if review.status != "running":
        return False
    client = services.registry.get(review.client_id)
    ends = client is not None and client.meta.end_unconfirmed_roles
    if review.unconfirmed is None:
        review.unconfirmed = await assignments.count_unconfirmed(session, review.client_id, review.started_at, now)
    if ends:
        left = await assignments.unconfirmed(session, review.client_id, review.started_at, now, PART)
        if left:
            await end_assignments(session, services, left, actor=SYSTEM, reason=UNCONFIRMED)
        if len(left) == PART:
            return True
    review.ended_unconfirmed = ends
    await _finish(session, review, "done", SYSTEM, unconfirmed=review.unconfirmed, ended=ends)
    if client is not None:
        await _tell(session, services, review, "access_review_over")
    return False


async def _finish(session: AsyncSession, review: AccessReview, status: str, actor: Actor, **data: object) -> None:
    review.status, review.finished_at = status, clock.now()
    event = "access_review.cancelled" if status == "cancelled" else "access_review.finished"
    about = {"review": str(review.id), **data}
    record_by(session, actor, event, client_id=review.client_id, data=about)


async def _tell(session: AsyncSession, services: ReviewServices, review: AccessReview, notice: str) -> None:
    """Send a notice about a review to the owners of its application. Where there is none, send it to the user who began
    the review and to the administrators who give roles."""
    client = services.registry.get(review.client_id)
    if client is None:
        return
    team = await teams.team_of(session, review.client_id.removesuffix(SANDBOX_END))
    receivers = await _active(session, [member.user_id for member in team if member.role == "owner"])
    if not receivers:
        notice += "_admin"
        receivers = await _active(session, [] if (starter := _starter(review)) is None else [starter])
        for role in roles_with(GIVES):
            for user in await users.page_of_users(session, None, MAX_ADMINISTRATORS, role=role, status="active"):
                receivers[user.id] = user
    until = review.ends_at.isoformat()
    for user in receivers.values():
        notify(session, services, user, notice, what=client.meta.client_name, until=until)


async def _active(session: AsyncSession, user_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, User]:
    by_id = await users.users_with_ids(session, user_ids)
    return {user_id: user for user_id, user in by_id.items() if user.disabled_at is None}


def _starter(review: AccessReview) -> uuid.UUID | None:
    """Return the user who began a review; None: a program or the command line did."""
    try:
        return read_uuid(review.started_by)
    except ValueError:
        return None


async def waiting_for_administrators(session: AsyncSession, now: datetime, limit: int) -> list[tuple[str, int]]:
    """Return applications without an owner whose running review has roles to confirm, with their number, the review
    that ends next first."""
    owner = (
        select(TeamMember.user_id)
        .join(User, User.id == TeamMember.user_id)
        .where(TeamMember.application_id == AccessReview.client_id, TeamMember.role == "owner")
        .where(User.disabled_at.is_(None))
    )
    statement = (
        select(AccessReview.client_id, func.count(RoleAssignment.id))
        .join(RoleAssignment, RoleAssignment.client_id == AccessReview.client_id)
        .where(AccessReview.status == "running", ~owner.exists())
        .where(*assignments.to_review(AccessReview.started_at, now))
        .group_by(AccessReview.client_id)
        .order_by(func.min(AccessReview.ends_at))
        .limit(limit)
    )
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]
