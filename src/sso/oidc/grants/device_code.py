"""The device code grant (RFC 8628 section 3.4): a device asks again and again until a person has decided."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from authlib.oauth2.rfc6749 import InvalidGrantError
from authlib.oauth2.rfc8628 import DeviceCodeGrant as AuthlibDeviceCodeGrant

from sso import clock
from sso.clients.registry import Client
from sso.identity.sessions.store import open_client_session
from sso.oidc.demands import Way
from sso.oidc.device import service as device
from sso.oidc.enforcement import unmet_by_grant
from sso.oidc.models import DeviceCode
from sso.oidc.requests import ProtocolRequest
from sso.oidc.store import store
from sso.oidc.token.client_auth import CLIENT_AUTH_METHODS
from sso.oidc.token.issue import end_family, first_tokens
from sso.platform.db import session_of
from sso.platform.security.tokens import token_hash


class _Credential:
    """A device code as Authlib looks at it."""

    def __init__(self, row: DeviceCode, client: Client) -> None:
        self.row = row
        self.client_id = client.client_id

    def get_client_id(self) -> str:
        return self.client_id

    def get_scope(self) -> str:
        return self.row.scope

    def get_user_code(self) -> str:
        return self.row.user_code

    def is_expired(self) -> bool:
        return self.row.expires_at <= clock.now()


class DeviceCodeGrant(AuthlibDeviceCodeGrant):
    """Authlib's grant on our tables. The row is held while it is looked at, so that a code is redeemed once."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS
    request: ProtocolRequest

    def query_device_credential(self, device_code: str) -> _Credential:
        request, client = self.request, self.request.client
        row = device.held(session_of(request.session), token_hash(device_code))
        if row is None or row.client_id != client.client_id:
            raise InvalidGrantError("The device code is not known, or is not this client's.")
        if row.status == "used":
            if row.grant_id is not None:
                end_family(request, row.grant_id, row.client_id, "device code used twice")
            raise InvalidGrantError("The device code was used before.")
        self._row = row
        return _Credential(row, client)

    def authenticate_token_endpoint_client(self) -> Client:
        client: Client = super().authenticate_token_endpoint_client()
        self.request.client = client
        return client

    def query_user_grant(self, user_code: str) -> tuple[UUID, bool] | None:
        if self._row.status == "denied":
            return UUID(int=0), False
        if self._row.status != "approved" or self._row.grant_id is None:
            return None
        request, now = self.request, clock.now()
        idle_since = now - request.provider.idle
        store.lock_session_of(request.session, self._row.grant_id)
        provider, client = request.provider, request.client
        grant = store.find_grant(
            request.session, self._row.grant_id, now, idle_since, lock="change", access=client.receives_access
        )
        self._row.status = "used"
        if grant is None:
            raise InvalidGrantError("The grant has ended: the user signed out, or the access was withdrawn.")
        if (
            unmet_by_grant(provider.settings, request.session, Way.DEVICE_CODE, client, grant, request.caller)
            is not None
        ):
            self._row.status = "denied"
            store.revoke_grant(request.session, grant.id, now)
            return grant.user_id, False
        sid = None
        if grant.session_id is not None:
            sid = open_client_session(request.session, grant.session_id, grant.client_id, now, idle_since)
        request.grant = grant.with_sid(sid) if sid is not None else grant
        return grant.user_id, True

    def should_slow_down(self, credential: _Credential) -> bool:
        """RFC 8628 section 3.5: who asks too soon must wait five seconds longer, from then on."""
        row, now = credential.row, clock.now()
        soon = row.last_polled_at is not None and now - row.last_polled_at < timedelta(seconds=row.interval)
        row.last_polled_at = now
        if soon:
            row.interval += device.SLOW_DOWN_SECONDS
        return soon

    def generate_token(self, include_refresh_token: bool = True, **_: object) -> dict[str, object]:
        return first_tokens(self.request, self.request.credential.get_scope(), include_refresh_token)
