"""The ``claims`` parameter (OpenID Connect Core section 5.5): single claims, asked for by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from authlib.oauth2.rfc6749 import InvalidRequestError

from sso.clients.claims import SCOPE_OF
from sso.oidc.store.types import GrantDetails
from sso.platform.security.json_documents import DocumentRefused, NotJson, read_json

MAX_CHARS = 8192


@dataclass(frozen=True, slots=True)
class ClaimsRequest:
    """What was asked for, as far as the application may have it.

    ``sub`` must be the person's. ``acr`` holds the values of which one is needed, where it is essential; ``acr_values``
    those that are wished for.
    """

    userinfo: tuple[str, ...] = ()
    id_token: tuple[str, ...] = ()
    sub: str | None = None
    acr: frozenset[str] | None = None
    acr_values: tuple[str, ...] = ()

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that hold these claims: what a person is asked to allow. Those of attributes are allowed one by
        one."""
        return frozenset(SCOPE_OF[name] for name in self.names if name in SCOPE_OF)

    @property
    def names(self) -> tuple[str, ...]:
        """Every claim that is asked for."""
        return (*self.userinfo, *self.id_token)

    def stored(self) -> GrantDetails:
        """Return what must be kept until the tokens are made."""
        details: GrantDetails = {}
        if self.userinfo:
            details["userinfo"] = list(self.userinfo)
        if self.id_token:
            details["id_token"] = list(self.id_token)
        return details


NOTHING = ClaimsRequest()


def read_claims_request(
    text: str | None,
    allowed_scopes: Collection[str],
    withheld: Collection[str] = (),
    attributes: Collection[str] = (),
) -> ClaimsRequest:
    """Read the parameter.

    Args:
        text: its value, JSON.
        allowed_scopes: the scopes that the application registered: claims of others are left out, without an error.
        withheld: claims that it does not receive all the same: they are left out too.
        attributes: the claims of attributes that the application may have.

    Raises:
        InvalidRequestError: when it is not what section 5.5 describes.
    """
    if text is None:
        return NOTHING
    if len(text) > MAX_CHARS:
        raise InvalidRequestError(f"claims must have at most {MAX_CHARS} characters.")
    try:
        document = read_json(text)
    except NotJson:
        raise InvalidRequestError("claims must be a JSON object (OpenID Connect Core section 5.5).") from None
    except DocumentRefused as error:
        raise InvalidRequestError(f"claims {error}.") from None
    if not isinstance(document, dict):
        raise InvalidRequestError("claims must be a JSON object (OpenID Connect Core section 5.5).")
    userinfo, id_token = _member(document, "userinfo"), _member(document, "id_token")
    acr = id_token.get("acr") or {}
    values = _values("acr", acr)
    return ClaimsRequest(
        userinfo=_names(userinfo, allowed_scopes, withheld, attributes),
        id_token=_names(id_token, allowed_scopes, withheld, attributes),
        sub=_sub(userinfo, id_token),
        acr=frozenset(values) if acr.get("essential") is True and values else None,
        acr_values=values,
    )


ClaimsMember = Mapping[str, Mapping[str, object] | None]
"""A member of the parameter: the claims that are asked for, each with what is asked of it (section 5.5.1)."""


def _member(document: Mapping[str, object], name: str) -> ClaimsMember:
    member = {} if document.get(name) is None else document[name]
    if not isinstance(member, dict) or not all(wish is None or isinstance(wish, dict) for wish in member.values()):
        raise InvalidRequestError(f"claims: {name} must hold claims, each with null or an object.")
    return member


def _names(
    member: Mapping[str, object],
    allowed_scopes: Collection[str],
    withheld: Collection[str],
    attributes: Collection[str],
) -> tuple[str, ...]:
    """Return the claims of a person, without language tags (section 5.2): there is one of each."""
    bare = dict.fromkeys(name.partition("#")[0] for name in member)
    return tuple(
        name for name in bare if name in attributes or (SCOPE_OF.get(name) in allowed_scopes and name not in withheld)
    )


def _values(name: str, wish: Mapping[str, object]) -> tuple[str, ...]:
    values = wish.get("values", [])
    allowed = [wish["value"]] if "value" in wish else values
    if not isinstance(allowed, list) or not all(isinstance(value, str) for value in allowed):
        raise InvalidRequestError(f"claims: value and values of {name} must be text.")
    return tuple(allowed)


def _sub(userinfo: ClaimsMember, id_token: ClaimsMember) -> str | None:
    subs = {value for member in (userinfo, id_token) for value in _values("sub", member.get("sub") or {})}
    if len(subs) > 1:
        raise InvalidRequestError("claims: sub must have one value.")
    return next(iter(subs), None)
