"""Deleting grants and tokens that are over, a batch at a time. Every statement begins at an index."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso.oidc.models import DeviceCode
from sso.oidc.store.models import AccessToken, Consent, Grant, RefreshToken
from sso.platform.db import delete_batch
from sso.platform.db.sql_types import SelectStatement, SqlValue

AHEAD = timedelta(hours=1)
"""How long before a grant expires the jobs look whether a refresh token of it is valid for longer."""


async def delete_used_refresh_tokens(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete refresh tokens that were used before a moment, when the grace for a retry was over. A token that is used
    once more is recognised by the family that it names."""
    used = (RefreshToken.format.is_not(None), RefreshToken.used_at < before)
    return await delete_batch(session, RefreshToken, RefreshToken.used_at, limit, *used)


async def delete_expired_refresh_tokens(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete expired refresh tokens that do not name their family: used or not, they are stored until they expire.
    Others that were never used go with their grant."""
    ended = (RefreshToken.format.is_(None), RefreshToken.expires_at < now)
    return await delete_batch(session, RefreshToken, RefreshToken.expires_at, limit, *ended)


async def delete_expired_access_tokens(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete opaque access tokens whose time is over."""
    return await delete_batch(session, AccessToken, AccessToken.expires_at, limit, AccessToken.expires_at < now)


async def prolong_grants(session: AsyncSession, now: datetime, limit: int) -> int:
    """Let grants that expire soon end with their newest refresh token, if that is later; return how many. A grant is
    looked at once for each lifetime of a refresh token, however often it is refreshed."""
    newest = select(func.max(RefreshToken.expires_at)).where(RefreshToken.grant_id == Grant.id).scalar_subquery()
    soon = (Grant.expires_at < now + AHEAD, Grant.revoked_at.is_(None), newest > Grant.expires_at)
    chosen = select(Grant.id).where(*soon).order_by(Grant.expires_at).limit(limit)
    ids = list((await session.execute(chosen.with_for_update(key_share=True, skip_locked=True))).scalars())
    prolonged = update(Grant).where(Grant.id.in_(ids)).values(expires_at=newest)
    await session.execute(prolonged.execution_options(synchronize_session=False))
    return len(ids)


async def revoked_grants(session: AsyncSession, limit: int) -> list[uuid.UUID]:
    """Return grants that were revoked, the oldest first."""
    return await _ended(session, Grant.revoked_at, limit, Grant.revoked_at.is_not(None))


async def expired_grants(session: AsyncSession, now: datetime, limit: int) -> list[uuid.UUID]:
    """Return grants that have expired, the oldest first."""
    usable = select(RefreshToken.expires_at).where(RefreshToken.grant_id == Grant.id, RefreshToken.expires_at >= now)
    return await _ended(session, Grant.expires_at, limit, Grant.expires_at < now, _none(usable))


async def _ended(session: AsyncSession, order: SqlValue, limit: int, *ended: ColumnElement[bool]) -> list[uuid.UUID]:
    """Return grants that are over; not those of a device that has not heard its answer yet."""
    waiting = select(DeviceCode.grant_id).where(DeviceCode.grant_id == Grant.id)
    chosen = select(Grant.id).where(*ended, _none(waiting)).order_by(order).limit(limit)
    return list((await session.execute(chosen)).scalars())


def _none(rows: SelectStatement) -> ColumnElement[bool]:
    """Return the condition that ``rows`` selects nothing. PostgreSQL looks for each grant in turn; NOT EXISTS it may
    turn into a join that reads the whole other table."""
    return rows.limit(1).scalar_subquery().is_(None)


async def delete_refresh_tokens_of(session: AsyncSession, grant_ids: Sequence[uuid.UUID], limit: int) -> int:
    """Delete refresh tokens of grants that are over, at most ``limit``; return how many."""
    return await delete_batch(session, RefreshToken, RefreshToken.grant_id, limit, RefreshToken.grant_id.in_(grant_ids))


async def delete_grants(session: AsyncSession, grant_ids: Sequence[uuid.UUID]) -> int:
    """Delete grants that have no refresh tokens any more, with their access tokens. The refresh tokens are deleted in a
    transaction before: transactions lock refresh tokens before their grant."""
    empty = _none(select(RefreshToken.grant_id).where(RefreshToken.grant_id == Grant.id))
    return await delete_batch(session, Grant, Grant.id, len(grant_ids), Grant.id.in_(grant_ids), empty)


async def grants_of_client(session: AsyncSession, client_id: str, limit: int) -> list[uuid.UUID]:
    """Return grants to an application."""
    return list((await session.execute(select(Grant.id).where(Grant.client_id == client_id).limit(limit))).scalars())


async def delete_access_tokens_of_client(session: AsyncSession, client_id: str, limit: int) -> int:
    """Delete opaque access tokens of an application."""
    mine = AccessToken.client_id == client_id
    return await delete_batch(session, AccessToken, AccessToken.client_id, limit, mine)


async def delete_device_codes_of_client(session: AsyncSession, client_id: str, limit: int) -> int:
    """Delete the device codes of an application."""
    return await delete_batch(session, DeviceCode, DeviceCode.client_id, limit, DeviceCode.client_id == client_id)


async def delete_consents_of_client(session: AsyncSession, client_id: str, limit: int) -> int:
    """Delete the consents to an application."""
    return await delete_batch(session, Consent, Consent.client_id, limit, Consent.client_id == client_id)
