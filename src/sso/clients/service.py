"""Rules about secrets and the state of one application."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.audit import record
from sso.clients import store
from sso.clients.metadata import ClientMetadata
from sso.clients.models import ClientSecret
from sso.clients.registry import stored_metadata
from sso.db import bump_version
from sso.errors import Refusal
from sso.security.box import SecretBox
from sso.security.tokens import random_token, token_hash


class ClientError(Refusal):
    """What was asked for cannot be done with this application; the message says why."""


async def new_secret(
    session: AsyncSession, box: SecretBox, client_id: str, *, overlap_seconds: int = 0, actor: str = "cli"
) -> str:
    """Make a new secret for an application and return it: it is not shown again.

    Args:
        session: the transaction.
        box: seals the secret where client_secret_jwt needs it again.
        client_id: the application.
        overlap_seconds: how long its earlier secrets stay valid.
        actor: who asks.

    Raises:
        ClientError: when there is no such application, or it uses no secret.
    """
    row = await store.get_client(session, client_id)
    if row is None:
        raise ClientError(f"there is no application {client_id!r}; see: sso clients list")
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
    session.add(secret_row(box, client_id, metadata, secret))
    row.version = await bump_version(session, "clients")
    record(session, "client.secret_made", actor=actor, client_id=client_id, data={"overlap_seconds": overlap_seconds})
    return secret


async def reseal_secrets(session: AsyncSession, box: SecretBox) -> int:
    """Seal every secret that is kept sealed (client_secret_jwt) with the newest key; return how many had an older."""
    old = [secret for secret in await store.sealed_secrets(session) if not box.is_current(secret.sealed or b"")]
    for secret in old:
        purpose = f"client-secret:{secret.client_id}"
        secret.sealed = box.seal(box.open(secret.sealed or b"", purpose), purpose)
    for client_id in {secret.client_id for secret in old}:
        row = await store.get_client(session, client_id)
        assert row is not None
        row.version = await bump_version(session, "clients")
    return len(old)


def secret_row(box: SecretBox, client_id: str, metadata: ClientMetadata, secret: str) -> ClientSecret:
    """Return the row for a new secret: its hash, and the secret itself sealed where signatures are checked with it."""
    sealed = None
    if metadata.token_endpoint_auth_method == "client_secret_jwt":
        sealed = box.seal(secret.encode(), f"client-secret:{client_id}")
    return ClientSecret(client_id=client_id, secret_hash=token_hash(secret), sealed=sealed, created_at=clock.now())
