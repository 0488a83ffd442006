"""How an application proves who it is (RFC 6749 section 2.3, RFC 7523, OpenID Connect Core section 9).

Exactly one way, the registered one. Failures look the same whether the application is unknown, disabled or wrong.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

import jwt
from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError

from sso import clock
from sso.clients.registry import Client
from sso.oidc.requests import ProtocolRequest
from sso.security.box import CannotOpen
from sso.security.replay import first_use
from sso.security.tokens import equal, token_hash

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_MAX_SECONDS = 3600
"""What widespread libraries put into ``exp`` at most; the ``jti`` is remembered as long."""
ASSERTION_MAX_CHARS = 8192
LEEWAY_SECONDS = 10
CLIENT_AUTH_METHODS = (
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "none",
)
ASSERTION_ALGS = ("RS256", "PS256", "ES256", "EdDSA", "HS256")
_ASYMMETRIC = ["RS256", "PS256", "ES256", "EdDSA"]
_NOBODY = token_hash("nobody")


class ClientRefused(InvalidClientError):
    """Client authentication failed: 401, with a challenge where Basic was used (RFC 6749 section 5.2)."""

    def __init__(self, text: str = "Client authentication failed.", *, basic: bool = False) -> None:
        super().__init__(description=text, status_code=401)
        self._basic = basic

    def get_headers(self) -> list[tuple[str, str]]:
        headers = [(name, value) for name, value in super().get_headers() if name.lower() != "www-authenticate"]
        if self._basic:
            headers.append(("WWW-Authenticate", 'Basic realm="sso", charset="UTF-8"'))
        return headers


def authenticate_client(request: ProtocolRequest) -> Client:
    """Return the application that sent ``request``.

    Raises:
        InvalidRequestError: for credentials sent twice or in the address.
        ClientRefused: for everything else.
    """
    form = request.form
    if any(name in request.query.data for name in ("client_secret", "client_assertion", "code", "refresh_token")):
        raise InvalidRequestError("Send credentials in the body, never in the address (RFC 6749 section 2.3.1).")
    authorization = request.headers.get("authorization", "")
    basic = authorization[:6].lower() == "basic "
    ways = [basic, "client_secret" in form, "client_assertion" in form or "client_assertion_type" in form]
    if sum(ways) > 1:
        raise InvalidRequestError("Use one client authentication method only (RFC 6749 section 2.3).")
    if basic:
        return _by_basic(request, authorization[6:].strip())
    if ways[1]:
        return _by_secret(request, form.get("client_id", ""), form["client_secret"], "client_secret_post")
    if ways[2]:
        return _by_assertion(request)
    return _by_name(request, form.get("client_id", ""))


def _by_basic(request: ProtocolRequest, encoded: str) -> Client:
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ClientRefused("The Basic credentials are not well formed.", basic=True) from None
    if not colon:
        raise ClientRefused("The Basic credentials are not well formed.", basic=True)
    client_id = unquote_plus(name)
    if request.form.get("client_id", client_id) != client_id:
        raise InvalidRequestError("client_id differs from the Basic credentials.")
    return _by_secret(request, client_id, unquote_plus(secret), "client_secret_basic")


def _by_secret(request: ProtocolRequest, client_id: str, secret: str, method: str) -> Client:
    client = request.provider.registry.enabled(client_id)
    basic = method == "client_secret_basic"
    if client is None:
        equal(token_hash(secret), _NOBODY)
        raise ClientRefused(basic=basic)
    right = client.check_client_secret(secret)
    if not right or not client.check_endpoint_auth_method(method, "token"):
        raise ClientRefused(basic=basic)
    request.auth_method = method
    return client


def _by_name(request: ProtocolRequest, client_id: str) -> Client:
    client = request.provider.registry.enabled(client_id)
    if client is None or not client.check_endpoint_auth_method("none", "token"):
        raise ClientRefused()
    request.auth_method = "none"
    return client


def _by_assertion(request: ProtocolRequest) -> Client:
    assertion = request.form.get("client_assertion", "")
    if request.form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidRequestError(f"client_assertion_type must be {ASSERTION_TYPE}.")
    if not assertion or len(assertion) > ASSERTION_MAX_CHARS:
        raise ClientRefused("The client assertion is missing or too long.")
    try:
        header = jwt.get_unverified_header(assertion)
        named = jwt.decode(assertion, options={"verify_signature": False}).get("sub")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise ClientRefused("The client assertion is not a JWT.") from None
    client = request.provider.registry.enabled(named) if isinstance(named, str) else None
    method = client.meta.token_endpoint_auth_method if client else ""
    if client is None or method not in ("private_key_jwt", "client_secret_jwt"):
        raise ClientRefused()
    if request.form.get("client_id", client.client_id) != client.client_id:
        raise InvalidRequestError("client_id differs from the sub of the client assertion.")
    claims = _verified(request, client, assertion, header)
    _check_assertion_claims(request, client, claims)
    request.auth_method = method
    return client


def _verified(request: ProtocolRequest, client: Client, assertion: str, header: dict[str, Any]) -> dict[str, Any]:
    """Check the signature with the registered keys only: nothing that the header names is fetched or trusted."""
    if "crit" in header:
        raise ClientRefused("The client assertion has a critical header that is not understood.")
    alg = header.get("alg")
    registered = client.meta.token_endpoint_auth_signing_alg
    shared = client.meta.token_endpoint_auth_method == "client_secret_jwt"
    allowed = [registered] if registered else ["HS256"] if shared else _ASYMMETRIC
    if alg not in allowed:
        raise ClientRefused(f"The client assertion must be signed with {' or '.join(allowed)}.")
    for key in _shared_keys(request, client) if shared else _public_keys(client, str(alg), header.get("kid")):
        try:
            return jwt.decode(assertion, key, algorithms=[str(alg)], options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            continue
    raise ClientRefused()


_SIGNATURE_ONLY: Any = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _shared_keys(request: ProtocolRequest, client: Client) -> list[Any]:
    keys = []
    for secret in client.current_secrets():
        if secret.sealed is not None:
            try:
                keys.append(request.provider.box.open(secret.sealed, f"client-secret:{client.client_id}"))
            except CannotOpen:
                continue
    return keys


def _public_keys(client: Client, alg: str, kid: Any) -> list[Any]:
    kty = {"ES256": "EC", "EdDSA": "OKP"}.get(alg, "RSA")
    keys = [key for key in (client.meta.jwks or {}).get("keys", []) if key.get("kty") == kty]
    if kid is not None:
        keys = [key for key in keys if key.get("kid") == kid]
    return [jwt.PyJWK(key, algorithm=alg).key for key in keys if key.get("use", "sig") == "sig"]


def _check_assertion_claims(request: ProtocolRequest, client: Client, claims: dict[str, Any]) -> None:
    """RFC 7523 section 3. ``aud`` is one string, ours: an array could name another server too (2025 advisories)."""
    provider, now = request.provider, clock.timestamp()
    if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
        raise ClientRefused("iss and sub of the client assertion must be the client_id.")
    if claims.get("aud") not in (provider.settings.issuer, provider.url("/token")):
        raise ClientRefused(f"aud of the client assertion must be the text {provider.settings.issuer}.")
    times = [claims.get(name) for name in ("exp", "iat", "nbf")]
    if any(isinstance(time, bool) or not isinstance(time, (int, float, type(None))) for time in times):
        raise ClientRefused("exp, iat and nbf of the client assertion must be numbers.")
    exp, iat, nbf = times
    if exp is None or exp <= now - LEEWAY_SECONDS or exp > now + ASSERTION_MAX_SECONDS + LEEWAY_SECONDS:
        raise ClientRefused(f"exp of the client assertion must be within {ASSERTION_MAX_SECONDS} seconds from now.")
    if any(time is not None and time > now + LEEWAY_SECONDS for time in (iat, nbf)):
        raise ClientRefused("iat and nbf of the client assertion must not be in the future.")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise ClientRefused("The client assertion needs a jti.")
    until = datetime.fromtimestamp(float(exp) + LEEWAY_SECONDS + 1, UTC)
    if not first_use(request.session, f"client:{client.client_id}", jti, until):
        raise ClientRefused("This client assertion was used before.")
