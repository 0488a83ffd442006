"""The userinfo endpoint (OpenID Connect Core section 5.3) with challenges of RFC 6750."""

from __future__ import annotations

import orjson
from authlib.oauth2.rfc6749 import InvalidRequestError

from sso import clock
from sso.clients.registry import Client
from sso.oidc.claims import (
    access_claims,
    attribute_claims,
    person_for,
    user_claims,
    wants_attributes,
    with_mapped,
    withheld_from,
)
from sso.oidc.requests import NO_STORE, Answer, Outdated, ProtocolRequest, oauth_error
from sso.oidc.services import UserinfoServices
from sso.oidc.token.client_keys import KeysUnavailable
from sso.oidc.token.introspection import find_token
from sso.oidc.token.issue import encrypted
from sso.platform.db import Work

_REALM = 'Bearer realm="sso"'


async def userinfo(services: UserinfoServices, request: ProtocolRequest) -> Answer:
    """Answer a userinfo request: the token in the header, or in the body of a POST (RFC 6750 sections 2.1, 2.2).

    Raises:
        DatabaseUnavailable: when there is no database now.
    """
    token, refused = presented_token(request)
    if refused is not None:
        return refused
    try:
        result = await _find(services, token, looked=False)
    except Outdated:
        await services.look()
        result = await _find(services, token, looked=True)
    if isinstance(result, Answer):
        return result
    request.client = result[0]
    return await _in_its_form(services, *result)


async def _find(services: UserinfoServices, token: str, *, looked: bool) -> Answer | tuple[Client, dict[str, object]]:
    return await services.db.run_read(lambda work: _claims(services, work, token, looked))


async def _in_its_form(services: UserinfoServices, client: Client, claims: dict[str, object]) -> Answer:
    """Return the claims as JSON, or as the JWT that the application registered (section 5.3.2)."""
    meta = client.meta
    signing, encryption = meta.userinfo_signed_response_alg, meta.userinfo_encrypted_response_alg
    if signing is None and encryption is None:
        return Answer(200, claims, NO_STORE)
    token = orjson.dumps(claims).decode("utf-8")
    if signing is not None:
        about = {"iss": services.settings.issuer, "aud": client.client_id, "iat": clock.timestamp()}
        token = services.keys.sign({**claims, **about}, signing)
    if encryption is not None:
        try:
            await services.client_keys.ready(meta.jwks_uri)
            token = encrypted(services.client_keys, client, token, encryption, meta.userinfo_encrypted_response_enc)
        except (KeysUnavailable, InvalidRequestError) as error:
            return oauth_error(400, "invalid_request", str(error))
    return Answer(200, token, [("Content-Type", "application/jwt"), *NO_STORE])


def presented_token(request: ProtocolRequest) -> tuple[str, Answer | None]:
    """Return the bearer token of a request, or the answer where there is none or more than one."""
    authorization = request.headers.get("authorization", "")
    scheme, _, value = authorization.partition(" ")
    in_header = value.strip() if scheme.lower() == "bearer" else ""
    in_body = request.form.get("access_token", "")
    if (in_header and in_body) or len(request.payload.datalist.get("access_token", [])) > 1:
        return "", challenge(400, "invalid_request", "Send the access token once.")
    token = in_header or in_body
    if not token:
        return "", challenge(401)
    return token, None


def challenge(status: int, error: str = "", text: str = "", scope: str = "") -> Answer:
    """Return an answer with a challenge (RFC 6750 section 3)."""
    value = _REALM
    if error:
        value += f', error="{error}", error_description="{text}"'
    if scope:
        value += f', scope="{scope}"'
    return oauth_error(status, error, text, [("WWW-Authenticate", value)])


def _claims(
    services: UserinfoServices, work: Work, token: str, looked: bool
) -> Answer | tuple[Client, dict[str, object]]:
    found_token = find_token(services, work, token, looked=looked)
    audience = found_token.claims.get("aud") if found_token else None
    ours = services.settings.issuer in (audience if isinstance(audience, list) else [audience])
    if found_token is None or found_token.kind != "access_token" or found_token.grant is None or not ours:
        return challenge(401, "invalid_token", "The access token is not valid, not valid any more, or not for us.")
    scopes = found_token.claims["scope"].split()
    if "openid" not in scopes:
        return challenge(403, "insufficient_scope", "The access token needs the scope openid.", "openid")
    client, grant = services.registry.get(found_token.client_id), found_token.grant
    assert client is not None
    names = grant.details.get("userinfo", [])
    person = person_for(work, grant.user_id, client, scopes, names)
    assert person is not None
    hidden = withheld_from(client, grant.details, grant.granted_at)
    about = user_claims(person, scopes, names, withheld=hidden, issuer=services.settings.issuer, box=services.box)
    if wants_attributes(client, scopes, names):
        about |= attribute_claims(client, person, scopes, names, grant, services.registry.city, services.box)
    about |= access_claims(client, grant.access, {*scopes, *names}, hidden)
    return client, {"sub": found_token.claims["sub"], **with_mapped(client, scopes, about)}
