"""Making tokens: access tokens (RFC 9068, or opaque), ID tokens (OpenID Connect Core section 2), refresh tokens."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from authlib.oauth2.rfc6749 import InvalidRequestError

from sso import clock
from sso.clients.claims import ACCESS_SCOPES
from sso.clients.registry import Client
from sso.oidc.claims import (
    access_claims,
    attribute_claims,
    person_for,
    that_fit,
    user_claims,
    wants_attributes,
    with_mapped,
    withheld_from,
)
from sso.oidc.requests import ProtocolRequest
from sso.oidc.services import AccessTokenServices, IdTokenServices
from sso.oidc.store import store
from sso.oidc.store.store import LiveGrant
from sso.oidc.store.types import AccessTokenClaims, IdTokenClaims
from sso.oidc.token.client_keys import ClientKeys
from sso.oidc.token.families import FORMAT, new_refresh_token
from sso.platform.audit import record
from sso.platform.db import session_of
from sso.platform.security.jwe import CannotEncrypt, encrypt
from sso.platform.security.tokens import base64url, random_token, token_hash

ACCESS_TOKEN_TYP = "at+jwt"
ID_TOKEN_TYP = "JWT"
ACCESS_PREFIX = "at-"
ACCESS_PREFIX_WITH_ROLES = "at-r."
"""Of an opaque token of a user at an application that is told roles or groups: one look at the token says with which
statement it is found. No other token begins like this: what is random has no dot."""
_WITHOUT_CLAIMS_OF_THE_PERSON = ("openid", "offline_access", *ACCESS_SCOPES)


def token_response(request: ProtocolRequest, scope: str, *, refresh_token: str | None) -> dict[str, object]:
    """Return the body of a successful token response (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3).

    Args:
        request: with the client, and the grant where a person is behind it.
        scope: what is granted now; scopes that the application has not registered any more are left out.
        refresh_token: to be handed out, if any.
    """
    client: Client = request.client
    provider, grant = request.provider, request.grant
    scope = still_allowed(client, grant, scope)
    access_token = _issue_allowed(request, scope)
    body: dict[str, object] = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": provider.access_token_seconds(client),
        "scope": scope,
    }
    if refresh_token is not None:
        body["refresh_token"] = refresh_token
    scopes = scope.split()
    if grant is not None and "openid" in scopes:
        about = id_token_claims(request, grant, scopes, in_full=client.meta.scope_claims_in_id_token)
        body["id_token"] = id_token(provider, client, grant, access_token, about=about)
    return body


def still_allowed(client: Client, grant: LiveGrant | None, scope: str) -> str:
    """Return what of ``scope`` a token may hold now: what is still registered, and no privilege that the application
    does not have, or has not had all the time since ``grant``. Every token passes here, whatever its grant type.

    Args:
        client: the application.
        grant: what was granted; None: no person is behind it.
        scope: what was granted then.
    """
    alone, registered = grant is None or grant.asserted, client.get_allowed_scope(scope)
    return " ".join(
        client.still(registered.split(), alone=alone, granted_at=grant.granted_at if grant is not None else None)
    )


def first_tokens(request: ProtocolRequest, scope: str, with_refresh_token: bool) -> dict[str, object]:
    """Return the first token response of the grant of ``request``, and begin the family of its refresh tokens."""
    refresh_token = None
    if with_refresh_token:
        assert request.grant is not None
        grant = request.grant
        refresh_token = new_refresh_token(request.provider.refresh_family_key, grant.id, grant.client_id)
        row = refresh_token_row(request, grant, refresh_token)
        request.unsaved.append((store.insert_refresh_token, row))
    return token_response(request, scope, refresh_token=refresh_token)


def end_family(request: ProtocolRequest, grant_id: uuid.UUID, client_id: str, reason: str) -> None:
    """End a grant with everything that grew from it: what may be used once was used twice, so of two who hold it one
    stole it (RFC 9700 sections 4.5 and 4.14.2)."""
    if store.revoke_grant(request.session, grant_id, clock.now()):
        record(
            session_of(request.session),
            "grant.revoked",
            subject=str(grant_id),
            client_id=client_id,
            address=request.address,
            request_id=request.request_id,
            data={"reason": reason},
        )


def id_token_claims(
    request: ProtocolRequest, grant: LiveGrant, scopes: Collection[str], *, in_full: bool
) -> dict[str, object]:
    """Return what an ID token says besides the sign-in: of the person, and, of every granted scope and claim that was
    asked for by name, roles and groups. These are always in it: what protects pages reads nothing else.

    Args:
        request: with the client.
        grant: what was granted.
        scopes: what the tokens hold.
        in_full: whether it says what the other scopes allow too.
    """
    about = person_claims(request, grant, scopes if in_full else [])
    access_claims = roles_and_groups_claims(
        request.provider, request.client, grant, {*scopes, *grant.details.get("id_token", [])}
    )
    return with_mapped(request.client, scopes, {**about, **access_claims}) if about or access_claims else {}


def person_claims(request: ProtocolRequest, grant: LiveGrant, scopes: Iterable[str]) -> dict[str, object]:
    """Return what an ID token says of the person: the claims of ``scopes``, and those that were asked for by name
    (OpenID Connect Core sections 5.4, 5.5). One statement, none where it is nothing.

    Roles and groups are not among them: see :func:`roles_and_groups_claims`.
    """
    names, requested = set(grant.details.get("id_token", [])).difference(ACCESS_SCOPES), list(scopes)
    if not names and not set(requested).difference(_WITHOUT_CLAIMS_OF_THE_PERSON):
        return {}
    client, provider = request.client, request.provider
    person = person_for(request.session, grant.user_id, client, requested, names)
    if person is None:
        return {}
    hidden = withheld_from(client, grant.details, grant.granted_at)
    about = user_claims(person, requested, names, withheld=hidden, issuer=provider.settings.issuer, box=provider.box)
    if wants_attributes(client, requested, names):
        about |= attribute_claims(client, person, requested, names, grant, provider.registry.city, provider.box)
    return about


def roles_and_groups_claims(
    services: AccessTokenServices, client: Client, grant: LiveGrant, names: Collection[str]
) -> dict[str, list[str]]:
    """Return the claims ``roles`` and ``groups`` of a token: of this application alone, as they are now, and where they
    fit. No statement.

    Args:
        services: what this needs of the process.
        client: the application that the token is for.
        grant: what was granted, with what the user has in the application.
        names: scopes that the token holds, and claims that were asked for by name.
    """
    if not client.receives_access:
        return {}
    claims = access_claims(client, grant.access, names, withheld_from(client, grant.details, grant.granted_at))
    return that_fit(claims, services.settings.token_access_claims_size) if claims else {}


def issue_access_token(request: ProtocolRequest, scope: str) -> str:
    """Return a new access token for the client of ``request``, in the format that it registered. The server stores an
    opaque one when it saves the tokens of the request."""
    return _issue_allowed(request, still_allowed(request.client, request.grant, scope))


def _issue_allowed(request: ProtocolRequest, scope: str) -> str:
    """Do what :func:`issue_access_token` does, for scopes that have passed :func:`still_allowed`."""
    provider, client, grant = request.provider, request.client, request.grant
    now = clock.now()
    claims = _access_claims(provider, client, grant, scope, now)
    if client.meta.access_token_format == "jwt":
        if grant is not None:
            claims["grant_id"] = grant.id.hex
            # RFC 9068 section 2.2.3.1. An opaque token says nothing; introspection tells what is true then.
            access_claims = roles_and_groups_claims(provider, client, grant, scope.split())
            return provider.keys.sign({**access_claims, **claims}, provider.settings.signing_alg, ACCESS_TOKEN_TYP)
        return provider.keys.sign({**claims}, provider.settings.signing_alg, ACCESS_TOKEN_TYP)
    token = (
        ACCESS_PREFIX_WITH_ROLES if grant is not None and client.receives_access else ACCESS_PREFIX
    ) + random_token()
    row = {
        "token_hash": token_hash(token),
        "grant_id": grant.id if grant else None,
        "client_id": client.client_id,
        "claims": claims,
        "created_at": now,
        "expires_at": now + timedelta(seconds=provider.access_token_seconds(client)),
    }
    request.unsaved.append((store.insert_access_token, row))
    return token


def id_token(
    services: IdTokenServices,
    client: Client,
    grant: LiveGrant,
    access_token: str | None,
    code: str | None = None,
    about: Mapping[str, object] | None = None,
) -> str:
    """Return an ID token, encrypted where the application registered it (OpenID Connect Core sections 2 and 3.3.2.11).

    Args:
        services: what this needs of the process.
        client: the application.
        grant: what was granted.
        access_token: given together with it, if any.
        code: given together with it, if any.
        about: what it says of the person.

    Raises:
        InvalidRequestError: when there is no key with which to encrypt.
    """
    now = clock.timestamp()
    alg = services.id_token_alg(client)
    claims: IdTokenClaims = {
        "iss": services.settings.issuer,
        "sub": services.subject(client, grant.user_id),
        "aud": client.client_id,
        "exp": now + services.id_token_seconds,
        "iat": now,
        "auth_time": int(grant.auth_time.timestamp()),
        "acr": grant.acr,
        "amr": grant.amr,
    }
    if grant.nonce is not None:
        claims["nonce"] = grant.nonce
    if grant.sid is not None:
        claims["sid"] = grant.sid
    if access_token is not None and alg != "none":
        claims["at_hash"] = half_hash(access_token, alg)
    if code is not None:
        claims["c_hash"] = half_hash(code, alg)
    meta = client.meta
    signed = services.keys.sign({**(about or {}), **claims}, alg, ID_TOKEN_TYP)
    return encrypted(
        services.client_keys, client, signed, meta.id_token_encrypted_response_alg, meta.id_token_encrypted_response_enc
    )


def encrypted(client_keys: ClientKeys, client: Client, token: str, alg: str | None, enc: str | None) -> str:
    """Return ``token``, encrypted for an application where it registered ``alg``.

    Raises:
        InvalidRequestError: when there is no key with which to encrypt.
    """
    if alg is None or enc is None:
        return token
    keys = client_keys.known(client.meta.jwks, client.meta.jwks_uri)
    try:
        return encrypt(token, keys, alg, enc)
    except CannotEncrypt as error:
        raise InvalidRequestError(f"Cannot encrypt: {error}.") from None


def half_hash(value: str, alg: str) -> str:
    """Return at_hash or c_hash: the left half of the hash that belongs to ``alg`` (OpenID Connect Core 3.1.3.6).

    EdDSA with Ed25519 uses SHA-512.
    """
    digest = (hashlib.sha512 if alg == "EdDSA" else hashlib.sha256)(value.encode("ascii")).digest()
    return base64url(digest[: len(digest) // 2])


def refresh_token_row(request: ProtocolRequest, grant: LiveGrant, token: str) -> dict[str, object]:
    """Return the row of a refresh token of the family of ``grant``."""
    now = clock.now()
    return {
        "token_hash": token_hash(token),
        "grant_id": grant.id,
        "client_id": grant.client_id,
        "created_at": now,
        "expires_at": now + timedelta(seconds=request.provider.refresh_token_seconds(request.client)),
        "format": FORMAT,
    }


def _access_claims(
    services: AccessTokenServices, client: Client, grant: LiveGrant | None, scope: str, now: datetime
) -> AccessTokenClaims:
    """RFC 9068 section 2.2. A token that opens userinfo names the issuer in ``aud``, besides the client's own API."""
    issued = int(now.timestamp())
    issuer = services.settings.issuer
    audience: str | list[str] = client.meta.audience or issuer
    if client.meta.audience and "openid" in scope.split():
        audience = [client.meta.audience, issuer]
    claims: AccessTokenClaims = {
        "iss": issuer,
        "sub": services.subject(client, grant.user_id) if grant else client.client_id,
        "aud": audience,
        "client_id": client.client_id,
        "iat": issued,
        "exp": issued + services.access_token_seconds(client),
        "jti": secrets.token_hex(16),
        "scope": scope,
    }
    if grant is not None and not grant.asserted:
        claims |= {"auth_time": int(grant.auth_time.timestamp()), "acr": grant.acr, "amr": grant.amr}
    return claims
