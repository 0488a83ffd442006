"""How an application proves who it is (RFC 6749 section 2.3, RFC 7523, OpenID Connect Core section 9).

Exactly one way, the registered one. Failures look the same whether the application is unknown, disabled or wrong.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from urllib.parse import unquote_plus

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError

from sso import clock
from sso.clients.registry import Client
from sso.oidc.requests import ProtocolRequest
from sso.oidc.token.assertions import (
    ASYMMETRIC_ALGS,
    LEEWAY_SECONDS,
    AssertionRefused,
    Unverified,
    check_signature,
    check_times,
    check_with,
    expiry_of,
    names_us,
    one_of,
    read_unverified,
    takes_lists,
)
from sso.oidc.token.client_keys import KeysUnavailable
from sso.platform.security.encryption import CannotDecrypt
from sso.platform.security.rate_limits import Purpose
from sso.platform.security.replay import first_use
from sso.platform.security.text import check_line
from sso.platform.security.tokens import equal, token_hash

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_MAX_SECONDS = 3600
"""What widespread libraries put into ``exp`` at most; the ``jti`` is remembered as long."""
ASSERTION_MAX_CHARS = 8192
CLIENT_AUTH_METHODS = (
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "none",
)
ASSERTION_ALGS = (*ASYMMETRIC_ALGS, "HS256")
_SECRET_METHODS = ("client_secret_basic", "client_secret_post")
_NEVER_IN_THE_ADDRESS = ("client_secret", "client_assertion", "code", "refresh_token")
_NOBODY = token_hash("nobody")


FAILED = "Client authentication failed."


class ClientRefused(InvalidClientError):
    """Client authentication failed: 401, with a challenge where Basic was used (RFC 6749 section 5.2)."""

    def __init__(self, text: str = FAILED, *, basic: bool = False) -> None:
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
        TooManyFailures: after too many wrong secrets from one address.
    """
    form = request.form
    sent = request.query.datalist
    if sent and any(any(sent.get(name, ())) for name in _NEVER_IN_THE_ADDRESS):
        raise InvalidRequestError("Send credentials in the body, never in the address (RFC 6749 section 2.3.1).")
    basic = _is_basic(request)
    ways = [basic, "client_secret" in form, "client_assertion" in form or "client_assertion_type" in form]
    if sum(ways) > 1:
        raise InvalidRequestError("Use one client authentication method only (RFC 6749 section 2.3).")
    if not any(ways):
        return _by_name(request, form.get("client_id", ""))
    if request.attempt is None:
        named, source = client_named_by(request), request.caller or ""
        request.attempt = request.provider.attempts.reserve_here(Purpose.CLIENT_SECRET, named, source)
    if basic:
        client = _by_basic(request)
    elif ways[1]:
        client = _by_secret(request, form.get("client_id", ""), form["client_secret"], "client_secret_post")
    else:
        client = _by_assertion(request)
    request.attempt.succeeded()
    request.attempt = None
    return client


def client_named_by(request: ProtocolRequest) -> str:
    """Return the client_id that a request names, whether or not it proves it; nothing where it names none."""
    if request.basic is not None:
        return request.basic[0]
    if _is_basic(request):
        return _named_in_basic(request)
    if "client_assertion" in request.form and "client_id" not in request.form:
        try:
            unverified = read_unverified(request.form["client_assertion"], ASSERTION_MAX_CHARS)
        except AssertionRefused:
            return ""
        return str(unverified.claims.get("sub", ""))
    return request.form.get("client_id", "")


def _by_basic(request: ProtocolRequest) -> Client:
    try:
        client_id, secret = _basic_credentials(request)
    except ValueError:
        raise ClientRefused("The Basic credentials are not well formed.", basic=True) from None
    if request.form.get("client_id", client_id) != client_id:
        raise InvalidRequestError("client_id differs from the Basic credentials.")
    return _by_secret(request, client_id, secret, "client_secret_basic")


