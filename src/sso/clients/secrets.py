"""Rules about secrets and the state of one application."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.metadata import ClientMetadata
from sso.clients.models import REMOVED, ClientRow, ClientSecret
from sso.clients.privileges import OPERATOR, Authority, check_hold, check_registration
from sso.clients.registry import stored_metadata
from sso.errors import Refusal
from sso.platform.actor import CLI, Actor
from sso.platform.audit import record_by
from sso.platform.db import bump_version
from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import random_token, token_hash

HINT_CHARS = 4
"""How much of a secret is kept readable, so that its owner knows which it is: the rest has 232 random bits."""
MAX_SECRETS = 2
TRIAL, TRIAL_SECONDS = "trial", 900
"""Who makes the secrets with which the portal tries an application, and how long they are valid."""


class ClientError(Refusal):
    """What was asked for cannot be done with this application; the message says why."""

    status = 409


async def new_secret(
    session: AsyncSession,
    box: SecretBox,
    client_id: str,
    *,
    overlap_seconds: int = 0,
    actor: Actor = CLI,
    authority: Authority = OPERATOR,
) -> str:
    """Make a new secret for an application and return it: it is not shown again.

    Args:
        session: the transaction.
        box: encrypts the secret where client_secret_jwt needs it again.
        client_id: the application.
        overlap_seconds: how long its earlier secrets stay valid.
        actor: who asks.
        authority: what the actor may do.

    Raises:
        ClientError: when there is no such application, or it uses no secret.
        PrivilegeRefused: when the application may do more than the actor.
    """
    row = await store.lock_client(session, client_id)
    if row is None or row.status == REMOVED:
        raise ClientError(f"there is no application {client_id!r}; see: sso clients list")
    await check_hold(session, client_id, authority)
    metadata = stored_metadata(row.metadata_)
    if not metadata.needs_secret:
        method = metadata.token_endpoint_auth_method
        raise ClientError(f"{client_id!r} has token_endpoint_auth_method: {method}, which uses no secret")
    now = clock.now()
    end = now + timedelta(seconds=overlap_seconds)
    for old in await store.secrets_of(session, client_id):
        if overlap_seconds == 0:
            await session.delete(old)
        elif old.expires_at is None or old.expires_at > end:
            old.expires_at = end
    secret = random_token()
    session.add(secret_row(box, client_id, metadata, secret, created_by=actor.name))
    row.version = await bump_version(session, "clients")
    record_by(
        session,
        actor,
        "client.secret_made",
        address=actor.stored_ip_address,
        client_id=client_id,
        data={"overlap_seconds": overlap_seconds},
    )
    return secret


async def valid_secrets(session: AsyncSession, client_id: str) -> list[ClientSecret]:
    """Return the secrets of an application that are valid now, oldest first."""
    now = clock.now()
    known = [secret for secret in await store.secrets_of(session, client_id) if secret.created_by != TRIAL]
    return [secret for secret in known if not secret.expires_at or secret.expires_at > now]


async def trial_secret(session: AsyncSession, client_id: str) -> str:
    """Make a secret with which the portal tries an application, for a few minutes, in place of the last such one."""
    now, secret = clock.now(), random_token()
    row = await store.lock_client(session, client_id)
    assert row is not None
    for old in await store.secrets_of(session, client_id):
        if old.created_by == TRIAL and (old.expires_at is None or old.expires_at <= now):
            await session.delete(old)
    created = ClientSecret(client_id=client_id, secret_hash=token_hash(secret), created_at=now, created_by=TRIAL)
    created.expires_at = now + timedelta(seconds=TRIAL_SECONDS)
    session.add(created)
    row.version = await bump_version(session, "clients")
    return secret


async def add_secret(
    session: AsyncSession,
    box: SecretBox,
    client_id: str,
    *,
    valid_days: int | None,
    actor: Actor,
    authority: Authority = OPERATOR,
) -> str:
    """Make another secret for an application beside the one that it has, and return it: it is not shown again.

    Args:
        session: the transaction.
        box: encrypts the secret where client_secret_jwt needs it again.
        client_id: the application.
        valid_days: for how many days; None: until it is revoked.
        actor: who asks.
        authority: what the actor may do.

    Raises:
        ClientError: when there is no such application, it uses no secret, or two are valid already.
        PrivilegeRefused: when the application may do more than the actor.
    """
    row = await store.lock_client(session, client_id)
    if row is None or row.status == REMOVED:
        raise ClientError(f"there is no application {client_id!r}")
    await check_hold(session, client_id, authority)
    metadata = stored_metadata(row.metadata_)
    if not metadata.needs_secret:
        raise ClientError(f"{client_id!r} uses no secret")
    if len(await valid_secrets(session, client_id)) >= MAX_SECRETS:
        raise ClientError("two secrets are valid already: revoke one first")
    secret = random_token()
    end = clock.now() + timedelta(days=valid_days) if valid_days else None
    session.add(secret_row(box, client_id, metadata, secret, created_by=actor.name, expires_at=end))
    row.version = await bump_version(session, "clients")
    data = {"valid_days": valid_days}
    record_by(session, actor, "client.secret_made", address=actor.stored_ip_address, client_id=client_id, data=data)
    return secret


async def revoke_secret(session: AsyncSession, client_id: str, secret_id: UUID, *, actor: Actor) -> None:
    """Let a secret be worth nothing any more, at once.

    Raises:
        ClientError: when the application has no such secret.
    """
    row = await store.lock_client(session, client_id)
    revoked = next((secret for secret in await store.secrets_of(session, client_id) if secret.id == secret_id), None)
    if row is None or revoked is None:
        raise ClientError("there is no such secret")
    await session.delete(revoked)
    row.version = await bump_version(session, "clients")
    data = {"hint": revoked.hint}
    record_by(session, actor, "client.secret_revoked", address=actor.stored_ip_address, client_id=client_id, data=data)


async def create_client(
    session: AsyncSession,
    box: SecretBox,
    client_id: str,
    metadata: ClientMetadata,
    *,
    catalogue: str,
    actor: Actor,
    authority: Authority = OPERATOR,
) -> str | None:
    """Register an application and return its secret, which is not shown again; None where it needs none. The privileges
    among its scopes are granted with it.

    Raises:
        ClientError: when there is one of that name.
        PrivilegeRefused: when the actor may not give it what it registers.
    """
    present = await store.get_client(session, client_id)
    if present is not None:
        raise ClientError(f"{client_id!r} is taken" + (" by one that was removed" if present.status == REMOVED else ""))
    if client_id in await store.begun_ids(session, [client_id]):
        raise ClientError(f"{client_id!r} is taken by an application that a team has begun in the portal")
    now = clock.now()
    row: dict[str, object] = {
        "client_id": client_id,
        "catalogue": catalogue,
        "status": "active",
        "metadata": metadata.stored(),
    }
    row |= {"version": await bump_version(session, "clients"), "created_at": now, "updated_at": now}
    await store.insert_clients(session, [row])
    await check_registration(session, client_id, None, metadata, authority, actor=actor)
    secret = random_token() if metadata.needs_secret else None
    if secret is not None:
        session.add(secret_row(box, client_id, metadata, secret))
    record_by(session, actor, "client.created", address=actor.stored_ip_address, client_id=client_id)
    return secret


async def replace_client(
    session: AsyncSession,
    row: ClientRow,
    metadata: ClientMetadata,
    *,
    catalogue: str,
    actor: Actor,
    authority: Authority = OPERATOR,
) -> None:
    """Put other metadata in place of an application's. Privileges among its new scopes are granted with it; those of
    scopes that it has no more are revoked.

    Raises:
        ClientError: when another catalogue, or the application itself, looks after it.
        PrivilegeRefused: when the application may do more than the actor, or the actor may not give what is new.
    """
    if row.catalogue != catalogue:
        raise ClientError(f"{row.client_id!r} is managed by the catalogue {row.catalogue!r}: change it there")
    present = stored_metadata(row.metadata_)
    before = present.stored()
    await check_registration(
        session,
        row.client_id,
        present,
        metadata,
        authority,
        actor=actor,
        status=row.status,
    )
    row.metadata_ = metadata.stored()
    if not metadata.needs_secret:
        for old in await store.secrets_of(session, row.client_id):
            await session.delete(old)
    row.version, row.updated_at = await bump_version(session, "clients"), clock.now()
    after = row.metadata_
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    data = {"changed": changed}
    record_by(session, actor, "client.updated", address=actor.stored_ip_address, client_id=row.client_id, data=data)


async def reencrypt_secrets(session: AsyncSession, box: SecretBox) -> int:
    """Encrypt stored secrets (client_secret_jwt) with the newest key; return how many had an older."""
    old = [secret for secret in await store.encrypted_secrets(session) if not box.is_current(secret.encrypted or b"")]
    await store.lock_clients(session, [secret.client_id for secret in old])
    for secret in old:
        purpose = f"client-secret:{secret.client_id}"
        secret.encrypted = box.encrypt(box.decrypt(secret.encrypted or b"", purpose), purpose)
    for client_id in {secret.client_id for secret in old}:
        row = await store.get_client(session, client_id)
        assert row is not None
        row.version = await bump_version(session, "clients")
    return len(old)


def secret_row(
    box: SecretBox,
    client_id: str,
    metadata: ClientMetadata,
    secret: str,
    *,
    created_by: str | None = None,
    expires_at: datetime | None = None,
) -> ClientSecret:
    """Return the row for a new secret: its hash, and the secret itself encrypted where signatures are checked with
    it, or the gate sends it."""
    encrypted = None
    if metadata.token_endpoint_auth_method == "client_secret_jwt" or metadata.sends_secret:
        encrypted = box.encrypt(secret.encode(), f"client-secret:{client_id}")
    created = ClientSecret(
        client_id=client_id, secret_hash=token_hash(secret), encrypted=encrypted, created_at=clock.now()
    )
    created.hint, created.created_by, created.expires_at = secret[-HINT_CHARS:], created_by, expires_at
    return created
