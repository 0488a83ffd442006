"""Every SQL statement about relying-party checks."""

from __future__ import annotations

import contextlib
import uuid
from datetime import timedelta

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.models import RelyingPartyCheck
from sso.platform.db import fetch, fetch_object, table_of
from sso.platform.security.encryption import CannotDecrypt, SecretBox
from sso.portal.rp_check.fake_provider import MINUTES, Play

_PURPOSE = "relying-party-check"
_checks = table_of(RelyingPartyCheck)
_c = _checks.c
_LAST_CHECK = select(_checks).where(_c.application_id == bindparam("application_id")).order_by(_c.id.desc()).limit(1)
_RUNNING_CHECK = _LAST_CHECK.where(_c.status == "running", _c.created_at > bindparam("since"))
_LAST_PLAY = _LAST_CHECK.where(_c.play.is_not(None)).with_only_columns(_c.play)


async def running_check(session: AsyncSession, application_id: str) -> RelyingPartyCheck | None:
    """Return the check of an application that is running now."""
    since = clock.now() - timedelta(minutes=MINUTES)
    values = {"application_id": application_id, "since": since}
    return await fetch_object(session, RelyingPartyCheck, _RUNNING_CHECK, values)


async def last_check(session: AsyncSession, application_id: str) -> RelyingPartyCheck | None:
    """Return the check of an application that was begun last."""
    values = {"application_id": application_id}
    return await fetch_object(session, RelyingPartyCheck, _LAST_CHECK, values)


def encrypted_play(box: SecretBox, play: Play) -> bytes:
    return box.encrypt(play.to_json(), _PURPOSE)


def decrypted_play(box: SecretBox, encrypted: bytes) -> Play:
    """Return what is being played.

    Raises:
        CannotDecrypt: when it was encrypted with a key that is not there any more.
    """
    return Play.from_json(box.decrypt(encrypted, _PURPOSE))


_PLAY_OF = select(_c.play).where(_c.id == bindparam("check_id"))
_SET_PLAY = update(_checks).where(_c.id == bindparam("check_id")).values(play=bindparam("new_play"))


async def last_play(session: AsyncSession, box: SecretBox, application_id: str, alg: str) -> Play | None:
    """Return the last play of an application with a key for an algorithm, where it can still be opened."""
    encrypted = (await fetch(session, _LAST_PLAY, {"application_id": application_id})).scalar_one_or_none()
    if encrypted is None:
        return None
    with contextlib.suppress(CannotDecrypt):  # encrypted with a secret that is gone: a new key is made
        play = decrypted_play(box, encrypted)
        return play if play.alg == alg else None
    return None


async def play_of(session: AsyncSession, box: SecretBox, check_id: uuid.UUID) -> Play:
    """Return what a check is playing.

    Raises:
        CannotDecrypt: when it was encrypted with a key that is not there any more.
    """
    encrypted = (await fetch(session, _PLAY_OF, {"check_id": check_id})).scalar_one_or_none()
    assert encrypted is not None, "it is written before"
    return decrypted_play(box, encrypted)


async def set_play(session: AsyncSession, box: SecretBox, check_id: uuid.UUID, play: Play) -> None:
    """Write what a check is playing."""
    await fetch(session, _SET_PLAY, {"check_id": check_id, "new_play": encrypted_play(box, play)})
