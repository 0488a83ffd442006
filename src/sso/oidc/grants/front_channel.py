"""What the grants with an answer at the authorization endpoint share: code, tokens, ``state``, ``iss``, session_state.

OpenID Connect Core sections 3.1.2.5, 3.2.2.5 and 3.3.2.5; RFC 9207; Session Management section 2.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from authlib.oauth2.rfc6749 import OAuth2Error

from sso import clock
from sso.identity.sessions.store import open_client_session
from sso.oidc.authorize.response import AuthorizationResponse, response_mode, words_of
from sso.oidc.claims import kept_with_grant
from sso.oidc.requests import ProtocolRequest
from sso.oidc.session_state import session_state
from sso.oidc.store import store
from sso.oidc.store.store import LiveGrant
from sso.oidc.store.types import GrantColumns
from sso.oidc.token.issue import id_token, id_token_claims, issue_access_token
from sso.platform.db import new_id
from sso.platform.security.tokens import random_token, token_hash
from sso.settings import Settings

CODE_RETENTION = timedelta(hours=1)
"""How long a code is remembered after its time, so that a late second use is recognised."""


class SavesTokens(Protocol):
    """The authorization server, as far as a grant needs it."""

    def save_token(self, token: dict[str, object], request: ProtocolRequest) -> None:
        """Store the tokens that were issued for a request."""


class FrontChannel:
    """Answers an authorization request that passed every check."""

    request: ProtocolRequest
    server: SavesTokens

    @property
    def code_lifetime(self) -> timedelta:
        """How long a code is valid."""
        lifetime: timedelta = self.request.provider.settings.authorization_code_lifetime
        return lifetime

    def create_authorization_response(
        self, redirect_uri: str, grant_user: object
    ) -> tuple[int, AuthorizationResponse, list[tuple[str, str]]]:
        """Return the answer as the body. Authlib's own would write the query of ``redirect_uri`` anew.

        Raises:
            OAuth2Error: when the session is over this very moment.
        """
        request, words = self.request, words_of(self.request.payload.response_type)
        session, provider = request.sso_session, request.provider
        assert session is not None
        code = random_token() if "code" in words else None
        grant = self._insert_grant(code, words)
        parameters = [("code", code)] if code else []
        if words != {"code"}:
            parameters += self._tokens(grant, words, code)
            self.server.save_token({**dict(parameters)}, request)
        data = request.payload.data
        if "state" in data:
            parameters.append(("state", data["state"]))
        parameters.append(("iss", provider.settings.issuer))
        if "openid" in request.scope.split():
            state = provider.browser_state(session.id)
            parameters.append(("session_state", session_state(request.client.client_id, redirect_uri, state)))
        return 200, AuthorizationResponse(redirect_uri, response_mode(data), parameters), []

    def _tokens(self, grant: LiveGrant, words: frozenset[str], code: str | None) -> list[tuple[str, str]]:
        request, provider, client = self.request, self.request.provider, self.request.client
        sid = open_client_session(
            request.session, _session_id(grant), client.client_id, clock.now(), clock.now() - provider.idle
        )
        if sid is None:
            raise OAuth2Error("The session is over.", error="login_required")
        grant = request.grant = grant.with_sid(sid)
        tokens: list[tuple[str, str]] = []
        access_token = None
        if "token" in words:
            access_token = issue_access_token(request, request.scope)
            tokens += [
                ("access_token", access_token),
                ("token_type", "Bearer"),
                ("expires_in", str(provider.access_token_seconds(client))),
                ("scope", request.scope),
            ]
        if "id_token" in words:
            # Section 5.4: with no access token there is no userinfo, so the claims of the scopes stand here.
            about = id_token_claims(request, grant, request.scope.split(), in_full=words == {"id_token"})
            tokens.append(("id_token", id_token(provider, client, grant, access_token, code, about)))
        return tokens

    def _insert_grant(self, code: str | None, words: frozenset[str]) -> LiveGrant:
        request, settings, now = self.request, self.request.provider.settings, clock.now()
        session, data = request.sso_session, request.payload.data
        assert session is not None
        scopes = request.scope.split()
        if code is None and "offline_access" in scopes:  # Section 11: ignored where there is no code
            request.scope = " ".join(scope for scope in scopes if scope != "offline_access")
        values: GrantColumns = {
            "id": new_id(),
            "client_id": request.client.client_id,
            "user_id": session.user_id,
            "session_id": session.id,
            "scope": request.scope,
            "nonce": data.get("nonce"),
            "auth_time": session.auth_time,
            "acr": session.acr,
            "amr": session.amr,
            "redirect_uri": data["redirect_uri"],
            "code_challenge": data.get("code_challenge"),
            "details": kept_with_grant(request.client, {**request.asked_claims, **request.recorded}),
        }
        row = {
            **values,
            "offline": code is not None and "offline_access" in scopes,
            "created_at": now,
            "expires_at": now + _retention(settings, words),
            "code_hash": token_hash(code) if code else None,
            "code_expires_at": now + self.code_lifetime if code else None,
        }
        idle_since = now - request.provider.idle
        with_access = request.client.receives_access and words != {"code"}
        access = store.insert_grant_within(
            request.session, row, now, idle_since, by_consent=request.by_consent, access=with_access
        )
        if access is None:
            raise OAuth2Error("The session, or the consent of the user, has ended.", error="login_required")
        return LiveGrant(**values, access=access)


def _retention(settings: Settings, words: frozenset[str]) -> timedelta:
    retention = settings.authorization_code_lifetime + CODE_RETENTION
    return max(retention, settings.access_token_lifetime) if "token" in words else retention


def _session_id(grant: LiveGrant) -> UUID:
    assert grant.session_id is not None
    return grant.session_id
