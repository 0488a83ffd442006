"""What a city declares about attributes, with the mappers of its scopes: the checks of a new declaration, and the form
in which each process holds the present one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

import orjson
from pydantic import Field, field_validator
from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.claims import SCOPE_CLAIMS, SCOPE_OF
from sso.clients.mappers import (
    GROUPS,
    ROLES,
    ClaimMapper,
    ClaimMappers,
    is_taken,
    mistakes_between,
    usable_mappers,
)
from sso.clients.metadata import OIDC_SCOPES, ClientMetadata
from sso.identity.attributes import store
from sso.identity.attributes.definitions import Declaration, ScopeName, Texts
from sso.identity.attributes.models import AttributeDeclaration
from sso.platform.permissions import SCOPE_PREFIX


@cache
def reserved_names() -> frozenset[str]:
    """Return the names that the account, an import or the API has already."""
    # Few processes check a declaration: these modules load Babel.
    from sso.identity.users.rows import KNOWN
    from sso.identity.users.schemas import Address, NewUser, Profile, UserChange

    models = (Address, Profile, NewUser, UserChange)
    of_accounts = {"id", "sub", "status", "roles", "groups", "units", "password", "identifiers", "disabled", "deleted"}
    return frozenset({*KNOWN, *(name for model in models for name in model.model_fields), *of_accounts})


RESERVED_SCOPES = frozenset({*OIDC_SCOPES, *SCOPE_CLAIMS, "roles", "groups", "employee", "ssf.read", "ssf.manage"})
Mistake = tuple[tuple[str | int, ...], str]
"""Where in the file a mistake is, and what is wrong."""


class CityDeclaration(Declaration):
    """Everything that the file declares."""

    mappers: dict[ScopeName, ClaimMappers] = Field(
        default_factory=dict,
        description="Claims that are made from others, by the scope with which applications receive them.",
    )

    def stored(self) -> dict[str, object]:
        """Return the form that is stored, and exported: only what differs from the default."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True) | {
            "mappers": {
                scope: [mapper.model_dump(mode="json", exclude_none=True) for mapper in mappers]
                for scope, mappers in self.mappers.items()
            }
        }


class _StoredDeclaration(CityDeclaration):
    """A declaration that was checked before: a mapper that this release cannot use is left out."""

    @field_validator("mappers", mode="before")
    @classmethod
    def _usable(cls, value: object) -> object:
        return (
            {scope: usable_mappers(mappers) for scope, mappers in value.items()} if isinstance(value, dict) else value
        )


def stored_declaration(document: Mapping[str, object]) -> CityDeclaration:
    """Return a declaration that was checked when it was stored."""
    return _StoredDeclaration.model_validate(document)


def mistakes_in(declaration: CityDeclaration) -> list[Mistake]:
    """Return what is wrong between the parts of a declaration whose parts are right."""
    return [*_of_scopes(declaration), *_of_attributes(declaration), *_of_mappers(declaration)]


def _of_scopes(declaration: CityDeclaration) -> Iterator[Mistake]:
    used = {each.scope for each in declaration.attributes.values()} | set(declaration.mappers)
    for scope in declaration.scopes:
        if scope in RESERVED_SCOPES or scope.startswith(SCOPE_PREFIX):
            yield ("scopes", scope), f"{scope} is a scope of the provider: choose another name, such as city_{scope}"
        elif scope not in used:
            yield ("scopes", scope), f"no attribute and no mapper has the scope {scope}: use it, or take it out"
    for name, attribute in declaration.attributes.items():
        if attribute.scope is not None and attribute.scope not in declaration.scopes:
            text = f"{attribute.scope} is not declared: add it to scopes, with title and title#en"
            yield ("attributes", name, "scope"), text
    for scope in declaration.mappers:
        if scope not in declaration.scopes:
            yield ("mappers", scope), f"{scope} is not declared: add it to scopes, with title and title#en"


def _of_attributes(declaration: CityDeclaration) -> Iterator[Mistake]:
    claims: dict[str, str] = {}
    for name, attribute in declaration.attributes.items():
        if name in reserved_names():
            yield ("attributes", name), f"{name} is a field of every account: choose another name, such as city_{name}"
        if attribute.scope is None:
            continue
        claim = attribute.claim or name
        place = ("attributes", name, "claim") if attribute.claim else ("attributes", name)
        if is_taken(claim):
            yield place, f"the claim {claim} has a meaning already: name another one with claim, such as city_{claim}"
        elif claim.casefold() in claims:
            yield place, f"the claim {claim} is also that of {claims[claim.casefold()]}: name another one with claim"
        claims.setdefault(claim.casefold(), name)


