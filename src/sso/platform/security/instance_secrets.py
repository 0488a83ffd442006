"""Secrets of the installation, created once and stored encrypted in the database."""

from __future__ import annotations

import os

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db import fetch, insert_for, table_of
from sso.platform.security.encryption import SecretBox
from sso.platform.security.models import InstanceSecret

SECRET_BYTES = 32
_secrets = table_of(InstanceSecret).c
_FIND = select(_secrets.encrypted).where(_secrets.name == bindparam("name"))


async def instance_secret(session: AsyncSession, box: SecretBox, name: str) -> bytes:
    """Return the 32-byte secret ``name``; the first call creates it. All processes get the same secret.

    Raises:
        CannotDecrypt: when the secret that encrypted it is not in SSO_SECRET_KEY any more.
    """
    encrypted = await _find(session, name)
    if encrypted is None:
        created = box.encrypt(os.urandom(SECRET_BYTES), f"instance:{name}")
        await session.execute(
            insert_for(session)(InstanceSecret).values(name=name, encrypted=created).on_conflict_do_nothing()
        )
        encrypted = await _find(session, name)
        assert encrypted is not None
    return box.decrypt(encrypted, f"instance:{name}")


async def reencrypt_instance_secrets(session: AsyncSession, box: SecretBox) -> int:
    """Encrypt every secret of the installation with the newest key; return how many had an older key."""
    rows = (await session.execute(select(InstanceSecret))).scalars().all()
    old = [row for row in rows if not box.is_current(row.encrypted)]
    for row in old:
        row.encrypted = box.encrypt(box.decrypt(row.encrypted, f"instance:{row.name}"), f"instance:{row.name}")
    return len(old)


async def _find(session: AsyncSession, name: str) -> bytes | None:
    encrypted: bytes | None = (await fetch(session, _FIND, {"name": name})).scalar_one_or_none()
    return encrypted
