"""The JWT bearer grant (RFC 7523 section 2.1): a JWT of a trusted issuer for an access token.

Whom an application may trust is registered with it (``assertion_issuers``); the application proves who it is besides.
No refresh token and no ID token come of it: nobody signed in.
"""

from __future__ import annotations

import contextlib
import uuid
from datetime import UTC, datetime
from typing import cast

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, UnauthorizedClientError
from authlib.oauth2.rfc7523 import JWTBearerGrant

from sso import clock
from sso.clients.claims import ACCESS_SCOPES
from sso.clients.metadata import OIDC_SCOPES, AssertionIssuer
from sso.clients.models import application_of
from sso.clients.registry import Client
from sso.identity.groups.store import NO_ACCESS, Access
from sso.identity.users.identifiers import meanings
from sso.oidc.enforcement import recorded, unmet_by_assertion
from sso.oidc.requests import Outdated, ProtocolRequest, check_granted, no_such_scope
from sso.oidc.store import store
from sso.oidc.store.standing import standing_of, standing_with
from sso.oidc.store.store import LiveGrant
from sso.oidc.store.types import GrantColumns
from sso.oidc.token.assertions import (
    ASYMMETRIC_ALGS,
    LEEWAY_SECONDS,
    AssertionRefused,
    Unverified,
    check_signature,
    check_times,
    expiry_of,
    names_us,
    one_of,
    read_unverified,
)
from sso.oidc.token.client_auth import CLIENT_AUTH_METHODS
from sso.oidc.token.client_keys import KeysUnavailable
from sso.oidc.token.issue import token_response
from sso.platform.audit import record
from sso.platform.db import new_id, session_of
from sso.platform.security.numbers import read_uuid
from sso.platform.security.replay import first_use

ACR_ASSERTION = "urn:sso:acr:assertion"
ASSERTION_SECONDS = 600
"""How long an assertion may be valid at most."""


async def prepare_assertion(request: ProtocolRequest, client: Client) -> None:
    """Fetch the issuer's keys where they must be fetched, before the transaction begins."""
    try:
        unverified = read_unverified(request.form.get("assertion", ""))
    except AssertionRefused:
        return
    issuer = _issuer(client, unverified)
    if issuer is not None:
        with contextlib.suppress(KeysUnavailable):
            await request.provider.client_keys.ready(issuer.jwks_uri, unverified.kid, signature=True)


