"""What an application may learn of a person: the claims of each scope (OpenID Connect Core section 5.4), and which of
them it has said that it needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

SCOPE_CLAIMS: dict[str, tuple[str, ...]] = {
    "profile": (
        "name",
        "family_name",
        "given_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
    "identity": ("identity_level", "identity_checked_at"),
    "nik": ("nik",),
    "roles": ("roles",),
    "groups": ("groups",),
    "employee": ("nip", "unit", "unit_code", "position", "grade", "employment_status"),
}
ACCESS_SCOPES = ("roles", "groups")
"""Scopes of what a user may do in the application: the claim of each has its name."""
SCOPE_OF = {name: scope for scope, names in SCOPE_CLAIMS.items() for name in names}
COMES_WITH = {
    "family_name": "name",
    "given_name": "name",
    "middle_name": "name",
    "profile": "website",
    "zoneinfo": "locale",
    "email_verified": "email",
    "phone_number_verified": "phone_number",
    "identity_checked_at": "identity_level",
    "unit_code": "unit",
}
"""Claims that are a part of another, or say something of it: they are had with it, and need no reason of their own."""
NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})
WITH_ANY = "updated_at"
"""The claim that is had with any other of its scope."""


@lru_cache(maxsize=100)
def data_of(scope: str) -> tuple[str, ...]:
    """Return the claims of a scope that can be had, or not, each by itself."""
    return tuple(name for name in SCOPE_CLAIMS.get(scope, ()) if name not in COMES_WITH and name != WITH_ANY)


def with_its_parts(claim: str) -> tuple[str, ...]:
    """Return a claim of :func:`data_of`, and those that come with it."""
    return (claim, *(name for name, main in COMES_WITH.items() if main == claim))


def withheld(named: Collection[str]) -> frozenset[str]:
    """Return the claims that an application does not receive although it has their scope.

    Args:
        named: the claims that it has named, with a reason for each. Of a scope of which it named none, it has all.
    """
    limited = {SCOPE_OF[name] for name in named if name in SCOPE_OF}
    return frozenset(
        name
        for scope in limited
        for name in SCOPE_CLAIMS[scope]
        if name != WITH_ANY and COMES_WITH.get(name, name) not in named
    )


def permissions(
    scopes: Iterable[str], named: Collection[str], declared: Mapping[str, Collection[str]] = NOTHING
) -> frozenset[str]:
    """Return what a person is asked to allow: each scope or, where an application has only some claims of it, each of
    these as ``scope claim``. Then more of the same scope is asked for again.

    Args:
        scopes: what the application asks for.
        named: as at :func:`withheld`.
        declared: the claims of each scope that the city declared: a user is asked for each of them, so that an
            attribute that is added to a scope later is asked for again.
    """
    claims: set[str] = set()
    for scope in scopes:
        some = [f"{scope} {name}" for name in data_of(scope) if name in named]
        some += [f"{scope} {name}" for name in declared.get(scope, ())]
        claims.update(some or [scope])
    return frozenset(claims)


def allowed_by(permitted: Iterable[str]) -> frozenset[str]:
    """Return what was allowed, with what it holds: whoever allowed a scope allowed every claim of it."""
    given = frozenset(permitted)
    return given | {f"{scope} {name}" for scope in given for name in data_of(scope)}


def shortest(permitted: Collection[str]) -> list[str]:
    """Return what was allowed without what is in it anyway, in order."""
    return sorted(scope for scope in permitted if " " not in scope or scope.partition(" ")[0] not in permitted)
