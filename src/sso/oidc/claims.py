"""What an application learns of a person: the claims of each scope (OpenID Connect Core section 5.4)."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import cast

import orjson

from sso import clock
from sso.clients.attributes import CityAttributes
from sso.clients.claims import ACCESS_SCOPES, SCOPE_CLAIMS, SCOPE_OF
from sso.clients.mappers import mapped
from sso.clients.registry import Client
from sso.clients.roles import group_claims, role_claims
from sso.identity.attributes.values import read_stored
from sso.identity.authn.assurance import identity_level
from sso.identity.employees.store import with_employment
from sso.identity.groups.store import Access
from sso.identity.users.addresses import address_claim
from sso.identity.users.service import open_nik
from sso.identity.users.store import Known, KnownIdentifier, with_identifiers
from sso.oidc.store.store import LiveGrant
from sso.oidc.store.types import GrantDetails
from sso.platform.db import Executor
from sso.platform.security.encryption import SecretBox

ALWAYS = ("local_user_id", "local_user_ids")
"""What only the application itself ever knew is told to it without being asked for."""
MAX_ENTRIES = 500
"""How many roles, and how many groups, userinfo and introspection tell at most: the first in alphabetical order."""
_EMPLOYEE = frozenset(SCOPE_CLAIMS["employee"])
ID_TOKEN_CLAIMS = ("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "c_hash")


def kept_with_grant(client: Client, details: GrantDetails) -> GrantDetails:
    """Return the details of a new grant, with the claims that the application does not receive: what it may have later
    was not allowed with this grant."""
    stored = details.copy()
    if client.withheld:
        stored["withheld"] = sorted(client.withheld)
    return stored


def withheld_from(client: Client, details: GrantDetails, granted_at: float | None = None) -> Collection[str]:
    """Return the claims that an application does not receive by a grant: those that it did not name, now or when the
    grant was made; those of scopes that it has not registered any more; and restricted data that it may not have.

    Args:
        client: the application.
        details: of the grant.
        granted_at: when the grant was made, in seconds since 1970; None: at this moment.
    """
    refused = client.refused_claims(granted_at)
    return client.withheld.union(details.get("withheld") or (), _of_other_scopes(client.scopes), refused)


@lru_cache(maxsize=1000)
def _of_other_scopes(scopes: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name, scope in SCOPE_OF.items() if scope not in scopes)


def person_for(
    session: Executor, user_id: uuid.UUID, client: Client, scopes: Collection[str], names: Collection[str]
) -> Known | None:
    """Return a user with everything that the claims of ``scopes`` and ``names`` need. One statement, which reads the
    employment and the attributes only for an application that receives something of them."""
    attributes = wants_attributes(client, scopes, names)
    asks = "employee" in scopes or not _EMPLOYEE.isdisjoint(names)
    if asks and "employee" in client.scopes:
        return with_employment(session, user_id, client.client_id, clock.now(), attributes=attributes)
    return with_identifiers(session, user_id, client.client_id, attributes=attributes)


def user_claims(
    person: Known,
    scopes: Iterable[str],
    names: Iterable[str] = (),
    *,
    withheld: Collection[str],
    issuer: str,
    box: SecretBox,
) -> dict[str, object]:
    """Return the claims that ``scopes`` allow, and those of ``names``; what is not known is left out (5.3.2).

    Args:
        person: everything that is known.
        scopes: what was granted.
        names: claims that were asked for by name.
        withheld: claims that the application does not receive all the same.
        issuer: the origin under which pictures are.
        box: opens the NIK, where it is wanted.
    """
    known: dict[str, object] = {
        **person.profile,
        **person.employment,
        "name": person.name,
        "locale": person.locale,
        "updated_at": int(person.updated_at.timestamp()),
        "local_user_id": person.local_user_ids[0] if person.local_user_ids else None,
        "local_user_ids": person.local_user_ids or None,
        "identity_level": _identity(person),
    }
    if person.identity_checked_at is not None:
        known["identity_checked_at"] = int(person.identity_checked_at.timestamp())
    if person.picture_id is not None:
        known["picture"] = f"{issuer}/picture/{person.picture_id}"
    requested = [*ALWAYS, *(name for scope in scopes for name in SCOPE_CLAIMS.get(scope, ())), *names]
    if withheld:
        requested = [name for name in requested if name not in withheld]
    for identifier in person.identifiers:
        if identifier.kind == "nik":
            if "nik" in requested and identifier.verified_at is not None:
                known["nik"] = open_nik(identifier, box)
        elif identifier.is_primary:
            known.update(_identifier_claims(identifier))
    if "address" in requested and person.profile.get("address"):
        known["address"] = address_claim(cast(Mapping[str, str], person.profile["address"]))
    return {name: known[name] for name in requested if known.get(name) is not None}


def wants_attributes(client: Client, scopes: Iterable[str], names: Iterable[str]) -> bool:
    """Tell whether the application receives attributes: with one of ``scopes``, or by a claim among ``names``."""
    if not client.city_scopes:
        return False
    return any(client.city_scopes.get(scope) for scope in scopes) or any(name in client.city_scope_of for name in names)


def attribute_claims(
    client: Client,
    person: Known,
    scopes: Collection[str],
    names: Collection[str],
    grant: LiveGrant,
    city: CityAttributes,
    box: SecretBox,
) -> dict[str, object]:
    """Return the attributes of a user that an application receives.

    A scope gives them if it is registered, of specific data granted all the time since, and only claims that were in
    the scope when the grant was made: what a city adds to a scope later was not allowed with it.

    Args:
        client: the application.
        person: everything that is known, with the stored values.
        scopes: what was granted.
        names: claims that were asked for by name.
        grant: what was granted, and when.
        city: what the city declared.
        box: opens values of specific data.
    """
    claims: dict[str, object] = {}
    requested = {client.city_scope_of[name] for name in names if name in client.city_scope_of}
    requested |= {scope for scope in scopes if scope in client.city_scopes}
    granted_at = grant.granted_at
    for scope in client.still(sorted(requested), alone=False, granted_at=granted_at):
        for claim, name in city.declaration.claims_of(scope).items():
            stored = person.attributes.get(name) if scope in scopes or claim in names else None
            if stored is not None and (granted_at is None or city.since.get(f"{scope} {claim}", 0) <= granted_at):
                claims[claim] = read_stored(stored, name, grant.user_id, box)
    return {name: value for name, value in claims.items() if name not in grant.details.get("withheld", ())}


def with_mapped(client: Client, scopes: Collection[str], claims: Mapping[str, object]) -> dict[str, object]:
    """Return the claims that an application receives, with the results of mappers: of the city for the scopes that were
    granted, then its own. They read nothing but ``claims``."""
    if not client.city_mappers and not client.meta.claim_mappers:
        return dict(claims)
    mappers = [mapper for scope, listed in client.city_mappers.items() if scope in scopes for mapper in listed]
    return mapped([*mappers, *client.meta.claim_mappers], claims)


def _identity(person: Known) -> str:
    contacts = [
        identifier
        for identifier in person.identifiers
        if identifier.kind in ("email", "phone") and identifier.verified_at is not None
    ]
    checked = person.identity_checked_at is not None
    return identity_level(contact_verified=bool(contacts), checked=checked)


def access_claims(
    client: Client, access: Access, names: Collection[str], withheld: Collection[str] = ()
) -> dict[str, list[str]]:
    """Return the claims ``roles`` and ``groups`` of a user at an application, each where ``names`` has it: also where
    the user has none, so that a claim that is missing is one that was left out (:func:`that_fit`).

    Args:
        client: the application. It learns roles that it defines and groups that it registered, no others.
        access: what the user has in this application.
        names: scopes that were granted, and claims that were asked for by name.
        withheld: claims that the application does not receive all the same.
    """
    if not client.receives_access:
        return {}
    claims: dict[str, list[str]] = {}
    if "roles" in names and "roles" not in withheld:
        claims["roles"] = role_claims(access.roles, client.meta.application_roles)[:MAX_ENTRIES]
    if "groups" in names and "groups" not in withheld:
        claims["groups"] = group_claims(access.groups, client.meta.groups_of_interest)[:MAX_ENTRIES]
    return claims


def that_fit(claims: dict[str, list[str]], size: int) -> dict[str, list[str]]:
    """Return what a token says of :func:`access_claims`: both where they have at most ``size`` bytes as JSON together;
    else the roles, else the groups, where these alone have; else nothing. A claim is never cut."""
    for fitting in (claims, *({name: claims[name]} for name in ACCESS_SCOPES if name in claims)):
        if len(orjson.dumps(fitting)) <= size:
            return fitting
    return {}


def claims_supported() -> list[str]:
    """Return every claim that can be in an ID token or at userinfo."""
    return [*ID_TOKEN_CLAIMS, *ALWAYS, *(name for names in SCOPE_CLAIMS.values() for name in names)]


def _identifier_claims(identifier: KnownIdentifier) -> dict[str, object]:
    verified = identifier.verified_at is not None
    if identifier.kind == "email":
        return {"email": identifier.value, "email_verified": verified}
    if identifier.kind == "phone":
        return {"phone_number": identifier.value, "phone_number_verified": verified}
    return {"preferred_username": identifier.value}
