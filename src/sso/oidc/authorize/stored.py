"""Authorization requests that wait for a person: stored with what has been done for them, bound to a browser."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Client
from sso.oidc.authorize.decision import Progress
from sso.oidc.authorize.request import AuthorizationRequest, check_request, with_news
from sso.oidc.models import Interaction
from sso.oidc.provider import Provider
from sso.oidc.server import ProviderServer
from sso.platform.db import delete_batch
from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import equal, keyed_token, random_token, token_hash
from sso.settings import Settings

_PROOF_CHARS = 22
"""How much of a proof a token holds: 132 bits."""


def token_end(box: SecretBox, client_id: str) -> str:
    """Return what the token of a page ends with, so that the page still names its application when nothing is stored
    for the token any more: a proof that we wrote it, and the client_id."""
    key = box.derived_keys(_PURPOSE)[0]
    return f".{keyed_token(key, client_id)[:_PROOF_CHARS]}.{client_id}"


def end_of(token: str) -> str:
    """Return the end of a token that names an application, to be that of another token; nothing where it has none."""
    _, separator, end = token.partition(".")
    return separator + end


def client_of_token(provider: Provider, token: str) -> Client | None:
    """Return the application that a token names, where we wrote it and the application is enabled."""
    proof, _, client_id = end_of(token).removeprefix(".").partition(".")
    keys = provider.box.derived_keys(_PURPOSE) if client_id else []
    if not any([equal(proof, keyed_token(key, client_id)[:_PROOF_CHARS]) for key in keys]):
        return None
    return provider.registry.enabled(client_id)


_PURPOSE = "way-back"


async def remember_request(
    box: SecretBox, settings: Settings, session: AsyncSession, request: AuthorizationRequest, browser: str
) -> str:
    """Store a request that waits for a person, bound to the browser, and return its token. One statement."""
    client_id = request.client.client_id
    now, token = clock.now(), random_token() + token_end(box, client_id)
    session.add(
        Interaction(
            token_hash=token_hash(token),
            browser_hash=token_hash(browser),
            client_id=client_id,
            parameters={"query": urlencode(list(request.parameters.items())), "source": request.source},
            progress=[],
            created_at=now,
            expires_at=now + settings.authorization_request_lifetime,
        )
    )
    return token


async def recall_request(session: AsyncSession, token: str, browser: str) -> Interaction | None:
    """Return a waiting request of this browser, or None when it is unknown, over, or another browser's."""
    found = await session.get(Interaction, token_hash(token)) if token and browser else None
    if found is None or found.browser_hash != token_hash(browser) or found.expires_at <= clock.now():
        return None
    return found


async def stored_request(server: ProviderServer, interaction: Interaction) -> AuthorizationRequest:
    """Return a waiting request, checked again: the application may have been changed meanwhile.

    Raises:
        PageError, RedirectError: when it is not valid any more.
        DatabaseUnavailable: when there is no database now.
    """
    parameters = parse_qsl(interaction.parameters["query"], keep_blank_values=True)

    async def check() -> AuthorizationRequest:
        return check_request(server, parameters, interaction.parameters.get("source", "plain"))

    return await with_news(server.provider, check)


def progress_of(interaction: Interaction | None) -> Progress:
    """Return what has been done for a request."""
    if interaction is None:
        return Progress()
    return Progress(interaction.created_at, frozenset(interaction.progress))


async def remember_progress(session: AsyncSession, interaction: Interaction, done: frozenset[str]) -> None:
    """Remember which pages of a waiting request are done. One statement."""
    mine = Interaction.token_hash == interaction.token_hash
    await session.execute(update(Interaction).where(mine).values(progress=sorted(done)))


async def delete_request(session: AsyncSession, interaction: Interaction) -> None:
    """Delete a request that was answered. One statement."""
    await session.execute(delete(Interaction).where(Interaction.token_hash == interaction.token_hash))


async def delete_expired_requests(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete requests that waited too long, at most ``limit``; return how many."""
    return await delete_batch(session, Interaction, Interaction.expires_at, limit, Interaction.expires_at < now)
