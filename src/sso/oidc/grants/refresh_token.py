"""The refresh token grant (RFC 6749 section 6): rotation, a short grace, and the end of a family on reuse."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidGrantError
from authlib.oauth2.rfc6749 import grants as authlib_grants

from sso import clock
from sso.clients.registry import Client
from sso.oidc.demands import Unmet, Way
from sso.oidc.enforcement import unmet_by_grant
from sso.oidc.requests import NeedsTransaction, ProtocolRequest, no_such_scope
from sso.oidc.store import store
from sso.oidc.store.models import RefreshToken
from sso.oidc.store.store import LiveGrant
from sso.oidc.token.client_auth import CLIENT_AUTH_METHODS
from sso.oidc.token.families import family_of, names_family, successor_of
from sso.oidc.token.issue import end_family, refresh_token_row, still_allowed, token_response
from sso.platform.db import DatabaseUnavailable, Executor
from sso.platform.security.tokens import equal, token_hash


class _Refresh:
    """A grant as Authlib looks at a refresh token."""

    def __init__(self, grant: LiveGrant, scope: str) -> None:
        self.grant = grant
        self.scope = scope

    def check_client(self, client: Client) -> bool:
        return self.grant.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope


class RefreshTokenGrant(authlib_grants.RefreshTokenGrant):
    """Each refresh token is used once. Its successor is derived from it, so that a retry within the grace, by a
    mobile phone that did not hear the answer, gets the very same successor and not a second branch."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True
    request: ProtocolRequest
    _renewed: tuple[bytes, bytes] | None = None
    """The hashes of the token that was used, and of the successor that was stored, in this transaction."""

    def authenticate_refresh_token(self, refresh_token: str) -> _Refresh | None:
        hashed = token_hash(refresh_token)
        family = self._family_of(refresh_token, hashed)
        if family is None:
            return None
        successor = self._successor(self.request.provider.refresh_keys[0], refresh_token, family)
        if not self.request.in_transaction:
            return self._prepare_renewal(hashed, successor)
        return self._use(refresh_token, hashed, family, successor)

    def _use(self, refresh_token: str, hashed: bytes, family: UUID, successor: str) -> _Refresh | None:
        """Use a token and store its successor, within the transaction of the request."""
        request, now = self.request, clock.now()
        client_id, idle_since = request.client.client_id, now - request.provider.idle
        access = request.client.receives_access
        successor_hash = token_hash(successor)
        used = store.use_refresh_token(
            request.session, hashed, client_id, successor_hash, now, idle_since, access=access
        )
        fresh = used is not None
        if used is not None:
            grant = used[1]
        else:
            retried = self._used_before(refresh_token, hashed, family, now)
            if retried is None:
                return None
            successor = retried
            grant = store.find_grant(request.session, family, now, idle_since, lock="share", access=access)
        if grant is None:
            raise InvalidGrantError("The grant has ended: the user signed out, or the access was withdrawn.")
        unmet = self._unmet(grant)
        if unmet is not None:
            # The demand may be met again, such as at the next opening hour: the application keeps its token.
            if fresh:
                store.give_back_refresh_token(request.session, hashed)
            raise InvalidGrantError(unmet.text)
        left = self._left(grant)
        if not left or not self._asks_within(left):
            # A mistake of the application, not a theft: it keeps its token.
            if fresh:
                store.give_back_refresh_token(request.session, hashed)
            description = "scope must be what was granted, or less (RFC 6749 section 6)."
            raise no_such_scope(request.client, request.payload.scope or "", description)
        request.grant = grant
        request.refresh_token_string = successor
        if fresh:
            # At once, with the use of its predecessor: a client that retries after an error must find it.
            store.insert_refresh_token(request.session, refresh_token_row(request, grant, successor))
            self._renewed = hashed, token_hash(successor)
        return _Refresh(grant, left)

    def _prepare_renewal(self, hashed: bytes, successor: str) -> _Refresh:
        """Return the grant of a token where everything is as it should be, so that it needs no transaction: the tokens
        are made first, and one statement (:meth:`ProviderServer.save_token`) uses the token and stores its successor.

        Raises:
            NeedsTransaction: when anything is not, or this token is of an earlier release.
        """
        request, client = self.request, self.request.client
        now = clock.now()
        idle_since = now - request.provider.idle
        unused = store.find_unused_refresh_token(
            request.session, hashed, now, idle_since, access=client.receives_access
        )
        grant = unused[0] if unused is not None else None
        if grant is None or grant.client_id != client.client_id or self._unmet(grant) is not None:
            raise NeedsTransaction
        try:
            left = self._left(grant)
        except InvalidGrantError:
            raise NeedsTransaction from None
        if not left or not self._asks_within(left):
            raise NeedsTransaction
        request.grant, request.refresh_token_string = grant, successor
        row = refresh_token_row(request, grant, successor)

        def renew(session: Executor, row: dict[str, object]) -> None:
            if not store.renew_refresh_token(session, hashed, row, idle_since):
                raise NeedsTransaction

        request.unsaved.append((renew, row))
        return _Refresh(grant, left)

    def _unmet(self, grant: LiveGrant) -> Unmet | None:
        request = self.request
        settings = request.provider.settings
        return unmet_by_grant(settings, request.session, Way.REFRESH, request.client, grant, request.caller)

    def _asks_within(self, scope: str) -> bool:
        """Tell whether the request asks for nothing but what is in ``scope``."""
        requested = self.request.payload.scope
        return not requested or set(requested.split()) <= set(scope.split())

    def _left(self, grant: LiveGrant) -> str:
        """Return the scopes that the grant still holds."""
        client = self.request.client
        if "offline_access" in grant.scope.split() and "offline_access" not in client.scopes:
            raise InvalidGrantError("The application may not have offline access any more.")
        return still_allowed(client, grant, grant.scope)

    def authenticate_user(self, refresh_token: _Refresh) -> UUID:
        return refresh_token.grant.user_id

    def generate_token(self, scope: str | None = None, **_: object) -> dict[str, object]:
        try:
            return token_response(self.request, scope or "", refresh_token=self.request.refresh_token_string)
        except OAuth2Error:
            # There is no key with which to encrypt: the application keeps its token, and may try again.
            if self._renewed is not None:
                store.undo_renewal(self.request.session, *self._renewed)
            raise

    def revoke_old_credential(self, refresh_token: _Refresh) -> None:
        """Nothing: it was consumed when it was looked up."""

    def _used_before(self, refresh_token: str, hashed: bytes, family: UUID, now: datetime) -> str | None:
        """Return the successor of a token that cannot be used, where this is a retry within the grace. A token that
        was used before ends its family. Used tokens are deleted after the grace: one that is not stored was used."""
        request = self.request
        seen = store.find_refresh_token(request.session, hashed)
        if seen is not None and (seen.client_id != request.client.client_id or seen.used_at is None):
            return None
        retried = self._same_successor(seen, refresh_token, now) if seen is not None else None
        if retried is None:
            # RFC 9700 section 4.14.2: of two who hold a token, one stole it, and nobody knows which.
            end_family(request, family, request.client.client_id, "refresh token used twice")
        return retried

    def _same_successor(self, seen: RefreshToken, refresh_token: str, now: datetime) -> str | None:
        """Return the successor that was given for a token used a moment ago and not used itself, or None.

        The grace lasts from the moment at which the successor was stored, at the end of a refresh that may have waited
        for a lock, to the moment ``now`` at which the retry came, which may have waited too.

        Raises:
            DatabaseUnavailable: when another host derived the successor from a secret that this host does not know:
                the application may ask again, and nobody has stolen anything.
        """
        if seen.successor_hash is None:
            return None
        following = store.find_refresh_token(self.request.session, seen.successor_hash)
        if following is None or following.used_at is not None:
            return None
        if now - following.created_at > self.request.provider.settings.refresh_token_grace_period:
            return None
        for key in self.request.provider.refresh_keys:
            candidate = self._successor(key, refresh_token, seen.grant_id)
            if equal(token_hash(candidate), seen.successor_hash):
                return candidate
        raise DatabaseUnavailable("a refresh token was derived from a secret that is not in SSO_SECRET_KEY")

    def _family_of(self, refresh_token: str, hashed: bytes) -> UUID | None:
        """Return the grant that a token belongs to: the token names it. The row of a token of an earlier release does,
        which costs one statement, once for each family."""
        request = self.request
        if names_family(refresh_token):
            return family_of(request.provider.refresh_family_key, refresh_token, request.client.client_id)
        if not request.in_transaction:
            raise NeedsTransaction
        seen = store.find_refresh_token(request.session, hashed)
        return seen.grant_id if seen is not None and seen.client_id == request.client.client_id else None

    def _successor(self, key: bytes, refresh_token: str, family: UUID) -> str:
        provider, client_id = self.request.provider, self.request.client.client_id
        return successor_of(key, provider.refresh_family_key, refresh_token, family, client_id)