def _by_secret(request: ProtocolRequest, client_id: str, secret: str, method: str) -> Client:
    client = request.provider.registry.enabled(client_id)
    basic = method == "client_secret_basic"
    if client is None:
        equal(token_hash(secret), _NOBODY)
        raise ClientRefused(basic=basic)
    right = client.secret_like(secret)
    if right is None:
        raise ClientRefused(basic=basic)
    if not client.check_endpoint_auth_method(method, "token"):
        raise ClientRefused(_wrong_method(method, client), basic=basic)
    request.auth_method = method
    request.provider.usage.secret_used(right.id)
    return client


def _wrong_method(method: str, client: Client) -> str:
    """Return what is said to an application that has proven who it is, but by another method than it registered."""
    registered = client.meta.token_endpoint_auth_method
    return (
        f"{FAILED} The request came with {method}, and this client is registered with "
        f"token_endpoint_auth_method={registered}."
    )


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
    if not assertion:
        raise ClientRefused("The client assertion is missing.")
    try:
        unverified = read_unverified(assertion, ASSERTION_MAX_CHARS)
    except AssertionRefused as error:
        raise ClientRefused(f"The client assertion {error}.") from None
    named = unverified.claims.get("sub")
    client = request.provider.registry.enabled(named) if isinstance(named, str) else None
    if client is None:
        raise ClientRefused()
    method = client.meta.token_endpoint_auth_method
    if method not in ("private_key_jwt", "client_secret_jwt"):
        raise ClientRefused(_refused_assertion(request, client, unverified))
    if request.form.get("client_id", client.client_id) != client.client_id:
        raise InvalidRequestError("client_id differs from the sub of the client assertion.")
    _check_assertion_signature(request, client, unverified)
    _check_assertion_claims(request, client, unverified.claims)
    request.auth_method = method
    return client


def _refused_assertion(request: ProtocolRequest, client: Client, unverified: Unverified) -> str:
    """Return what is said where a client assertion comes from an application that registered another method. Only one
    that is signed with a registered key learns more."""
    meta = client.meta
    try:
        check_signature(unverified, request.provider.client_keys.known(meta.jwks, meta.jwks_uri))
    except AssertionRefused:
        return FAILED
    return _wrong_method("private_key_jwt", client)


async def prepare(request: ProtocolRequest) -> Client | None:
    """Fetch the keys of the application where they must be fetched: :func:`authenticate_client` and the answer need
    them within a transaction, and nothing is fetched there.

    Returns:
        The application that the request claims to come from. Nothing is proven yet.
    """
    provider, kid, signed = request.provider, None, False
    client_id = request.form.get("client_id", "")
    if _is_basic(request):
        client_id = _named_in_basic(request)
    elif "client_assertion" in request.form:
        try:
            unverified = read_unverified(request.form["client_assertion"], ASSERTION_MAX_CHARS)
        except AssertionRefused:
            return None
        client_id, kid, signed = str(unverified.claims.get("sub")), unverified.kid, True
    client = provider.registry.get(client_id)
    if client is not None and (signed or client.meta.needs_encryption_key):
        # What cannot be fetched is said where the keys are missed.
        with contextlib.suppress(KeysUnavailable):
            await provider.client_keys.ready(client.meta.jwks_uri, kid, signature=signed)
    return client


def _is_basic(request: ProtocolRequest) -> bool:
    return request.basic is not None or request.headers.get("authorization", "")[:6].lower() == "basic "


def _named_in_basic(request: ProtocolRequest) -> str:
    try:
        return _basic_credentials(request)[0]
    except ValueError:
        return ""


async def authenticates(request: ProtocolRequest, client: Client, audiences: Collection[str]) -> bool:
    """Tell whether a request proves that it comes from an application, as it is registered, at another token endpoint
    of ours: that of the relying-party check. A secret may come in either of its two ways: the real endpoint refuses the
    wrong one, and the check is about what the application accepts. The ``jti`` is not remembered: nothing is had there.

    Args:
        request: the request.
        client: the application.
        audiences: what an assertion may be meant for.
    """
    try:
        if "client_secret" in request.form and client.meta.token_endpoint_auth_method in _SECRET_METHODS:
            own = request.form.get("client_id") == client.client_id
            return own and client.secret_like(request.form["client_secret"]) is not None
        if "client_assertion" not in request.form:
            return authenticate_client(request).client_id == client.client_id
        await prepare(request)
        unverified = read_unverified(request.form["client_assertion"], ASSERTION_MAX_CHARS)
        _check_assertion_signature(request, client, unverified)
        check_times(unverified.claims, clock.timestamp(), ASSERTION_MAX_SECONDS)
    except (OAuth2Error, AssertionRefused):
        return False
    values = [unverified.claims.get("iss"), unverified.claims.get("sub"), request.form.get("client_assertion_type")]
    aud = unverified.claims.get("aud")
    return values == [client.client_id, client.client_id, ASSERTION_TYPE] and names_us(aud, audiences, client)


