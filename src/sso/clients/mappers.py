"""Claim mappers: a closed list of ways to make a claim from others. There is no expression language.

A mapper only sees the claims that the application receives anyway (:func:`mapped`), and never the result of another
mapper, so that no mapper reveals what an application may not have, and none can loop.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from sso.clients.claims import SCOPE_OF
from sso.clients.roles import check_interest, check_role_name
from sso.platform.security.text import check_line

MAX_MAPPERS, MAX_SOURCES = 30, 10
MAX_JOINED_CHARS = 2000
PROTOCOL_CLAIMS = frozenset(
    {
        "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "auth_time", "nonce", "acr", "amr", "azp", "sid",
        "at_hash", "c_hash", "s_hash", "client_id", "scope", "cnf", "act", "may_act", "events", "active", "token_type",
        "username", "grant_id", "sub_id", "txn", "toe", "roles", "groups", "entitlements", "local_user_id",
        "local_user_ids", "_claim_names", "_claim_sources", "email_verified", "phone_number_verified", "htm", "htu",
    }
)  # fmt: skip
"""Claims of the protocol and of this provider (RFC 7519, RFC 7662, RFC 9068, OpenID Connect Core): no city and no
application gives them another meaning."""
ROLES, GROUPS = "roles", "groups"
_CLAIM = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*", re.ASCII)
_TAKEN = frozenset(name.casefold() for name in (*PROTOCOL_CLAIMS, *SCOPE_OF))


def is_taken(claim: str) -> bool:
    """Tell whether a claim has a meaning of its own already, in any spelling."""
    return claim.casefold() in _TAKEN


def check_target(claim: str) -> str:
    """Return the name of a claim that a mapper may make.

    Raises:
        ValueError: when it is none, or has a meaning already.
    """
    if len(claim) > 60 or not _CLAIM.fullmatch(claim):
        raise ValueError(
            f"{claim[:60]!r} must be at most 60 letters and digits in words joined by _, such as employeeNumber"
        )
    if is_taken(claim):
        raise ValueError(f"{claim} has a meaning already, and a mapper cannot change it: choose another name")
    return claim


def check_source(claim: str) -> str:
    """Return the name of a claim that a mapper may read.

    Raises:
        ValueError: when it is none.
    """
    if len(claim) > 60 or not _CLAIM.fullmatch(claim):
        raise ValueError(f"{claim[:60]!r} is not the name of a claim")
    if claim in PROTOCOL_CLAIMS and claim not in SCOPE_OF:
        instead = {ROLES: "; use kind: from_role", GROUPS: "; use kind: from_group"}.get(claim, "")
        raise ValueError(f"{claim} is a claim of the protocol, and cannot be a source{instead}")
    return claim


Target = Annotated[str, AfterValidator(check_target)]
Source = Annotated[str, AfterValidator(check_source)]
Sources = Annotated[list[Source], Field(min_length=1, max_length=MAX_SOURCES)]
ShortText = Annotated[str, Field(max_length=200), AfterValidator(check_line)]
Constant = Annotated[ShortText | bool | int, Field(union_mode="left_to_right")]
_CLOSED = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


class _Mapper(BaseModel):
    """What every mapper has."""

    model_config = _CLOSED

    claim: Target = Field(description="The claim that it makes.")

    @property
    def reads(self) -> tuple[str, ...]:
        """The claims that it reads."""
        return ()

    def result(self, claims: Mapping[str, object]) -> object:
        """Return the value of its claim; None: there is none."""
        raise NotImplementedError


class Copy(_Mapper):
    """The same value under another name as well."""

    kind: Literal["copy"]
    source: Source = Field(description="The claim that it reads.")

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    def result(self, claims: Mapping[str, object]) -> object:
        return claims.get(self.source)


class Rename(Copy):
    """The same value under another name instead."""

    kind: Literal["rename"]  # type: ignore[assignment]


class FirstOf(_Mapper):
    """The value of the first source that has one."""

    kind: Literal["first_of"]
    sources: Sources = Field(description="The claims that it reads, in this order.")

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.sources)

    def result(self, claims: Mapping[str, object]) -> object:
        return next((claims[source] for source in self.sources if claims.get(source) is not None), None)


class ConstantValue(_Mapper):
    """Always the same value."""

    kind: Literal["constant"]
    value: Constant = Field(description="Text, a whole number, or true or false.")

    def result(self, claims: Mapping[str, object]) -> object:
        return self.value


class Join(_Mapper):
    """The texts and numbers of the sources, joined. Sources without a value are left out."""

    kind: Literal["join"]
    sources: Sources = Field(description="The claims that it reads, in this order.")
    separator: Annotated[str, Field(max_length=10), AfterValidator(check_line)] = Field(
        " ", description="What stands between two values."
    )

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.sources)

    def result(self, claims: Mapping[str, object]) -> object:
        values = [claims.get(source) for source in self.sources]
        texts = [str(value) for value in values if isinstance(value, (str, int)) and not isinstance(value, bool)]
        text = self.separator.join(texts)
        return text if texts and len(text) <= MAX_JOINED_CHARS else None


class FromRole(_Mapper):
    """A value for users who have a role of the application."""

    kind: Literal["from_role"]
    role: Annotated[str, AfterValidator(check_role_name)] = Field(description="The role.")
    value: Constant = Field(True, description="The value of the claim.")

    @property
    def reads(self) -> tuple[str, ...]:
        return (ROLES,)

    def result(self, claims: Mapping[str, object]) -> object:
        return self.value if _contains(claims.get(ROLES), self.role) else None


class FromGroup(_Mapper):
    """A value for users who belong to a unit or group that the application receives."""

    kind: Literal["from_group"]
    group: Annotated[str, AfterValidator(check_interest)] = Field(description="The code of the unit or group.")
    value: Constant = Field(True, description="The value of the claim.")

    @field_validator("group")
    @classmethod
    def _one_group(cls, value: str) -> str:
        if value.endswith("/*"):
            raise ValueError("must be one code; the code of a unit holds for the members of the units below it too")
        return value

    @property
    def reads(self) -> tuple[str, ...]:
        return (GROUPS,)

    def result(self, claims: Mapping[str, object]) -> object:
        return self.value if _contains(claims.get(GROUPS), self.group) else None


KINDS: tuple[type[_Mapper], ...] = (Copy, Rename, FirstOf, ConstantValue, Join, FromRole, FromGroup)
ClaimMapper = Annotated[
    Copy | Rename | FirstOf | ConstantValue | Join | FromRole | FromGroup, Field(discriminator="kind")
]
ClaimMappers = Annotated[list[ClaimMapper], Field(max_length=MAX_MAPPERS)]
_ADAPTER: TypeAdapter[ClaimMapper] = TypeAdapter(ClaimMapper)


def usable_mappers(stored: object) -> list[object]:
    """Return the stored mappers that this release can use: a claim of theirs may have a meaning now."""
    usable: list[object] = []
    for document in stored if isinstance(stored, list) else []:
        try:
            usable.append(_ADAPTER.validate_python(document))
        except ValidationError:
            continue
    return usable


def mapped(mappers: Iterable[_Mapper], claims: Mapping[str, object]) -> dict[str, object]:
    """Return the claims of an application with the results of its mappers.

    Args:
        mappers: as they were checked; a mapper whose claim has a meaning or is there already makes nothing.
        claims: exactly what the application receives.
    """
    results: dict[str, object] = {}
    renamed: set[str] = set()
    for mapper in mappers:
        value = None if is_taken(mapper.claim) or mapper.claim in claims else mapper.result(claims)
        if value is None or mapper.claim in results:
            continue
        results[mapper.claim] = value
        if isinstance(mapper, Rename) and mapper.source not in PROTOCOL_CLAIMS:
            renamed.add(mapper.source)
    return {name: value for name, value in claims.items() if name not in renamed} | results


def mistakes_between(mappers: Sequence[_Mapper], others: Collection[str] = ()) -> list[tuple[int, str]]:
    """Return what is wrong between mappers, each with the index of its mapper.

    Args:
        mappers: each checked alone.
        others: claims that exist besides those of the specifications, such as those of attributes.
    """
    wrong: list[tuple[int, str]] = []
    names = [mapper.claim.casefold() for mapper in mappers]
    known = {name.casefold() for name in others}
    for index, mapper in enumerate(mappers):
        if names[index] in names[:index]:
            wrong.append((index, f"claim: {mapper.claim} is made by two mappers: take one out"))
        if names[index] in known:
            wrong.append((index, f"claim: {mapper.claim} is the claim of an attribute: choose another name"))
        for source in mapper.reads:
            if source.casefold() in names:
                wrong.append((index, f"{source} is the result of a mapper: a mapper reads no other mapper's result"))
    return wrong


def _contains(values: object, name: str) -> bool:
    return isinstance(values, list) and name in values
