"""Every registered application in the memory of each process.

The registry keeps the stored form of all applications and builds a :class:`Client` when one is first used. It follows
the database by the counter ``clients``: only rows with a greater version are read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.access_policy import is_by_access
from sso.clients.attributes import NO_ATTRIBUTES, CityAttributes
from sso.clients.claims import ACCESS_SCOPES, SCOPE_CLAIMS, permissions, withheld
from sso.clients.metadata import ClientMetadata
from sso.clients.models import REMOVED, SANDBOX
from sso.clients.privileges import Held, effective_scopes, held_of
from sso.clients.profiles import Profile
from sso.clients.redirect_uris import is_registered
from sso.platform.permissions import RESTRICTED_SCOPES, is_restricted
from sso.platform.security.tokens import equal, token_hash

ENABLED = ("active", SANDBOX)
"""The statuses of an application that can be used."""
MAX_BUILT = 5000
MAX_LISTED = 500


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret's hash, and when it ends (None: it does not)."""

    id: UUID
    hash: bytes
    encrypted: bytes | None
    expires_at: datetime | None


class Client:
    """A registered application, as the protocol sees it, with the methods that Authlib calls (its ``ClientMixin``).

    ``first_party``: it is the city's own, and people are not asked for consent; never a sandbox. ``held``: the
    privileges that it was granted. ``scopes``: what it may have with a person: registered and, of privileges, granted;
    ``scopes_alone``: without one. ``receives_access``: it may learn the roles or groups of users;
    ``limited_by_access``: its own roles, or units or groups, decide who may use it; ``for_employees``: the role
    ``employee`` does. ``city_scopes``: the scopes among its own that the city declared, with their claims;
    ``city_scope_of``: the scope of each of these claims; ``city_mappers``: the mappers of these scopes.
    """

    __slots__ = (
        "city",
        "city_mappers",
        "city_scope_of",
        "city_scopes",
        "client_id",
        "enabled",
        "first_party",
        "for_employees",
        "held",
        "limited_by_access",
        "meta",
        "receives_access",
        "removed",
        "sandbox",
        "scopes",
        "scopes_alone",
        "secrets",
        "withheld",
    )  # fmt: skip

    def __init__(
        self,
        client_id: str,
        status: str,
        meta: ClientMetadata,
        secrets: tuple[Secret, ...],
        held: Mapping[str, Held] | None = None,
        city: CityAttributes = NO_ATTRIBUTES,
    ) -> None:
        self.client_id = client_id
        self.enabled = status in ENABLED
        self.sandbox = status == SANDBOX
        self.removed = status == REMOVED
        self.meta = meta
        self.secrets = secrets
        self.first_party = meta.first_party and not self.sandbox
        self.held = dict(held or {})
        scopes, alone = effective_scopes(meta.scope.split(), self.first_party and not self.removed, self.held)
        self.scopes, self.scopes_alone = frozenset(scopes), frozenset(alone - city.claims.keys())
        self.withheld = withheld(meta.claim_reasons)
        self.receives_access = not self.scopes.isdisjoint(ACCESS_SCOPES)
        limits = [*meta.allowed_roles, *(meta.gate.every_role() if meta.gate is not None else ())]
        self.limited_by_access = any(is_by_access(entry) for entry in limits)
        self.for_employees = "employee" in limits
        self.city = city
        self.city_scopes = {scope: city.claims[scope] for scope in sorted(self.scopes & city.claims.keys())}
        self.city_scope_of = {claim: scope for scope, claims in self.city_scopes.items() for claim in claims}
        self.city_mappers = {scope: city.mappers[scope] for scope in self.city_scopes if scope in city.mappers}

    def permissions(self, scopes: Iterable[str], names: Collection[str] = ()) -> frozenset[str]:
        """Return what a user is asked to allow where the application asks for ``scopes``, and for the claims ``names``
        of attributes."""
        requested = permissions(scopes, self.meta.claim_reasons, self.city_scopes)
        if not self.city_scope_of or not names:
            return requested
        return requested.union(f"{scope} {name}" for name in names if (scope := self.city_scope_of.get(name)))

    def name(self, locale: str) -> str:
        """Return its name in the language of ``locale``."""
        return (self.meta.client_name_en if locale == "en" else None) or self.meta.client_name

    def description(self, locale: str) -> str:
        """Return what it is for, in the language of ``locale``."""
        return (self.meta.description_en if locale == "en" else None) or self.meta.description or ""

    @property
    def logo_version(self) -> str:
        """What changes when its logo is somewhere else."""
        return token_hash(self.meta.logo_uri or "").hex()[:8]

    def current_secrets(self) -> list[Secret]:
        """Return the secrets that are valid now."""
        now = clock.now()
        return [secret for secret in self.secrets if secret.expires_at is None or secret.expires_at > now]

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        """Return nothing: OpenID Connect Core section 3.1.2.1 requires redirect_uri."""
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join([name for name in (scope or "").split() if name in self.scopes])

    def not_granted(self, scopes: Iterable[str], *, alone: bool = False) -> list[str]:
        """Return the privileges among ``scopes`` that the application does not have: it cannot ask for them."""
        mine = self.scopes_alone if alone else self.scopes
        return sorted({scope for scope in scopes if is_restricted(scope) and scope not in mine})

    def still(self, scopes: Iterable[str], *, alone: bool, granted_at: float | None) -> list[str]:
        """Return those of ``scopes`` that what was given at a moment may hold now: no privilege that was revoked
        meanwhile, not even where it was granted again.

        Args:
            scopes: what was given.
            alone: whether no person is behind it.
            granted_at: seconds since 1970; None: now.
        """
        mine = self.scopes_alone if alone else self.scopes
        return [
            scope
            for scope in scopes
            if not is_restricted(scope)
            or (scope in mine and (granted_at is None or granted_at >= self.held[scope].since))
        ]

    def refused_claims(self, granted_at: float | None) -> frozenset[str]:
        """Return the claims of restricted data that a grant of this moment does not give (see :meth:`still`)."""
        allowed = self.still(RESTRICTED_SCOPES, alone=False, granted_at=granted_at)
        return frozenset(name for scope in RESTRICTED_SCOPES if scope not in allowed for name in SCOPE_CLAIMS[scope])

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return is_registered(redirect_uri, self.meta.redirect_uris, self.meta.application_type)

    def check_post_logout_redirect_uri(self, uri: str) -> bool:
        """Tell whether ``uri`` is registered for the way back after signing out."""
        return is_registered(uri, self.meta.post_logout_redirect_uris, self.meta.application_type)

    def check_client_secret(self, client_secret: str) -> bool:
        return self.secret_like(client_secret) is not None

    def secret_like(self, client_secret: str) -> Secret | None:
        """Return which of the secrets that are valid now is ``client_secret``, in a time that does not tell."""
        presented = token_hash(client_secret)
        right = [secret for secret in self.current_secrets() if equal(secret.hash, presented)]
        return right[0] if right else None

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return bool(self.meta.token_endpoint_auth_method == method)

    def check_response_type(self, response_type: str) -> bool:
        return response_type in self.meta.response_types

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.meta.grant_types


