"""The userinfo endpoint (OpenID Connect Core section 5.3) with challenges of RFC 6750."""

from __future__ import annotations

from sqlalchemy.orm import Session

from sso.oidc.claims import user_claims
from sso.oidc.introspection import find_token
from sso.oidc.provider import Provider
from sso.oidc.requests import NO_STORE, Answer, ProtocolRequest
from sso.users.store import with_identifiers

_REALM = 'Bearer realm="sso"'


async def userinfo(provider: Provider, request: ProtocolRequest) -> Answer:
    """Answer a userinfo request: the token in the header, or in the body of a POST (RFC 6750 sections 2.1, 2.2).

    Raises:
        DatabaseUnavailable: when there is no database now.
    """
    token, refused = presented_token(request)
    if refused is not None:
        return refused
    async with provider.db.read() as session:
        return await session.run_sync(lambda sync: _answer(provider, sync, token))


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
    body = {"error": error, "error_description": text} if error else {}
    return Answer(status, body, [("WWW-Authenticate", value), *NO_STORE])


def _answer(provider: Provider, session: Session, token: str) -> Answer:
    found = find_token(provider, session, token)
    audience = found.claims.get("aud") if found else None
    ours = provider.settings.issuer in (audience if isinstance(audience, list) else [audience])
    if found is None or found.kind != "access_token" or found.grant is None or not ours:
        return challenge(401, "invalid_token", "The access token is not valid, not valid any more, or not for us.")
    scopes = found.claims["scope"].split()
    if "openid" not in scopes:
        return challenge(403, "insufficient_scope", "The access token needs the scope openid.", "openid")
    person = with_identifiers(session, found.grant.user_id)
    assert person is not None
    user, identifiers = person
    return Answer(200, {"sub": found.claims["sub"], **user_claims(user, identifiers, scopes)}, NO_STORE)
