"""The registration endpoint (RFC 7591, OpenID Connect Dynamic Client Registration) and the client configuration
endpoint (RFC 7592): who may register, and answers. What may be registered is in ``clients/dynamic_registration.py``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients import dynamic_registration as rules
from sso.clients.dynamic_registration import Registered, RegistrationRefused
from sso.clients.metadata import ClientMetadata
from sso.clients.profiles import Profile
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectsWouldChange
from sso.oidc.requests import NO_STORE, Answer, description, oauth_error
from sso.oidc.services import RegistrationServices
from sso.oidc.subjects import ACCEPT, check_subjects
from sso.oidc.userinfo import challenge
from sso.platform.actor import Actor
from sso.platform.db import Database
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json
from sso.settings import Settings

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound


async def register(services: RegistrationServices, authorization: str, body: bytes, address: str | None) -> Answer:
    """Answer a registration (RFC 7591 section 3).

    Args:
        provider: the services.
        authorization: the Authorization header.
        body: the JSON that was sent.
        address: the network address it came from.

    Raises:
        DatabaseUnavailable: when there is no database now.
    """
    token = _bearer(authorization)
    try:
        profile = await _allowed_profile(services.settings, services.db, token)
        metadata = await _read(services.settings, services.outbound, _json(body), profile)
        async with services.db.write() as session:
            if token:
                await rules.use_invitation(session, token)
            metadata = metadata.model_copy(update={"kept_sector": None})  # a new application has none to keep
            registered = await rules.register(session, services.box, metadata, address=address)
    except RegistrationRefused as error:
        return _error(error)
    await services.refresh()
    return _answer(services.settings, 201, registered, registered.token or "")


async def read(services: RegistrationServices, client_id: str, authorization: str) -> Answer:
    """Answer with what is registered (RFC 7592 section 2.1). Secrets are kept as hashes only, and are not repeated."""
    token = _bearer(authorization)
    try:
        return _answer(services.settings, 200, await _present(services.db, client_id, token), token)
    except RegistrationRefused as error:
        return _error(error)


async def update(
    services: RegistrationServices, client_id: str, authorization: str, body: bytes, address: str | None
) -> Answer:
    """Answer an update (RFC 7592 section 2.2): what is left out is taken back to its default."""
    token = _bearer(authorization)
    try:
        present, document = await _present(services.db, client_id, token), _json(body)
        await services.look()  # another process may have made the secret a moment ago
        client = services.registry.get(client_id)
        rules.check_update(present, document, client.check_client_secret if client else lambda _: False)
        metadata = await _read(services.settings, services.outbound, document, present.metadata.profile)
        accepted = document.get("accept_new_subjects") if isinstance(document, dict) else None
        async with services.db.write() as session:
            await _check_subjects(session, present, metadata, accepted if isinstance(accepted, str) else "")
            registered = await rules.replace_registration(session, services.box, present, metadata, address=address)
    except RegistrationRefused as error:
        return _error(error)
    await services.refresh()
    return _answer(services.settings, 200, registered, token)


async def _check_subjects(session: AsyncSession, present: Registered, metadata: ClientMetadata, accepted: str) -> None:
    before = present.metadata
    if metadata.kept_sector is not None and metadata.kept_sector != before.kept_sector:
        # Anybody can register a redirect URI on the host of another application: that proves no sector.
        text = "kept_sector: is for the city to decide: prove the sector with a sector_identifier_uri on its host."
        raise RegistrationRefused("invalid_client_metadata", text)
    try:
        await check_subjects(
            session, present.client_id, before, metadata, accepted=accepted, actor=Actor("registration")
        )
    except SubjectsWouldChange as error:
        raise RegistrationRefused(
            "invalid_client_metadata", f"{SubjectsWouldChange(error.changes, ACCEPT, may_keep=False)}."
        ) from None
    except ClientError as error:
        raise RegistrationRefused("invalid_client_metadata", f"{error}.") from None


EndClientSessions = Callable[[AsyncSession, str], Awaitable[None]]
"""Ends what was granted to a client and its sessions, in the transaction that removes the client."""


async def delete(
    services: RegistrationServices,
    client_id: str,
    authorization: str,
    address: str | None,
    end_client_sessions: EndClientSessions,
) -> Answer:
    """Answer a deletion (RFC 7592 section 2.3)."""
    try:
        present = await _present(services.db, client_id, _bearer(authorization))
    except RegistrationRefused as error:
        return _error(error)
    async with services.db.write() as session:
        await rules.remove_registration(session, present, address=address)
        await end_client_sessions(session, client_id)
    await services.refresh()
    return Answer(204, "", NO_STORE)


async def _allowed_profile(settings: Settings, db: Database, token: str) -> Profile:
    if not token:
        if settings.client_registration == "open":
            return settings.client_registration_profile
        raise RegistrationRefused("invalid_token", "Registration needs an initial access token (RFC 7591 section 3).")
    async with db.read() as session:
        return await rules.find_invitation(session, token)


async def _present(db: Database, client_id: str, token: str) -> Registered:
    async with db.read() as session:
        return await rules.find_registered(session, client_id, token)


async def _read(settings: Settings, outbound: Outbound, document: object, profile: Profile) -> ClientMetadata:
    metadata = rules.read_registration(document, profile, settings.loopback)
    await rules.check_sector(outbound, metadata)
    return metadata


def _json(body: bytes) -> object:
    try:
        return read_json(body)
    except NotJson:
        raise RegistrationRefused("invalid_client_metadata", "Send a JSON object (RFC 7591 section 3.1).") from None
    except DocumentRefused as error:
        raise RegistrationRefused("invalid_client_metadata", f"The JSON {error}.") from None


def _bearer(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _answer(settings: Settings, status: int, registered: Registered, token: str) -> Answer:
    uri = settings.issuer + f"/register/{registered.client_id}"
    return Answer(status, rules.information(registered, uri, token), NO_STORE)


def _error(refused: RegistrationRefused) -> Answer:
    text = description(str(refused))
    if refused.error == "invalid_token":
        return challenge(401, "invalid_token", text)
    return oauth_error(400, refused.error, text)
