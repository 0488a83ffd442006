"""Requests that come within a JWT: by value (``request``) or by reference (``request_uri``).

OpenID Connect Core section 6, RFC 9101, and RFC 9126 for requests that were pushed before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl

import orjson

from sso import clock
from sso.clients.registry import Client
from sso.oidc.models import PushedRequest
from sso.oidc.parameters import AUTHORIZATION
from sso.oidc.requests import Payload
from sso.oidc.services import RequestObjectServices
from sso.oidc.token.assertions import (
    ASYMMETRIC_ALGS,
    AssertionRefused,
    Unverified,
    check_signature,
    check_times,
    one_of,
    read_unverified,
)
from sso.oidc.token.client_keys import ClientKeys, KeysUnavailable
from sso.platform.db import Database
from sso.platform.keys import KeyRing
from sso.platform.security.jwe import CannotDecryptJwe, is_encrypted, is_type
from sso.platform.security.outbound_errors import OutboundFailed, OutboundRefused, public_reason
from sso.platform.security.text import TextRefused, check_line
from sso.platform.security.tokens import token_hash
from sso.settings import Settings

if TYPE_CHECKING:
    from sso.platform.security.outbound_http import Outbound

Source = Literal["plain", "unsigned", "signed", "pushed", "pushed_signed", "cas"]
"""How the parameters came. ``signed``: within an object that the application signed. ``cas``: at the login page of the
CAS protocol, of which ``sso.gate.cas`` makes a request."""

PUSHED_PREFIX = "urn:ietf:params:oauth:request_uri:"
MAX_OBJECT_CHARS = 32 * 1024
MAX_LIFE_SECONDS = 86400
_TYPES = ("jwt", "oauth-authz-req+jwt")
_NOT_PARAMETERS = ("iss", "aud", "exp", "iat", "nbf", "jti", "sub", "request", "request_uri")

_STRUCTURED: dict[str, type] = {"claims": dict, "registration": dict, "authorization_details": list}
"""Parameters whose value is JSON, and may stand as such in an object (RFC 9101 section 4)."""


class RequestObjectRefused(Exception):
    """The request cannot be read from its object. ``error`` is one of OpenID Connect Core section 3.1.2.6."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error


@dataclass(frozen=True, slots=True)
class Expanded:
    """The parameters of a request, wherever they came from."""

    parameters: list[tuple[str, str]]
    source: Source


async def expand(services: RequestObjectServices, client: Client, pairs: list[tuple[str, str]]) -> Expanded:
    """Return the parameters of a request, those of its object included.

    What stands in the object wins (OpenID Connect Core section 6.1). Where the application registered
    ``require_signed_request_object``, nothing else counts (RFC 9101 section 6.3).

    Raises:
        RequestObjectRefused: with the error for the application.
        DatabaseUnavailable: when there is no database now.
    """
    payload = Payload(pairs)
    data = payload.data
    by_value, uri = data.get("request"), data.get("request_uri")
    # A repeated parameter is refused by the checks that follow.
    if (by_value is None and uri is None) or payload.repeated(AUTHORIZATION):
        return Expanded(pairs, "plain")
    if by_value is not None and uri is not None:
        raise RequestObjectRefused("invalid_request", "Use request or request_uri, not both.")
    if uri is not None and uri.startswith(PUSHED_PREFIX):
        return await _pushed(services.db, client, uri)
    text = by_value if uri is None else await _fetched(services.outbound, client, uri)
    unsupported = "request_not_supported" if uri is None else "request_uri_not_supported"
    claims, source = await _opened(services.client_keys, services.keys, client, str(text), unsupported)
    _check_claims(services.settings, client, data, claims)
    inner: dict[str, list[str]] = {}
    for name, value in claims.items():
        if name not in _NOT_PARAMETERS and name in (*AUTHORIZATION, "resource"):
            inner[name] = _texts(name, value)
    outer = {} if client.meta.require_signed_request_object else payload.datalist
    merged = {**outer, **inner, "client_id": [client.client_id]}
    parameters = [
        (name, value)
        for name, values in merged.items()
        if name not in ("request", "request_uri")
        for value in values
        if value != ""
    ]
    return Expanded(parameters, source)


async def _pushed(db: Database, client: Client, uri: str) -> Expanded:
    """A pushed request may be opened again until its time is over: people reload pages (RFC 9126 section 7.3)."""
    async with db.read() as session:
        pushed = await session.get(PushedRequest, token_hash(uri.removeprefix(PUSHED_PREFIX)))
    if pushed is None or pushed.client_id != client.client_id or pushed.expires_at <= clock.now():
        raise RequestObjectRefused("invalid_request_uri", "The pushed request is unknown or over: push it again.")
    source: Source = "pushed_signed" if pushed.signed else "pushed"
    return Expanded(parse_qsl(pushed.query, keep_blank_values=True), source)


