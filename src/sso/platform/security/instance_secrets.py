"""Secrets of the installation itself, made once and kept encrypted in the database."""

from __future__ import annotations

import os

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso.platform.db import insert_for
from sso.platform.security.encryption import SecretBox
from sso.platform.security.models import InstanceSecret

SECRET_BYTES = 32


async def instance_secret(session: AsyncSession, box: SecretBox, name: str) -> bytes:
    """Return the 32-byte secret ``name``, making it at first use. Two processes get the same one.

    Raises:
        CannotDecrypt: when SSO_SECRET_KEY no longer holds the secret that encrypted it.
    """
    found = await _find(session, name)
    if found is None:
        encrypted = box.encrypt(os.urandom(SECRET_BYTES), f"instance:{name}")
        await session.execute(
            insert_for(session)(InstanceSecret).values(name=name, encrypted=encrypted).on_conflict_do_nothing()
        )
        found = await _find(session, name)
        assert found is not None
    return box.decrypt(found, f"instance:{name}")


async def reencrypt_instance_secrets(session: AsyncSession, box: SecretBox) -> int:
    """Seal every secret of the installation with the newest key and return how many had an older one."""
    rows = (await session.execute(select(InstanceSecret))).scalars().all()
    old = [row for row in rows if not box.is_current(row.encrypted)]
    for row in old:
        row.encrypted = box.encrypt(box.decrypt(row.encrypted, f"instance:{row.name}"), f"instance:{row.name}")
    return len(old)


async def _find(session: AsyncSession, name: str) -> bytes | None:
    statement = select(InstanceSecret.encrypted).where(InstanceSecret.name == name)
    return (await session.execute(statement)).scalar_one_or_none()
