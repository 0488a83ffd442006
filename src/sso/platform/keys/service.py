"""Creating, rotating and encrypting keys: for signatures, and for what is encrypted for the provider."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.platform.actor import CLI, SYSTEM, Actor
from sso.platform.audit import record_by
from sso.platform.db import bump_version, fetch, table_of
from sso.platform.keys.models import SigningKey
from sso.platform.keys.ring import JWKS_MAX_AGE_SECONDS
from sso.platform.security.encryption import SecretBox
from sso.platform.security.jwe import KEY_MANAGEMENT_ALGS
from sso.settings import SIGNING_ALGS

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

RSA_BITS = 2048


class KeyTooYoung(Refusal):
    """The next key was published so recently that applications may not know the key yet."""


async def ensure_keys(session: AsyncSession, box: SecretBox) -> int:
    """Create missing keys: an active and a next key for each signing algorithm, an active key for each encryption
    algorithm. Return the number of created keys."""
    if not await _missing(session):
        return 0
    await bump_version(session, "keys")  # also the lock that lets only one process create keys
    missing = await _missing(session)
    # Finding primes is slow and releases the interpreter lock: all keys at once, on every core.
    created = await asyncio.gather(*(asyncio.to_thread(_new_key, alg, status, box) for alg, status in missing))
    session.add_all(created)
    record_by(session, SYSTEM, "keys.made", data={"count": len(missing)})
    return len(missing)


def read_alg(name: str) -> str:
    """Return the algorithm with a name in any case, or ``Ed25519`` (RFC 9864 section 2.2).

    Raises:
        Refusal: when there are no keys for it.
    """
    known = {alg.lower(): alg for alg in (*SIGNING_ALGS, *KEY_MANAGEMENT_ALGS)} | {"ed25519": "EdDSA"}
    if name.lower() not in known:
        raise Refusal(f"there are no keys for {name!r}; use one of {', '.join(sorted(set(known.values())))}")
    return known[name.lower()]


async def rotate(
    session: AsyncSession,
    box: SecretBox,
    *,
    algs: Collection[str] | None = None,
    force: bool = False,
    actor: Actor = CLI,
) -> None:
    """Retire the active key of each algorithm, make the next key active, and publish a new next key.

    Encryption keys have no next key: a new key is active at once, and the old one decrypts while it is published.

    Args:
        session: the transaction.
        box: encrypts the new keys.
        algs: the algorithms whose keys are rotated; None: all.
        force: rotate although applications may not know the next keys yet.
        actor: for the audit log.

    Raises:
        KeyTooYoung: when applications may cache a key set without the next key, unless ``force``.
    """
    await bump_version(session, "keys")
    now = clock.now()
    current = SigningKey.status != "retired"
    if algs is not None:
        current &= SigningKey.alg.in_(algs)
    rows = (await session.execute(select(SigningKey).where(current))).scalars().all()
    known_since = now - timedelta(seconds=JWKS_MAX_AGE_SECONDS)
    if not force and any(row.status == "next" and row.created_at > known_since for row in rows):
        raise KeyTooYoung(
            f"the next keys were published less than {JWKS_MAX_AGE_SECONDS} seconds ago; applications may not know "
            "them yet. Wait, or use --force when a key has leaked."
        )
    for row in rows:
        if row.status == "active":
            row.status, row.retired_at = "retired", now
            if row.alg in KEY_MANAGEMENT_ALGS:
                session.add(_new_key(row.alg, "active", box))
        else:
            row.status, row.activated_at = "active", now
            session.add(_new_key(row.alg, "next", box))
    data = {"kids": [row.kid for row in rows if row.status == "active"]}
    data |= {"algs": sorted(algs)} if algs is not None else {}
    record_by(session, actor, "keys.rotated", address=actor.stored_ip_address, data=data)


async def withdraw(session: AsyncSession, box: SecretBox, kid: str, *, actor: Actor = CLI) -> str:
    """Delete a key that may have leaked: tokens that it signed are refused, and JWTs that are encrypted for it cannot
    be decrypted. Another key replaces it at once.

    Args:
        session: the transaction.
        box: encrypts the new key.
        kid: the key id.
        actor: for the audit log.

    Returns:
        The former status of the key: ``next``, ``active`` or ``retired``.

    Raises:
        Refusal: when there is no such key.
    """
    await bump_version(session, "keys")  # also the lock that lets only one process change keys
    row = await session.get(SigningKey, kid)
    if row is None:
        raise Refusal(f"there is no key {kid!r}; see: sso keys list")
    status, now = row.status, clock.now()
    await session.delete(row)
    if status == "active" and row.alg not in KEY_MANAGEMENT_ALGS:
        following = select(SigningKey).where(SigningKey.alg == row.alg, SigningKey.status == "next")
        for key in (await session.execute(following)).scalars():
            key.status, key.activated_at = "active", now
    await session.flush()
    session.add_all(_new_key(alg, missing, box) for alg, missing in await _missing(session))
    data = {"kid": kid, "alg": row.alg, "status": status}
    record_by(session, actor, "keys.withdrawn", address=actor.stored_ip_address, data=data)
    return status


async def rotate_when_due(session: AsyncSession, box: SecretBox, interval: timedelta) -> bool:
    """Rotate the keys of each algorithm whose active key has been in use for ``interval``; tell whether there was one.
    An interval of zero means never."""
    if not interval or not await _due(session, interval):
        return False
    await bump_version(session, "keys")  # also the lock that lets only one process rotate
    due = await _due(session, interval)
    if not due:
        return False
    await rotate(session, box, algs=due, actor=SYSTEM)
    return True


async def _due(session: AsyncSession, interval: timedelta) -> list[str]:
    """Return the algorithms whose active key has been in use for ``interval``."""
    before = clock.now() - interval
    is_due = (SigningKey.status == "active") & (SigningKey.activated_at <= before)
    return sorted((await session.execute(select(SigningKey.alg).where(is_due))).scalars())


async def reencrypt(session: AsyncSession, box: SecretBox) -> int:
    """Encrypt every private key with the newest secret; return how many had an older secret."""
    rows = (await session.execute(select(SigningKey))).scalars().all()
    old = [row for row in rows if not box.is_current(row.encrypted_private_key)]
    for row in old:
        purpose = f"signing-key:{row.kid}"
        row.encrypted_private_key = box.encrypt(box.decrypt(row.encrypted_private_key, purpose), purpose)
    return len(old)


async def list_keys(session: AsyncSession) -> list[SigningKey]:
    """Return every key, oldest first."""
    return list((await session.execute(select(SigningKey).order_by(SigningKey.created_at))).scalars())


_k = table_of(SigningKey).c
_PRESENT = select(_k.alg, _k.status)


async def _missing(session: AsyncSession) -> list[tuple[str, str]]:
    present = {(alg, status) for alg, status in await fetch(session, _PRESENT)}
    required = [(alg, status) for alg in SIGNING_ALGS for status in ("active", "next")]
    required += [(alg, "active") for alg in KEY_MANAGEMENT_ALGS]
    return [pair for pair in required if pair not in present]


def _new_key(alg: str, status: str, box: SecretBox) -> SigningKey:
    key = _generate(alg)
    kid = key.thumbprint()
    now = clock.now()
    return SigningKey(
        kid=kid,
        alg=alg,
        status=status,
        encrypted_private_key=box.encrypt(key.as_der(private=True), f"signing-key:{kid}"),
        public_jwk=key.as_dict(kid=kid, use="enc" if alg in KEY_MANAGEMENT_ALGS else "sig", alg=alg),
        created_at=now,
        activated_at=now if status == "active" else None,
    )


def _generate(alg: str) -> RSAKey | ECKey | OKPKey:
    from joserfc.jwk import ECKey, OKPKey, RSAKey  # most commands make no key

    if alg in ("RS256", "PS256", "RSA-OAEP-256"):
        return RSAKey.generate_key(RSA_BITS)
    if alg in ("ES256", "ECDH-ES"):
        return ECKey.generate_key("P-256")
    return OKPKey.generate_key("Ed25519")