def _of_mappers(declaration: CityDeclaration) -> Iterator[Mistake]:
    listed = [(scope, index) for scope, mappers in declaration.mappers.items() for index in range(len(mappers))]
    mappers = [declaration.mappers[scope][index] for scope, index in listed]
    for at, text in mistakes_between(mappers, _claims_of(declaration)):
        scope, index = listed[at]
        yield ("mappers", scope, index), text


def _claims_of(declaration: CityDeclaration) -> dict[str, str]:
    """Return the scope of each claim of an attribute."""
    return {
        attribute.claim or name: attribute.scope
        for name, attribute in declaration.attributes.items()
        if attribute.scope is not None
    }


@dataclass(frozen=True, slots=True)
class CityAttributes:
    """What a city declared, as a process holds it.

    Args:
        declaration: all of it.
        version: the id of the declaration; 0: there is none.
        claims: the claims of each scope; none where a scope has mappers alone.
        mappers: the mappers of each scope.
        since: when each claim came into its scope, by ``scope claim``, in seconds since 1970.
    """

    declaration: CityDeclaration = field(default_factory=CityDeclaration)
    version: int = 0
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mappers: Mapping[str, tuple[ClaimMapper, ...]] = field(default_factory=dict)
    since: Mapping[str, float] = field(default_factory=dict)

    def claim_names(self) -> list[str]:
        """Return every claim of an attribute or a mapper, in order."""
        named = [claim for claims in self.claims.values() for claim in claims]
        mapped = [mapper.claim for mappers in self.mappers.values() for mapper in mappers]
        return sorted({*named, *mapped})

    def texts(self, scope: str, claim: str = "") -> Texts | None:
        """Return the titles of a claim of a scope, or of the scope itself; None: it is not the city's."""
        if scope not in self.declaration.scopes:
            return None
        names = self.declaration.claims_of(scope)
        return self.declaration.attributes[names[claim]] if claim in names else self.declaration.scopes[scope]


NO_ATTRIBUTES = CityAttributes()
"""Where a city declared nothing."""


def city_attributes(declaration: CityDeclaration, version: int, since: Mapping[str, float]) -> CityAttributes:
    """Return a declaration in the form in which a process holds it."""
    return CityAttributes(
        declaration,
        version,
        MappingProxyType({scope: tuple(declaration.claims_of(scope)) for scope in declaration.scopes}),
        MappingProxyType({scope: tuple(mappers) for scope, mappers in declaration.mappers.items()}),
        MappingProxyType(dict(since)),
    )


async def city_attributes_of(session: AsyncSession) -> CityAttributes:
    """Return the declaration in effect, in the form in which a process holds it."""
    row = await store.newest_declaration(session)
    return city_attributes(*declaration_of(row)) if row is not None else NO_ATTRIBUTES


def declaration_of(row: AttributeDeclaration) -> tuple[CityDeclaration, int, dict[str, float]]:
    """Return a stored declaration, its id, and when each claim came into its scope."""
    return stored_declaration(orjson.loads(row.document)), row.id, row.since


async def check_mappers(session: AsyncSession, metadata: ClientMetadata) -> list[str]:
    """Return what is wrong with the mappers of an application that read claims of attributes, or make one of these."""
    if not metadata.claim_mappers:
        return []
    declaration = (await city_attributes_of(session)).declaration
    scope_of, scopes = _claims_of(declaration), metadata.scope.split()
    wrong = [f"claim_mappers: {at + 1}: {text}" for at, text in mistakes_between(metadata.claim_mappers, scope_of)]
    for index, mapper in enumerate(metadata.claim_mappers):
        for source in mapper.reads:
            if source in SCOPE_OF or source in (ROLES, GROUPS):
                continue
            scope = scope_of.get(source)
            if scope is None:
                wrong.append(f"claim_mappers: {index + 1}: {source} is no claim of this provider")
            elif scope not in scopes:
                wrong.append(f"claim_mappers: {index + 1}: {source} needs the scope {scope}, which is not registered")
    return wrong