class JwtBearerGrant(JWTBearerGrant):
    """Authlib's grant, where the application and the issuer of the assertion need not be the same."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS
    request: ProtocolRequest
    _access: Access = NO_ACCESS
    """The roles and groups of the user in the application."""

    def validate_token_request(self) -> None:
        client = self.request.client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("The client has not registered this grant type.")
        assertion = self.request.form.get("assertion")
        if assertion is None:
            raise InvalidRequestError("assertion is required (RFC 7523 section 2.1).")
        claims = self.process_assertion_claims(assertion)
        self.validate_requested_scope()
        self.request.user = self.authenticate_user(claims)

    def process_assertion_claims(self, assertion: str) -> dict[str, object]:
        """Return the claims of an assertion that passed every check of RFC 7523 section 3."""
        request = self.request
        try:
            unverified = read_unverified(assertion)
            issuer = _issuer(request.client, unverified)
            if issuer is None:
                raise AssertionRefused("is of an issuer that this application has not registered")
            if unverified.alg not in ASYMMETRIC_ALGS:
                raise AssertionRefused(f"must be signed with {', '.join(ASYMMETRIC_ALGS)}")
            check_signature(unverified, request.provider.client_keys.known(issuer.jwks, issuer.jwks_uri))
            check_times(unverified.claims, clock.timestamp(), ASSERTION_SECONDS)
            audiences = request.provider.audiences()
            if not names_us(unverified.claims.get("aud"), audiences, request.client):
                raise AssertionRefused(f"must have {one_of(audiences)} as aud, as one string")
        except AssertionRefused as error:
            if not request.looked:  # the issuer, or a key of it, may have been registered a moment ago
                raise Outdated from None
            raise InvalidGrantError(f"The assertion {error}.") from None
        jti = unverified.claims.get("jti")
        until = datetime.fromtimestamp(expiry_of(unverified.claims) + LEEWAY_SECONDS + 1, UTC)
        if jti is not None and not first_use(request.session, f"assertion:{issuer.issuer}"[:255], str(jti), until):
            raise InvalidGrantError("The assertion was used before.")
        return {**unverified.claims, "subject_is": issuer.subject}

    def validate_requested_scope(self) -> None:
        requested = (self.request.payload.data.get("scope") or "").split()
        check_granted(self.request.client, requested, alone=True)
        client = self.request.client
        first_party_scopes = (
            ACCESS_SCOPES if client.first_party else ()
        )  # elsewhere the user must have allowed it, at a page
        allowed = client.scopes_alone - (set(OIDC_SCOPES) - set(first_party_scopes))
        if not requested or not allowed.issuperset(requested):
            description = "scope must name scopes that the client has registered, none of OpenID Connect's."
            raise no_such_scope(self.request.client, " ".join(requested), description)

    def authenticate_user(self, claims: dict[str, object]) -> uuid.UUID:
        """Return the person that the issuer speaks of: found by a verified identifier, or by user id. An
        identifier that means two people means nobody."""
        sub, request = claims.get("sub"), self.request
        client, session, standing = request.client, request.session, None
        names = (client.client_id, application_of(client.client_id))
        now, with_access = clock.now(), client.receives_access or client.limited_by_access
        reads = {"with_access": with_access, "with_employment": client.for_employees}
        if isinstance(sub, str):
            with contextlib.suppress(ValueError):
                standing = (
                    standing_of(session, read_uuid(sub), *names, lock=True, now=now, **reads)
                    if claims["subject_is"] == "user_id"
                    else standing_with(session, _lookups(request, sub), *names, now, **reads)
                )
        if standing is None or not standing.usable:
            raise InvalidGrantError("The sub of the assertion is not a known user.")
        unmet = unmet_by_assertion(request, client, standing, ACR_ASSERTION)
        if unmet is not None:
            raise InvalidGrantError(unmet.text)
        self._access = standing.access
        return standing.user_id

    def generate_token(self, user: object = None, scope: str | None = None, **_: object) -> dict[str, object]:
        request, now = self.request, clock.now()
        values: GrantColumns = {
            "id": new_id(),
            "client_id": request.client.client_id,
            "user_id": cast(uuid.UUID, user),
            "session_id": None,
            "scope": " ".join(dict.fromkeys((scope or "").split())),
            "nonce": None,
            "auth_time": now,
            "acr": ACR_ASSERTION,
            "amr": [],
            "redirect_uri": None,
            "code_challenge": None,
            "details": {"assertion": True, **recorded(request.client, request.caller or "")},
        }
        end = now + request.provider.settings.access_token_lifetime
        # It has no session that it could end with.
        store.insert_grant(request.session, {**values, "offline": True, "created_at": now, "expires_at": end})
        request.grant = LiveGrant(**values, access=self._access)
        record(
            session_of(request.session),
            "grant.asserted",
            subject=str(user),
            client_id=request.client.client_id,
            address=request.address,
            request_id=request.request_id,
            data={"scope": values["scope"]},
        )
        return token_response(request, values["scope"], refresh_token=None)


def _lookups(request: ProtocolRequest, identifier: str) -> list[str]:
    return [meaning.lookup(request.provider.nik_key) for meaning in meanings(identifier)]


def _issuer(client: Client, unverified: Unverified) -> AssertionIssuer | None:
    return next(
        (issuer for issuer in client.meta.assertion_issuers if issuer.issuer == unverified.claims.get("iss")), None
    )