def _basic_credentials(request: ProtocolRequest) -> tuple[str, str]:
    """Return client_id and secret (RFC 6749 section 2.3.1), which are read once for each request.

    Raises:
        ValueError: when they are not well formed.
    """
    if request.basic is None:
        request.basic = _read_basic(request.headers.get("authorization", "")[6:].strip())
    return request.basic


def _read_basic(encoded: str) -> tuple[str, str]:
    name, colon, secret = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    if not colon:
        raise ValueError("there is no colon")
    if name.isascii() and name.isprintable() and secret.isascii() and secret.isprintable():  # which every rule accepts
        return _decoded(name), _decoded(secret)
    return check_line(unquote_plus(name, errors="strict")), check_line(unquote_plus(secret, errors="strict"))


def _decoded(text: str) -> str:
    """Return what stands in the URL encoding of RFC 6749 appendix B, in a text of printable ASCII characters."""
    if "%" not in text:
        return text.replace("+", " ")
    return check_line(unquote_plus(text, errors="strict"))


def _check_assertion_signature(request: ProtocolRequest, client: Client, unverified: Unverified) -> None:
    """Check the signature with the registered keys only: nothing that the header names is fetched or trusted."""
    meta = client.meta
    if meta.token_endpoint_auth_method not in ("private_key_jwt", "client_secret_jwt"):
        raise ClientRefused()
    registered = meta.token_endpoint_auth_signing_alg
    shared = meta.token_endpoint_auth_method == "client_secret_jwt"
    allowed = (registered,) if registered else ("HS256",) if shared else ASYMMETRIC_ALGS
    try:
        if unverified.alg == "HS256":
            check_with(unverified, _shared_keys(request, client) if shared else [])
        else:
            check_signature(unverified, request.provider.client_keys.known(meta.jwks, meta.jwks_uri))
    except AssertionRefused:
        raise ClientRefused() from None
    # Only who holds the key learns what is registered.
    if unverified.alg not in allowed:
        raise ClientRefused(f"The client assertion must be signed with {one_of(allowed)}.")


def _shared_keys(request: ProtocolRequest, client: Client) -> list[bytes]:
    keys = []
    for secret in client.current_secrets():
        if secret.encrypted is not None:
            try:
                keys.append(request.provider.box.decrypt(secret.encrypted, f"client-secret:{client.client_id}"))
            except CannotDecrypt:
                continue
    return keys


def _check_assertion_claims(request: ProtocolRequest, client: Client, claims: Mapping[str, object]) -> None:
    """RFC 7523 section 3."""
    provider, now = request.provider, clock.timestamp()
    if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
        raise ClientRefused("iss and sub of the client assertion must be the client_id.")
    audiences = provider.audiences(request.path)
    if not names_us(claims.get("aud"), audiences, client):
        form = "as one string, or as a list that holds nothing else" if takes_lists(client) else "as one string"
        raise ClientRefused(f"aud of the client assertion must be {one_of(audiences)}, {form}.")
    try:
        check_times(claims, now, ASSERTION_MAX_SECONDS)
    except AssertionRefused as error:
        raise ClientRefused(f"The client assertion {error}.") from None
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise ClientRefused("The client assertion needs a jti.")
    until = datetime.fromtimestamp(expiry_of(claims) + LEEWAY_SECONDS + 1, UTC)
    if not first_use(request.session, f"client:{client.client_id}", jti, until):
        raise ClientRefused("This client assertion was used before.")
