"""Every SQL statement about relying-party checks."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import RelyingPartyCheck
from sso.platform.security.encryption import CannotDecrypt, SecretBox
from sso.portal.rp_check.fake_provider import MINUTES, Play

_PURPOSE = "relying-party-check"


async def running_check(session: AsyncSession, application_id: str) -> RelyingPartyCheck | None:
    """Return the check of an application that is running now."""
    since = clock.now() - timedelta(minutes=MINUTES)
    mine = select(RelyingPartyCheck).where(
        RelyingPartyCheck.application_id == application_id,
        RelyingPartyCheck.status == "running",
        RelyingPartyCheck.created_at > since,
    )
    return (await session.execute(mine.order_by(RelyingPartyCheck.id.desc()).limit(1))).scalar_one_or_none()


async def last_check(session: AsyncSession, application_id: str) -> RelyingPartyCheck | None:
    """Return the check of an application that was begun last."""
    mine = select(RelyingPartyCheck).where(RelyingPartyCheck.application_id == application_id)
    return (await session.execute(mine.order_by(RelyingPartyCheck.id.desc()).limit(1))).scalar_one_or_none()


def encrypted_play(box: SecretBox, play: Play) -> bytes:
    """Return what is being played, encrypted."""
    return box.encrypt(play.to_json(), _PURPOSE)


def decrypted_play(box: SecretBox, encrypted: bytes) -> Play:
    """Return what is being played.

    Raises:
        CannotDecrypt: when it was encrypted with a key that is not there any more.
    """
    return Play.from_json(box.decrypt(encrypted, _PURPOSE))


async def last_play(session: AsyncSession, box: SecretBox, application_id: str, alg: str) -> Play | None:
    """Return the last play of an application with a key for an algorithm, where it can still be opened."""
    mine = select(RelyingPartyCheck.play).where(
        RelyingPartyCheck.application_id == application_id, RelyingPartyCheck.play.is_not(None)
    )
    encrypted = (await session.execute(mine.order_by(RelyingPartyCheck.id.desc()).limit(1))).scalar_one_or_none()
    if encrypted is None:
        return None
    with contextlib.suppress(CannotDecrypt):  # encrypted with a secret that is gone: a new key is made
        play = decrypted_play(box, encrypted)
        return play if play.alg == alg else None
    return None
