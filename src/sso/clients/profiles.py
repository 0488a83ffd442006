"""What an application may relax, as one list: each relaxation has a name, the profiles that allow it, and a reason.

``standard`` allows none. An application that needs one says so with ``profile``, and is named by ``sso doctor``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Profile = Literal["standard", "legacy", "certification"]
PROFILES: tuple[Profile, ...] = ("standard", "legacy", "certification")
_RELAXED = ("legacy", "certification")


class RelaxableMetadata(Protocol):
    """The fields of a client's metadata that can relax a rule."""

    @property
    def profile(self) -> Profile: ...
    @property
    def require_pkce(self) -> bool: ...
    @property
    def response_types(self) -> Sequence[str]: ...
    @property
    def scope_claims_in_id_token(self) -> bool: ...
    @property
    def id_token_signed_response_alg(self) -> str | None: ...
    @property
    def request_object_signing_alg(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A strict rule that an application may be freed from.

    Args:
        name: the field and value that relax it.
        profiles: in which it is allowed.
        meaning: what is lost.
        used: tells whether an application uses it.
    """

    name: str
    profiles: tuple[str, ...]
    meaning: str
    used: Callable[[RelaxableMetadata], bool]


RELAXATIONS = (
    Relaxation(
        "require_pkce: false",
        _RELAXED,
        "The application may omit code_challenge. An attacker can then misuse a stolen code (RFC 9700 section 2.1.1).",
        lambda client: not client.require_pkce,
    ),
    Relaxation(
        "response_types: id_token, token",
        _RELAXED,
        "Tokens are returned in the address of the browser (RFC 9700 section 2.1.2).",
        lambda client: any(kind != "code" for kind in client.response_types),
    ),
    Relaxation(
        "scope_claims_in_id_token: true",
        _RELAXED,
        "The ID token contains the user data of the scopes. Applications store and forward ID tokens more often than "
        "userinfo responses.",
        lambda client: client.scope_claims_in_id_token,
    ),
    Relaxation(
        "id_token_signed_response_alg: none",
        ("certification",),
        "ID tokens are not signed; only TLS protects them (OpenID Connect Core section 2).",
        lambda client: client.id_token_signed_response_alg == "none",
    ),
    Relaxation(
        "request_object_signing_alg: none",
        ("certification",),
        "Anybody can make its request objects (OpenID Connect Core section 6.1).",
        lambda client: client.request_object_signing_alg == "none",
    ),
)


RESPONSE_TYPES, UNSIGNED_ID_TOKENS, UNSIGNED_REQUESTS = (
    "response_types: id_token, token",
    "id_token_signed_response_alg: none",
    "request_object_signing_alg: none",
)
"""Relaxations that discovery announces where they are permitted."""


def permitted(name: str, profiles: Collection[str]) -> bool:
    """Tell whether one of ``profiles`` permits a relaxation.

    Args:
        name: of the relaxation.
        profiles: those that are in use.
    """
    return any(rule.name == name and not set(rule.profiles).isdisjoint(profiles) for rule in RELAXATIONS)


def relaxations(client: RelaxableMetadata) -> list[str]:
    """Return the names of every rule that ``client`` is freed from."""
    return [rule.name for rule in RELAXATIONS if rule.used(client)]


def forbidden(relaxation: Relaxation, client: RelaxableMetadata) -> list[str]:
    """Return one line where ``client`` uses a relaxation that its profile does not allow."""
    if client.profile in relaxation.profiles or not relaxation.used(client):
        return []
    field = relaxation.name.partition(":")[0]
    return [f"{field}: {relaxation.name} needs profile: {' or '.join(relaxation.profiles)}"]
