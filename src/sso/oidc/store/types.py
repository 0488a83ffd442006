"""What is stored as JSON with a grant and in tokens, by its fields."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict
from uuid import UUID


class GrantDetails(TypedDict, total=False):
    """What a grant records besides its columns.

    ``userinfo`` and ``id_token`` are the claims that were requested by name (OpenID Connect Core section 5.5);
    ``withheld`` the claims that the client does not receive by this grant; ``network`` the registered network and
    ``level`` the authentication context of the sign-in, where access rules need them at renewal; ``assertion`` marks a
    grant by an assertion, for which nobody signed in (RFC 7523); ``renewed`` a ticket of the CAS protocol for which the
    user signed in.
    """

    userinfo: list[str]
    id_token: list[str]
    withheld: list[str]
    network: str
    level: str
    assertion: bool
    renewed: bool


class GrantColumns(TypedDict):
    """The columns of a grant that a token is made from."""

    id: UUID
    client_id: str
    user_id: UUID
    session_id: UUID | None
    scope: str
    nonce: str | None
    auth_time: datetime
    acr: str
    amr: list[str]
    redirect_uri: str | None
    code_challenge: str | None
    details: GrantDetails


class AccessTokenClaims(TypedDict, total=False):
    """The claims of an access token (RFC 9068 section 2.2). ``grant_id`` is ours: the grant behind the token."""

    iss: str
    sub: str
    aud: str | list[str]
    client_id: str
    iat: int
    exp: int
    jti: str
    scope: str
    auth_time: int
    acr: str
    amr: list[str]
    grant_id: str


class IdTokenClaims(TypedDict, total=False):
    """The claims of an ID token that are about the sign-in (OpenID Connect Core section 2)."""

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    auth_time: int
    nonce: str
    acr: str
    amr: list[str]
    sid: str
    at_hash: str
    c_hash: str
