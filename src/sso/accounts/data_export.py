"""A person's rights over their data: all of it in one document, and taking back what an application was allowed
(UU PDP 27/2022: access, portability, withdrawal of consent)."""

from __future__ import annotations

import base64
import uuid
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.authn.assurance import identity_level
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.users import store as users
from sso.identity.users.models import Credential, User
from sso.identity.users.service import open_nik
from sso.logout.end_sessions import end_client_sessions
from sso.oidc.provider import Provider
from sso.oidc.store import store as tokens
from sso.platform.audit import record
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import AuditFilter, content, page_of_events
from sso.portal.teams import teams_with

EVENTS = 1000
"""How many events are read at a time."""


async def everything_about(session: AsyncSession, provider: Provider, user_id: uuid.UUID) -> dict[str, Any]:
    """Return all personal data of somebody, as it is exported. What proves who they are is named, never shown.

    Args:
        session: for reading.
        provider: opens the NIK.
        user_id: who.
    """
    user = await session.get(User, user_id)
    assert user is not None
    identifiers = await users.identifiers_of(session, user_id)
    picture = await users.picture_of(session, user_id)
    reached, checked = await users.identity_of(session, user_id)
    return {
        "format": "sso-personal-data-1",
        "made_at": clock.now(),
        "account": {
            "id": str(user.id),
            "name": user.name,
            "profile": user.profile,
            "locale": user.locale,
            "preferences": user.preferences,
            "roles": await users.roles_of(session, user_id),
            "created_at": user.created_at,
            "updated_at": user.updated_at,
            "identity_level": identity_level(contact_verified=reached, checked=checked),
            "delete_at": user.delete_at,
        },
        "identifiers": [
            {
                "kind": one.kind,
                "value": open_nik(one, provider.box) or one.value,
                "primary": one.is_primary,
                "added_at": one.created_at,
                "verified_at": one.verified_at,
            }
            for one in identifiers
        ],
        "picture": {"type": "image/png", "base64": base64.b64encode(picture.image).decode()} if picture else None,
        "ways_to_sign_in": [_credential(one) for one in await users.credentials_of(session, user_id)],
        "identity_checks": [
            {"document": one.document, "place": one.place, "checked_at": one.checked_at, "revoked_at": one.revoked_at}
            for one in await users.checks_of(session, user_id)
        ],
        "agreements": [
            {"document": one.document, "version": one.version, "agreed_at": one.agreed_at}
            for one in await users.agreements_of(session, user_id)
        ],
        "ids_in_other_applications": [
            {"client_id": one.client_id, "local_user_id": one.local_user_id}
            for one in await users.local_accounts_of(session, user_id)
        ],
        "teams": await teams_with(session, user_id),
        **await _what_was_used(session, provider, user_id),
    }


async def _what_was_used(session: AsyncSession, provider: Provider, user_id: uuid.UUID) -> dict[str, Any]:
    names = {one.client_id: one.meta.client_name for one in provider.registry}
    events = await _events_of(session, user_id)
    return {
        "consents": [
            {"client_id": one.client_id, "name": names.get(one.client_id), "scopes": one.scopes, "at": one.updated_at}
            for one in await tokens.consents_of(session, user_id)
        ],
        "grants": [
            {
                "client_id": one.client_id,
                "name": names.get(one.client_id),
                "scope": one.scope,
                "at": one.created_at,
                "revoked_at": one.revoked_at,
            }
            for one in await tokens.grants_of(session, user_id)
        ],
        "sessions": [
            {
                "id": str(one.id),
                "signed_in_at": one.auth_time,
                "last_used_at": one.last_seen_at,
                "ended_at": one.ended_at,
                "device": one.user_agent,
                "network": one.address,
                "country": one.country,
            }
            for one in await sessions.all_of_user(session, user_id)
        ],
        "favourites": sorted(await users.favourites_of(session, user_id)),
        "activity": [content(one) for one in events],
    }


async def _events_of(session: AsyncSession, user_id: uuid.UUID) -> list[AuditEvent]:
    """Return every event about a person, the newest first, read a page at a time."""
    found: list[AuditEvent] = []
    wanted = AuditFilter(person=str(user_id))
    while True:
        page = await page_of_events(session, wanted, found[-1].id if found else None, EVENTS)
        found += page
        if len(page) < EVENTS:
            return found


def _credential(one: Credential) -> dict[str, Any]:
    return {"kind": one.kind, "name": one.name, "added_at": one.created_at, "last_used_at": one.last_used_at}


async def withdraw(
    session: AsyncSession,
    provider: Provider,
    user_id: uuid.UUID,
    client_id: str,
    *,
    address: str | None,
    request_id: str | None,
) -> None:
    """Take back what a person allowed an application: everything it was given is over at once, ``offline_access`` too,
    and it is told that its part in their sessions is.

    Args:
        session: the transaction.
        provider: the provider.
        user_id: who.
        client_id: the application.
        address: the network address it came from, in the form in which it is kept.
        request_id: the reference for log and audit.
    """
    who = str(user_id)
    await tokens.delete_consents(session, user_id=user_id, client_id=client_id)
    await tokens.revoke_grants_of_user(session, user_id, clock.now(), client_id=client_id)
    parts = await sessions.client_sessions_of_user(session, user_id, client_id)
    await end_client_sessions(session, provider, client_id, parts, EndReason.CONSENT_WITHDRAWN, actor=who)
    about: dict[str, Any] = {"address": address, "request_id": request_id}
    record(session, "consent.withdrawn", actor=who, subject=who, client_id=client_id, **about)
