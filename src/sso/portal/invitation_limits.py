"""How often teams may invite: limits for each inviter, application and recipient; and recipients who declined."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from sso.identity.users.store import verified_user
from sso.platform.db import Database
from sso.platform.security.rate_limits import CountLimit, TooManyFailures

EVERY_TEAM = "*"


class InvitationLimits(Protocol):
    """The limits of invitations.

    ``inviters``: for each user who invites; ``invited_to``: for each application; ``invited`` and ``invited_lately``:
    for each recipient, within a day and within a month; ``declined``: recipients who declined.
    """

    @property
    def inviters(self) -> CountLimit: ...
    @property
    def invited_to(self) -> CountLimit: ...
    @property
    def invited(self) -> CountLimit: ...
    @property
    def invited_lately(self) -> CountLimit: ...
    @property
    def declined(self) -> CountLimit: ...


async def count_invitation(
    limits: InvitationLimits, db: Database, *, application_id: str, inviter: uuid.UUID, lookup: str
) -> bool:
    """Count an invitation, and tell whether it may be sent. False: the recipient declined one, by any of their
    identifiers, or is invited too often. The page must look the same then: it must not tell who has which identifier.

    Args:
        limits: the limits.
        db: the database.
        application_id: the application.
        inviter: who invites.
        lookup: the identifier of the recipient, normalised.

    Raises:
        TooManyFailures: when too many were sent by the inviter, for the application, or to the identifier.
    """
    await _reserve(limits, application_id, inviter, lookup)
    async with db.read() as session:
        user = await verified_user(session, lookup)
    recipients = [lookup, *([str(user.id)] if user is not None else [])]
    declined = [
        await limits.declined.is_full(f"{team} {recipient}")
        for team in (application_id, EVERY_TEAM)
        for recipient in recipients
    ]
    if any(declined):
        return False
    if user is not None:
        # All identifiers of an account together. This limit is silent: it must not tell whose they are.
        try:
            for limit in (limits.invited, limits.invited_lately):
                await limit.take(f"account {user.id}")
        except TooManyFailures:
            return False
    return True


async def _reserve(limits: InvitationLimits, application_id: str, inviter: uuid.UUID, lookup: str) -> None:
    """Count an invitation in every limit, or, where one is full, in none."""
    reservations = []
    try:
        for limit, key in (
            (limits.inviters, str(inviter)),
            (limits.invited_to, application_id),
            (limits.invited, lookup),
            (limits.invited_lately, lookup),
        ):
            reservations.append(await limit.take(key))
    except TooManyFailures:
        for reservation in reservations:
            await reservation.give_back()
        raise


async def block_invitations(limits: InvitationLimits, team: str, recipients: Collection[str]) -> None:
    """Keep a team, or :data:`EVERY_TEAM`, from inviting somebody again for a while.

    Args:
        limits: the limits.
        team: the application.
        recipients: the identifiers of the recipient, and their user id.
    """
    for recipient in recipients:
        with suppress(TooManyFailures):
            await limits.declined.take(f"{team} {recipient}")
