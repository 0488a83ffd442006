"""The rights of users over their data (UU PDP 27/2022): access and portability in one document, and the withdrawal of
consent to an application."""

from __future__ import annotations

import base64
import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.attributes import every_value
from sso.accounts.employees import EmploymentView, employments_of
from sso.accounts.services import AccountChanges
from sso.clients.registry import Registry
from sso.identity.authn.assurance import identity_level
from sso.identity.groups import assignments, members, tree
from sso.identity.groups.models import Group, RoleAssignment
from sso.identity.notifications import notify
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.users import saved_searches
from sso.identity.users import store as users
from sso.identity.users.models import Credential, User
from sso.identity.users.service import open_nik
from sso.logout.end_sessions import end_client_sessions
from sso.oidc.store import store as tokens
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import AuditFilter, content, page_of_events
from sso.platform.security.encryption import SecretBox
from sso.portal.teams import teams_with

EVENTS = 1000
"""How many events are read at a time."""


async def export_data(session: AsyncSession, services: AccountChanges, user: User, actor: Actor) -> dict[str, object]:
    """Return all personal data of a user, record the export, and tell the user."""
    document = await everything_about(session, services.box, services.registry, user.id)
    record_by(session, actor, "user.exported", subject=str(user.id), address=actor.stored_ip_address)
    notify(session, services, user, "exported")
    return document


async def everything_about(
    session: AsyncSession, box: SecretBox, registry: Registry, user_id: uuid.UUID
) -> dict[str, object]:
    """Return all personal data of a user, as they are exported. Credentials are named, never shown.

    Args:
        session: for reading.
        box: decrypts the NIK.
        registry: the registered clients, for their names.
        user_id: the user.
    """
    user = await session.get(User, user_id)
    assert user is not None
    picture = await users.picture_of(session, user_id)
    return {
        "format": "sso-personal-data-1",
        "made_at": clock.now(),
        "account": await _account(session, user),
        "identifiers": await _identifiers(session, box, user_id),
        "attributes": await every_value(session, box, user_id),
        "picture": {"type": "image/png", "base64": base64.b64encode(picture.image).decode()} if picture else None,
        "ways_to_sign_in": [_credential(credential) for credential in await users.credentials_of(session, user_id)],
        "identity_checks": [
            {
                "document": check.document,
                "place": check.place,
                "checked_at": check.checked_at,
                "revoked_at": check.revoked_at,
            }
            for check in await users.checks_of(session, user_id)
        ],
        "employments": [_employment(entry) for entry in await employments_of(session, user_id)],
        "agreements": [
            {"document": agreement.document, "version": agreement.version, "agreed_at": agreement.agreed_at}
            for agreement in await users.agreements_of(session, user_id)
        ],
        "ids_in_other_applications": [
            {"client_id": account.client_id, "local_user_id": account.local_user_id}
            for account in await users.local_accounts_of(session, user_id)
        ],
        "teams": await teams_with(session, user_id),
        "memberships": await _memberships(session, user_id),
        "application_roles": await _application_roles(session, user_id),
        **await _what_was_used(session, registry, user_id),
    }


async def _memberships(session: AsyncSession, user_id: uuid.UUID) -> dict[str, object]:
    """Return the units and groups of a user, with those that ended, and the units that the user looks after."""
    return {
        "units_and_groups": [
            {
                "code": group.code,
                "name": group.name_id,
                "position": membership.position,
                "from": membership.valid_from,
                "until": membership.valid_until,
                "source": membership.source,
            }
            for membership, group in await members.memberships_of(session, user_id)
        ],
        "administrator_of": [group.code for group in await tree.units_recorded_for(session, user_id)],
    }


def _employment(entry: EmploymentView) -> dict[str, object]:
    row = entry.employment
    return {
        "nip": row.nip,
        "status": row.status,
        "grade": row.grade,
        "unit": entry.unit or None,
        "unit_code": entry.unit_code or None,
        "position": entry.position or None,
        "from": row.valid_from,
        "until": row.valid_until,
        "source": row.source,
        "verified_at": row.verified_at,
    }


async def _account(session: AsyncSession, user: User) -> dict[str, object]:
    reached, checked = await users.identity_of(session, user.id)
    return {
        "id": str(user.id),
        "name": user.name,
        "profile": user.profile,
        "locale": user.locale,
        "preferences": user.preferences,
        "roles": await users.roles_of(session, user.id),
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "identity_level": identity_level(contact_verified=reached, checked=checked),
        "delete_at": user.delete_at,
    }


