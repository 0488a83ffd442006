"""Making, rotating and resealing keys: for signatures, and for what is encrypted for us."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import jwt.algorithms
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.platform.audit import record
from sso.platform.db import bump_version
from sso.platform.keys.models import SigningKey
from sso.platform.keys.ring import JWKS_MAX_AGE_SECONDS
from sso.platform.security.encryption import SecretBox
from sso.platform.security.jwe import KEY_MANAGEMENT_ALGS
from sso.platform.security.tokens import base64url
from sso.settings import SIGNING_ALGS

RSA_BITS = 2048


class KeyTooYoung(Refusal):
    """The next key was published so recently that applications may not know it yet."""


async def ensure_keys(session: AsyncSession, box: SecretBox) -> int:
    """Make the keys that are missing: for each signing algorithm one active and one next, for each kind of encryption
    one active. Return how many were made."""
    if not await _missing(session):
        return 0
    await bump_version(session, "keys")  # also the lock that lets only one process make them
    missing = await _missing(session)
    # Finding primes takes long and leaves the interpreter free: all at once, on every core.
    made = await asyncio.gather(*(asyncio.to_thread(_new_key, alg, status, box) for alg, status in missing))
    session.add_all(made)
    record(session, "keys.made", actor="system", data={"count": len(missing)})
    return len(missing)


def read_alg(name: str) -> str:
    """Return the algorithm that somebody names: in any case, ``Ed25519`` too (RFC 9864 section 2.2).

    Raises:
        Refusal: when there are no keys for it.
    """
    known = {one.lower(): one for one in (*SIGNING_ALGS, *KEY_MANAGEMENT_ALGS)} | {"ed25519": "EdDSA"}
    if name.lower() not in known:
        raise Refusal(f"there are no keys for {name!r}; use one of {', '.join(sorted(set(known.values())))}")
    return known[name.lower()]


async def rotate(
    session: AsyncSession,
    box: SecretBox,
    *,
    algs: Collection[str] | None = None,
    force: bool = False,
    actor: str = "cli",
) -> None:
    """Let the next key of each algorithm sign from now on, retire the active one, and publish a new next one.

    Encryption keys are replaced at once: the old ones still decrypt for a while.

    Args:
        session: the transaction.
        box: seals the new keys.
        algs: the algorithms whose keys are rotated; None: all.
        force: rotate although applications may not know the next keys yet.
        actor: who asks, for the audit log.

    Raises:
        KeyTooYoung: when applications may still hold a key set without the next key, unless ``force``.
    """
    await bump_version(session, "keys")
    now = clock.now()
    mine = SigningKey.status != "retired"
    if algs is not None:
        mine &= SigningKey.alg.in_(algs)
    rows = (await session.execute(select(SigningKey).where(mine))).scalars().all()
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
    record(
        session,
        "keys.rotated",
        actor=actor,
        data={
            "kids": [row.kid for row in rows if row.status == "active"],
            **({"algs": sorted(algs)} if algs is not None else {}),
        },
    )


async def withdraw(session: AsyncSession, box: SecretBox, kid: str, *, actor: str = "cli") -> str:
    """Delete a key that others may have: from now on nothing that it signed is accepted, and nothing that was encrypted
    for it is opened. Another key takes its place at once.

    Args:
        session: the transaction.
        box: seals the new key.
        kid: the key id.
        actor: who asks, for the audit log.

    Returns:
        The status that the key had: ``next``, ``active`` or ``retired``.

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
        for one in (await session.execute(following)).scalars():
            one.status, one.activated_at = "active", now
    await session.flush()
    session.add_all(_new_key(alg, missing, box) for alg, missing in await _missing(session))
    record(session, "keys.withdrawn", actor=actor, data={"kid": kid, "alg": row.alg, "status": status})
    return status


async def rotate_when_due(session: AsyncSession, box: SecretBox, interval: timedelta) -> bool:
    """Rotate the keys of each algorithm whose active key has been in use for ``interval``; tell whether there was
    one. An interval of zero: never."""
    if not interval or not await _due(session, interval):
        return False
    await bump_version(session, "keys")  # also the lock that lets only one process rotate
    due = await _due(session, interval)
    if not due:
        return False
    await rotate(session, box, algs=due, actor="system")
    return True


async def _due(session: AsyncSession, interval: timedelta) -> list[str]:
    """Return the algorithms whose active key has been in use for ``interval``."""
    before = clock.now() - interval
    mine = (SigningKey.status == "active") & (SigningKey.activated_at <= before)
    return sorted((await session.execute(select(SigningKey.alg).where(mine))).scalars())


async def reencrypt(session: AsyncSession, box: SecretBox) -> int:
    """Seal every private key with the newest secret and return how many had an older one."""
    rows = (await session.execute(select(SigningKey))).scalars().all()
    old = [row for row in rows if not box.is_current(row.encrypted_private_key)]
    for row in old:
        purpose = f"signing-key:{row.kid}"
        row.encrypted_private_key = box.encrypt(box.decrypt(row.encrypted_private_key, purpose), purpose)
    return len(old)


async def list_keys(session: AsyncSession) -> list[SigningKey]:
    """Return every key, oldest first."""
    return list((await session.execute(select(SigningKey).order_by(SigningKey.created_at))).scalars())


async def _missing(session: AsyncSession) -> list[tuple[str, str]]:
    rows = (await session.execute(select(SigningKey.alg, SigningKey.status))).all()
    present = {(alg, status) for alg, status in rows}
    wanted = [(alg, status) for alg in SIGNING_ALGS for status in ("active", "next")]
    wanted += [(alg, "active") for alg in KEY_MANAGEMENT_ALGS]
    return [pair for pair in wanted if pair not in present]


def _new_key(alg: str, status: str, box: SecretBox) -> SigningKey:
    private, public_jwk = _generate(alg)
    kid = _thumbprint(public_jwk)
    now = clock.now()
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SigningKey(
        kid=kid,
        alg=alg,
        status=status,
        encrypted_private_key=box.encrypt(der, f"signing-key:{kid}"),
        public_jwk={**public_jwk, "kid": kid, "use": "enc" if alg in KEY_MANAGEMENT_ALGS else "sig", "alg": alg},
        created_at=now,
        activated_at=now if status == "active" else None,
    )


def _generate(alg: str) -> tuple[Any, dict[str, Any]]:
    if alg in ("RS256", "PS256", "RSA-OAEP-256"):
        private: Any = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    elif alg in ("ES256", "ECDH-ES"):
        private = ec.generate_private_key(ec.SECP256R1())
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
        jwk = jwt.algorithms.OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)
    members = ("kty", "crv", "x", "y", "n", "e")
    return private, {name: jwk[name] for name in members if name in jwk}


def _thumbprint(jwk: dict[str, Any]) -> str:
    """Return the thumbprint of ``jwk`` (RFC 7638 section 3)."""
    return base64url(hashlib.sha256(orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS)).digest())