@dataclass(frozen=True, slots=True)
class _Row:
    status: str
    profile: Profile
    metadata: bytes
    secrets: tuple[Secret, ...]
    held: Mapping[str, Held]


class Registry:
    """The applications of one process."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._built: dict[str, Client] = {}
        self._listed: list[Client] | None = None
        self._with_access: list[Client] | None = None
        self._with_employment: list[Client] | None = None
        self._services: dict[str, list[str]] | None = None
        self._profiles: frozenset[Profile] | None = None
        self._seen = 0
        self._removals = 0
        self.city = NO_ATTRIBUTES
        """What the city declared: attributes of users, their scopes and mappers."""

    def take_attributes(self, city: CityAttributes) -> None:
        """Take over what the city declared now."""
        self.city = city
        self._built.clear()
        self._listed = None

    def __len__(self) -> int:
        return sum(1 for row in self._rows.values() if row.status != REMOVED)

    def get(self, client_id: str) -> Client | None:
        """Return the application ``client_id``, enabled or not, or None."""
        client = self.known(client_id)
        return client if client is not None and not client.removed else None

    def known(self, client_id: str) -> Client | None:
        """Return the application ``client_id``, also one that was removed: it is still told what ended."""
        client = self._built.get(client_id)
        if client is not None:
            return client
        row = self._rows.get(client_id)
        if row is None:
            return None
        metadata = stored_metadata(orjson.loads(row.metadata))
        client = Client(client_id, row.status, metadata, row.secrets, row.held, self.city)
        if len(self._built) >= MAX_BUILT:
            self._built.clear()
        self._built[client_id] = client
        return client

    def enabled(self, client_id: str) -> Client | None:
        """Return the application ``client_id`` where it is known and enabled."""
        client = self.get(client_id)
        return client if client is not None and client.enabled else None

    def __iter__(self) -> Iterator[Client]:
        for client_id in list(self._rows):
            client = self.get(client_id)  # nothing for those that were removed
            if client is not None:
                yield client

    def listed(self) -> list[Client]:
        """Return the city's applications, those with a group, by name, without sandboxes; 500 at the most. Not all can
        be opened from here: that takes an ``initiate_login_uri``."""
        if self._listed is None:
            marked = [name for name, row in self._rows.items() if b'"group"' in row.metadata]
            enabled = (self.enabled(name) for name in marked[:MAX_LISTED])
            chosen = [client for client in enabled if client is not None and client.meta.group and not client.sandbox]
            self._listed = sorted(chosen, key=lambda client: client.meta.client_name.casefold())
        return self._listed

    def with_access(self) -> list[Client]:
        """Return the applications, sandboxes too, that define roles or want to hear of groups."""
        if self._with_access is None:
            marks = (b'"application_roles"', b'"groups_of_interest"')
            marked = [name for name, row in self._rows.items() if any(mark in row.metadata for mark in marks)]
            clients = [client for name in marked if (client := self.get(name)) is not None]
            self._with_access = [
                client for client in clients if client.meta.application_roles or client.meta.groups_of_interest
            ]
        return self._with_access

    def with_employment(self) -> list[Client]:
        """Return the applications that have the scope ``employee``."""
        if self._with_employment is None:
            marked = [name for name, row in self._rows.items() if b"employee" in row.metadata]
            clients = [client for name in marked if (client := self.get(name)) is not None]
            self._with_employment = [client for client in clients if "employee" in client.scopes]
        return self._with_employment

    def of_service(self, service: str, *, after_logout: bool = False) -> list[Client]:
        """Return the applications of type ``cas`` that registered a service URL, or with ``after_logout`` an address
        for the way back, exactly: enabled or not, sandboxes only where no application in production has it."""
        if self._services is None:
            self._services = {}
            marked = [name for name, row in self._rows.items() if b'"cas"' in row.metadata]
            for client in filter(None, map(self.get, marked)):
                if client.meta.type == "cas":
                    for uri in {*client.meta.redirect_uris, *client.meta.post_logout_redirect_uris}:
                        self._services.setdefault(uri, []).append(client.client_id)
        marked_clients = filter(None, map(self.get, self._services.get(service, [])))
        check = Client.check_post_logout_redirect_uri if after_logout else Client.check_redirect_uri
        known = [client for client in marked_clients if client.meta.type == "cas" and check(client, service)]
        return [client for client in known if not client.sandbox] or known

    def services_at(self, scheme: str, netloc: str) -> list[str]:
        """Return the applications of type ``cas`` in production with a service URL at an origin."""
        self.of_service("")
        start, at_origin = f"{scheme}://{netloc}", set()
        for uri, names in (self._services or {}).items():
            if uri == start or uri.startswith((f"{start}/", f"{start}?")):
                at_origin |= {name for name in names if (client := self.get(name)) is not None and not client.sandbox}
        return sorted(at_origin)

    @property
    def profiles(self) -> frozenset[Profile]:
        """The profiles of the applications that are enabled."""
        if self._profiles is None:
            self._profiles = frozenset(row.profile for row in self._rows.values() if row.status in ENABLED)
        return self._profiles

    async def load(self, session: AsyncSession, versions: Mapping[str, int]) -> int:
        """Read what changed; everything where applications were deleted. Return how many rows that were.

        Args:
            session: for reading.
            versions: the counters, read before: what changes while this runs is read again the next time.
        """
        removals = versions.get("client_removals", 0)
        whole = removals != self._removals
        seen = 0 if whole else self._seen
        secrets = await store.secrets_of_changed(session, seen)
        privileges = await store.privileges_of_changed(session, seen)
        rows: dict[str, _Row] = {}
        async for client_id, status, metadata in store.changed_clients(session, seen):
            mine = tuple(Secret(*values) for values in secrets.get(client_id, []))
            held = held_of(privileges.get(client_id, []))
            rows[client_id] = _Row(status, _profile_of(metadata), metadata.encode(), mine, held)
        if whole:
            self._rows, self._built = rows, {}
        else:
            self._rows.update(rows)
            for client_id in rows:
                self._built.pop(client_id, None)
        self._listed = self._profiles = self._with_access = self._with_employment = self._services = None
        self._seen, self._removals = versions.get("clients", 0), removals
        return len(rows)


def _profile_of(metadata: str) -> Profile:
    """Return the profile in stored metadata: nearly all applications have the usual one, and are not read for that."""
    if '"profile"' not in metadata and '"require_pkce"' not in metadata:
        return "standard"
    return _stored_profile(orjson.loads(metadata))


def _stored_profile(data: dict[str, object]) -> Profile:
    old = data.get("require_pkce") is False  # stored before there were profiles
    return cast(Profile, data.get("profile", "legacy" if old else "standard"))


def stored_metadata(data: dict[str, object]) -> ClientMetadata:
    """Return the metadata that was validated when it was stored.

    Fields of a newer release are left out, so that both can run on one database while one replaces the other.
    """
    known = {name: value for name, value in data.items() if name in _FIELDS}
    known["profile"] = _stored_profile(known)
    return ClientMetadata.model_validate(known, context={"allow_http_loopback": True, "stored": True})


_FIELDS = frozenset(field.alias or name for name, field in ClientMetadata.model_fields.items())