async def _identifiers(session: AsyncSession, box: SecretBox, user_id: uuid.UUID) -> list[dict[str, object]]:
    return [
        {
            "kind": identifier.kind,
            "value": open_nik(identifier, box) or identifier.value,
            "primary": identifier.is_primary,
            "added_at": identifier.created_at,
            "verified_at": identifier.verified_at,
        }
        for identifier in await users.identifiers_of(session, user_id)
    ]


async def _application_roles(session: AsyncSession, user_id: uuid.UUID) -> list[dict[str, object]]:
    """Return the roles of a user in applications: those that were given to the user, ended ones too, and those that
    come from a unit or group now."""
    own = await assignments.all_of_user(session, user_id)
    held = await assignments.held_from(session, clock.now(), user_id=user_id)
    rows: list[tuple[RoleAssignment, Group | None, Group | None]] = [(row.assignment, row.unit, None) for row in own]
    rows += [(row.assignment, row.unit, row.group) for row in held if row.group is not None]
    return [
        {
            "client_id": assignment.client_id,
            "role": assignment.role,
            "unit": unit.code if unit is not None else None,
            "through": group.code if group is not None else None,
            "from": assignment.valid_from,
            "until": assignment.valid_until,
            "reason": assignment.reason,
            "given_at": assignment.created_at,
        }
        for assignment, unit, group in rows
    ]


async def _what_was_used(session: AsyncSession, registry: Registry, user_id: uuid.UUID) -> dict[str, object]:
    names = {client.client_id: client.meta.client_name for client in registry}
    events = await _events_of(session, user_id)
    return {
        "consents": [
            {
                "client_id": consent.client_id,
                "name": names.get(consent.client_id),
                "scopes": consent.scopes,
                "at": consent.updated_at,
            }
            for consent in await tokens.consents_of(session, user_id)
        ],
        "grants": [
            {
                "client_id": grant.client_id,
                "name": names.get(grant.client_id),
                "scope": grant.scope,
                "at": grant.created_at,
                "revoked_at": grant.revoked_at,
            }
            for grant in await tokens.grants_of(session, user_id)
        ],
        "sessions": [
            {
                "id": str(sso_session.id),
                "signed_in_at": sso_session.auth_time,
                "last_used_at": sso_session.last_seen_at,
                "ended_at": sso_session.ended_at,
                "device": sso_session.user_agent,
                "network": sso_session.address,
                "country": sso_session.country,
            }
            for sso_session in await sessions.all_of_user(session, user_id)
        ],
        "favourites": sorted(await users.favourites_of(session, user_id)),
        "saved_searches": [
            {"page": search.page, "name": search.name, "query": search.query, "saved_at": search.created_at}
            for search in await saved_searches.searches_of(session, user_id)
        ],
        "activity": [content(event) for event in events],
    }


async def _events_of(session: AsyncSession, user_id: uuid.UUID) -> list[AuditEvent]:
    """Return every event about a user, the newest first, read a page at a time."""
    events: list[AuditEvent] = []
    about_user = AuditFilter(person=str(user_id))
    while True:
        page = await page_of_events(session, about_user, events[-1].id if events else None, EVENTS)
        events += page
        if len(page) < EVENTS:
            return events


def _credential(credential: Credential) -> dict[str, object]:
    return {
        "kind": credential.kind,
        "name": credential.name,
        "added_at": credential.created_at,
        "last_used_at": credential.last_used_at,
    }


async def withdraw(
    session: AsyncSession,
    services: AccountChanges,
    user_id: uuid.UUID,
    client_id: str,
    *,
    actor: Actor,
) -> None:
    """Withdraw the consent of a user to an application: its grants end at once, ``offline_access`` too, and it is
    notified that its part in the sessions of the user has ended.

    Args:
        session: the transaction.
        services: how users and applications are told.
        user_id: the user.
        client_id: the application.
        actor: the user.
    """
    await tokens.delete_consents(session, user_id=user_id, client_id=client_id)
    await tokens.revoke_grants_of_user(session, user_id, clock.now(), client_id=client_id)
    parts = await sessions.client_sessions_of_user(session, user_id, client_id)
    await end_client_sessions(session, services, client_id, parts, EndReason.CONSENT_WITHDRAWN, actor=actor)
    record_by(
        session, actor, "consent.withdrawn", subject=str(user_id), client_id=client_id, address=actor.stored_ip_address
    )