async def _fetched(outbound: Outbound, client: Client, uri: str) -> str:
    if uri not in client.meta.request_uris:
        raise RequestObjectRefused("request_uri_not_supported", "This request_uri is not registered.")
    try:
        body = await outbound.get(uri.partition("#")[0], accept="application/oauth-authz-req+jwt, */*")
        return body.decode("ascii").strip()
    except (OutboundRefused, OutboundFailed) as error:
        text = f"The request_uri cannot be had: {public_reason(uri, error)}."
        raise RequestObjectRefused("invalid_request_uri", text) from None
    except UnicodeDecodeError:
        raise RequestObjectRefused("invalid_request_uri", "There is no JWT at the request_uri.") from None


async def _opened(
    client_keys: ClientKeys, keys: KeyRing, client: Client, text: str, unsupported: str
) -> tuple[dict[str, object], Source]:
    if len(text) > MAX_OBJECT_CHARS:
        raise _invalid("is too long")
    try:
        if is_encrypted(text):
            text = keys.decrypt(text)
        unverified = read_unverified(text, MAX_OBJECT_CHARS)
        typ = unverified.header.get("typ")
        if typ is not None and not any(is_type(typ, accepted) for accepted in _TYPES):
            raise AssertionRefused("is a JWT of another type")
        registered = client.meta.request_object_signing_alg
        if unverified.alg == "none":
            if client.meta.must_sign_requests:
                raise AssertionRefused(f"must be signed with {one_of(_allowed(registered))}")
            if not client.meta.unsigned_requests_allowed:
                raise RequestObjectRefused(unsupported, "This application has not registered unsigned request objects.")
            if unverified.token.rpartition(".")[2]:
                raise AssertionRefused("has a signature although it names no algorithm")
            return unverified.claims, "unsigned"
        await _check_object_signature(client_keys, client, unverified)
    except (AssertionRefused, CannotDecryptJwe, KeysUnavailable) as error:
        raise _invalid(str(error)) from None
    return unverified.claims, "signed"


def _allowed(registered: str | None) -> tuple[str, ...]:
    """Return the algorithms with which an object may be signed: any supported one where the application registered none
    (Dynamic Client Registration section 2)."""
    return (registered,) if registered else ASYMMETRIC_ALGS


async def _check_object_signature(client_keys: ClientKeys, client: Client, unverified: Unverified) -> None:
    meta, registered = client.meta, client.meta.request_object_signing_alg
    if registered == "none":
        raise AssertionRefused("must not be signed: request_object_signing_alg=none is registered")
    if unverified.alg not in _allowed(registered):
        raise AssertionRefused(f"must be signed with {one_of(_allowed(registered))}")
    await client_keys.ready(meta.jwks_uri, unverified.kid, signature=True)
    check_signature(unverified, client_keys.known(meta.jwks, meta.jwks_uri))


def _check_claims(settings: Settings, client: Client, outer: dict[str, str], claims: dict[str, object]) -> None:
    """RFC 9101 sections 4, 5 and 6; OpenID Connect Core section 6.1."""
    try:
        check_times(claims, clock.timestamp(), MAX_LIFE_SECONDS, exp_required=False)
    except AssertionRefused as error:
        raise _invalid(str(error)) from None
    if claims.get("iss", client.client_id) != client.client_id:
        raise _invalid("must have the client_id as iss")
    # Section 10.8: a client assertion, which has the client_id as sub, must not pass for a request.
    if claims.get("sub") == client.client_id:
        raise _invalid("must not have the client_id as sub")
    audience = claims.get("aud", settings.issuer)
    if settings.issuer not in (audience if isinstance(audience, list) else [audience]):
        raise _invalid(f"must have {settings.issuer} as aud")
    if "request" in claims or "request_uri" in claims:
        raise _invalid("must not hold request or request_uri")
    for name in ("client_id", "response_type"):
        if name in claims and claims[name] != outer.get(name, claims[name]):
            raise _invalid(f"has another {name} than the request")


def _texts(name: str, value: object) -> list[str]:
    """Return a parameter of an object as it would stand outside: several resources are a list (RFC 8707 section 2)."""
    if name == "resource" and isinstance(value, list):
        return [_as_text(name, item) for item in value]
    return [_as_text(name, value)]


def _as_text(name: str, value: object) -> str:
    if isinstance(value, str):
        try:
            return value if name == "claims" else check_line(value)
        except TextRefused as error:
            raise _invalid(f"holds a parameter that {error}") from None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, _STRUCTURED.get(name, ())):
        return orjson.dumps(value).decode()
    raise _invalid(f"holds a {name} that is neither text nor a number")


def _invalid(text: str) -> RequestObjectRefused:
    return RequestObjectRefused("invalid_request_object", f"The request object {text}.")
