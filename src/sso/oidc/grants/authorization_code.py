"""The authorization code grant (RFC 6749 section 4.1, OpenID Connect Core section 3.1) with PKCE (RFC 7636)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749 import grants as authlib_grants
from authlib.oauth2.rfc7636 import CodeChallenge

from sso import clock
from sso.clients.registry import Client
from sso.identity.sessions.store import open_client_session
from sso.oidc.demands import Way
from sso.oidc.enforcement import unmet_by_grant
from sso.oidc.grants.front_channel import FrontChannel
from sso.oidc.requests import NeedsTransaction, ProtocolRequest
from sso.oidc.store import store
from sso.oidc.store.store import LiveGrant
from sso.oidc.token.client_auth import CLIENT_AUTH_METHODS
from sso.oidc.token.issue import end_family, first_tokens
from sso.platform.db import Executor
from sso.platform.security.tokens import random_token, token_hash


class _Code:
    """A grant as Authlib looks at an authorization code."""

    code_challenge_method = "S256"

    def __init__(self, grant: LiveGrant) -> None:
        self.grant = grant
        self.code_challenge = grant.code_challenge

    def get_redirect_uri(self) -> str | None:
        return self.grant.redirect_uri

    def get_scope(self) -> str:
        return self.grant.scope


class AuthorizationCodeGrant(FrontChannel, authlib_grants.AuthorizationCodeGrant):
    """Authlib's grant on our tables: within a transaction the code is consumed by one UPDATE before anything else is
    looked at. Without one, the code is looked at, the tokens are made, and one statement consumes the code and stores
    the refresh token; whatever is not as usual is answered once more within a transaction."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS
    request: ProtocolRequest

    def query_authorization_code(self, code: str, client: Client) -> _Code | None:
        if client.meta.gate is not None:  # its codes are exchanged within the provider alone
            return None
        request, now = self.request, clock.now()
        hashed, access = token_hash(code), client.receives_access
        if not request.in_transaction:
            idle_since = now - request.provider.idle
            grant = store.find_code(request.session, hashed, client.client_id, now, idle_since, access=access)
            if grant is None:
                raise NeedsTransaction
            request.unused_code = hashed
            return _Code(grant)
        until = now + self._retention
        grant = store.use_code(request.session, hashed, client.client_id, now, until, access=access)
        if grant is not None:
            return _Code(grant)
        self._revoke_what_grew_from(code, client)
        return None

    def authenticate_user(self, authorization_code: _Code) -> UUID:
        """Return the person, where they meet every demand and the session in which the code was given is alive."""
        request, grant, now = self.request, authorization_code.grant, clock.now()
        provider = request.provider
        unmet = unmet_by_grant(provider.settings, request.session, Way.CODE, request.client, grant, request.caller)
        if unmet is not None:
            raise InvalidGrantError(unmet.text)
        if not request.in_transaction:
            request.grant = grant if grant.sid is not None else grant.with_sid(random_token())
            return grant.user_id
        sid = None
        if grant.session_id is not None:
            sid = open_client_session(self.request.session, grant.session_id, grant.client_id, now, now - provider.idle)
        if sid is None:
            raise InvalidGrantError("The session of this code is over.")
        self.request.grant = grant.with_sid(sid)
        return grant.user_id

    def generate_token(
        self, scope: str | None = None, include_refresh_token: bool = True, **_: object
    ) -> dict[str, object]:
        request = self.request
        tokens = first_tokens(request, scope or "", include_refresh_token)
        if not request.in_transaction:
            # The refresh token is stored by the statement that uses the code, not by one of its own.
            rows = [row for _, row in request.unsaved]
            request.unsaved[:] = [(self._exchange, rows[0] if rows else {})]
        return tokens

    def _exchange(self, session: Executor, refresh_token: dict[str, object]) -> None:
        """Use the code and store what belongs to it. ``refresh_token``: the row of the refresh token; empty: none.

        Raises:
            NeedsTransaction: when the code or its session was used or ended meanwhile.
        """
        request, now = self.request, clock.now()
        grant, code = request.grant, request.unused_code
        assert grant is not None
        assert grant.sid is not None
        assert code is not None
        idle_since, until = now - request.provider.idle, now + self._retention
        if not store.exchange_code(
            session, code, grant.client_id, grant.sid, now, idle_since, until, refresh_token or None
        ):
            raise NeedsTransaction
        request.unused_code = None

    @property
    def _retention(self) -> timedelta:
        """How long a grant is kept after its code was used."""
        settings = self.request.provider.settings
        return max(settings.refresh_token_lifetime, settings.access_token_lifetime)

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """Nothing: it was consumed when it was looked up, and is kept so that a second use is recognised."""

    def _revoke_what_grew_from(self, code: str, client: Client) -> None:
        """A code seen again is stolen or leaked: end what it gave (RFC 6749 section 4.1.2, RFC 9700 section 4.5)."""
        request = self.request
        grant_id = store.find_used_code(request.session, token_hash(code), client.client_id)
        if grant_id is not None:
            end_family(request, grant_id, client.client_id, "code used twice")


class S256Challenge(CodeChallenge):
    """PKCE with S256 only, required unless the application registered ``require_pkce: false`` (RFC 9700 2.1.1)."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: FrontChannel, redirect_uri: str) -> None:
        data = grant.request.payload.data
        challenge, method = data.get("code_challenge"), data.get("code_challenge_method")
        if challenge is None and method is None:
            if grant.request.client.meta.require_pkce:
                raise InvalidRequestError("code_challenge is required, with code_challenge_method=S256 (RFC 7636).")
            return
        if method != "S256":
            raise InvalidRequestError("code_challenge_method must be S256 (RFC 7636).")
        if challenge is None or len(challenge) != 43:
            raise InvalidRequestError("code_challenge must be 43 characters: base64url(SHA256(code_verifier)).")
        super().validate_code_challenge(grant, redirect_uri)

    def validate_code_verifier(self, grant: AuthorizationCodeGrant, result: object) -> None:
        request = grant.request
        challenge = request.authorization_code.code_challenge
        verifier = request.form.get("code_verifier")
        if (challenge is None) != (verifier is None):
            # RFC 9700 section 4.8: neither a downgrade nor a verifier that nothing asked for.
            raise InvalidGrantError("code_verifier must be sent exactly when code_challenge was.")
        super().validate_code_verifier(grant, result)
