"""Reads the facts for ``oidc/demands.py``: one reader for pages, grants, and tokens in use.

What most applications need comes with the statements of each flow. Only an application that asks for roles, for an
identity or for an invitation (a sandbox) costs one statement more.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.access_policy import network_of
from sso.clients.models import application_of
from sso.clients.registry import Client
from sso.identity.authn.assurance import IDENTITY_LEVELS
from sso.identity.sessions.store import ActiveSession
from sso.identity.test_users import MARK, is_test
from sso.identity.users.store import Person
from sso.oidc.demands import Facts, Unmet, Way, unmet
from sso.oidc.requests import ProtocolRequest
from sso.oidc.store.standing import Standing, standing_of
from sso.oidc.store.store import LiveGrant
from sso.oidc.store.types import GrantDetails
from sso.platform.db import Executor, run_bridged
from sso.settings import Settings


def must_read(client: Client, stated_acr: str = "") -> bool:
    """Tell whether a demand of ``client``, or the level ``reported_acr`` that a token names, needs a statement of its
    own."""
    meta = client.meta
    by_path = meta.gate is not None and meta.gate.role_paths
    limited = meta.allowed_roles or meta.minimum_identity or by_path
    return bool(client.sandbox or limited or stated_acr in IDENTITY_LEVELS)


async def standing_at_page(session: AsyncSession, client: Client, user_id: UUID) -> Standing:
    """Return what is known of a user who is at a page. One statement."""
    standing = await run_bridged(session, lambda sync: _read(sync, client, user_id))
    return standing or Standing(user_id, usable=False)


def _read(session: Executor, client: Client, user_id: UUID) -> Standing | None:
    return standing_of(
        session,
        user_id,
        client.client_id,
        application_of(client.client_id),
        now=clock.now(),
        with_access=client.limited_by_access,
        with_employment=client.for_employees,
    )


def from_session(person: Person, live: ActiveSession) -> Standing:
    """Return what the session of a user tells of them. No statement."""
    return Standing(person.id, leaving=person.leaving, locked_until=person.locked_until, test=is_test(live))


def facts_at_page(
    settings: Settings, standing: Standing, live: ActiveSession, address: str, *, since: datetime | None = None
) -> Facts:
    """Return the facts about a user who is at a page.

    Args:
        settings: the settings.
        standing: what is known of the user.
        live: the session.
        address: the network address that the user comes from.
        since: when the request came for which the user signed in.
    """
    return Facts(
        moment=clock.now(),
        zone=settings.time_zone,
        address=address,
        standing=standing,
        acr=live.acr,
        auth_time=live.auth_time,
        since=since,
    )


def recorded(client: Client, address: str, level: str = "", stated_acr: str = "") -> GrantDetails:
    """Return what a new grant records, so that demands hold at renewal: no address, but which registered network held
    it; and the level of the sign-in where the token names another."""
    details: GrantDetails = {}
    network = network_of(client.meta.allowed_networks, address)
    if network:
        details["network"] = network
    if level != stated_acr:
        details["level"] = level
    return details


def unmet_by_grant(
    settings: Settings, session: Executor, way: Way, client: Client, grant: LiveGrant, address: str | None = None
) -> Unmet | None:
    """Return which demand the user of a grant does not meet any more, or None.

    Args:
        settings: the settings.
        session: for reading, within the bridge.
        way: the renewal, or the use of a token.
        client: the application.
        grant: what was granted.
        address: where the request comes from. Of an application that keeps a secret it is its server's and tells
            nothing of the user.
    """
    return unmet_with_standing(settings, way, client, grant, standing_of_grant(session, client, grant), address)


def unmet_with_standing(
    settings: Settings,
    way: Way,
    client: Client,
    grant: LiveGrant,
    standing: Standing | None,
    address: str | None = None,
) -> Unmet | None:
    """Return the same where the user's standing was read before (:func:`standing_of_grant`). No statement."""
    facts = Facts(
        moment=clock.now(),
        zone=settings.time_zone,
        address=address if client.meta.is_public and way is not Way.IN_USE else None,
        network=grant.details.get("network"),
        standing=standing,
        acr=grant.details.get("level", grant.acr),
        reported_acr=grant.acr,
        scopes=frozenset(grant.scope.split()),
        asked_by_page=grant.redirect_uri is None,
    )
    return unmet(way, client, facts)


def unmet_by_program(settings: Settings, way: Way, client: Client, address: str | None = None) -> Unmet | None:
    """Return which demand a program that acts for itself does not meet, or None. No statement."""
    return unmet(way, client, Facts(moment=clock.now(), zone=settings.time_zone, address=address or ""))


def unmet_by_assertion(request: ProtocolRequest, client: Client, standing: Standing, acr: str) -> Unmet | None:
    """Return which demand the user does not meet whom an assertion names, or None. No statement."""
    zone = request.provider.settings.time_zone
    facts = Facts(moment=clock.now(), zone=zone, address=request.caller, standing=standing, acr=acr, reported_acr=acr)
    return unmet(Way.JWT_BEARER, client, facts)


def standing_of_grant(session: Executor, client: Client, grant: LiveGrant) -> Standing | None:
    """Return what is known of the user of a grant. A statement only where the application asks for it."""
    if not must_read(client, grant.acr):
        return Standing(
            grant.user_id,
            leaving=bool(grant.leaving),
            locked_until=grant.locked_until,
            test=MARK in grant.amr,
            consented=tuple(grant.consented or ()),
        )
    return _read(session, client, grant.user_id)
