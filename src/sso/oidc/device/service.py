"""Devices without a browser (RFC 8628): they get a code, a person types it elsewhere and decides.

User codes have eight letters without vowels: 34 bits, easy to read out and to type, and no words come of them.
Guessing is limited per address where they are typed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from authlib.oauth2.rfc6749 import UnauthorizedClientError
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint as AuthlibDeviceAuthorizationEndpoint
from authlib.oauth2.rfc8628.endpoint import create_string_user_code
from sqlalchemy import CursorResult, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso import clock
from sso.clients.metadata import DEVICE_CODE
from sso.clients.registry import Client
from sso.identity.sessions import store as sessions
from sso.oidc.authorize.signed_in import SignedIn
from sso.oidc.claims import kept_with_grant
from sso.oidc.demands import Unmet, Way, unmet
from sso.oidc.enforcement import facts_at_page, must_read, recorded, standing_at_page
from sso.oidc.models import DeviceCode
from sso.oidc.requests import ProtocolRequest, check_granted, no_such_scope, note_ignored_scopes
from sso.oidc.services import DeviceServices
from sso.oidc.store import store
from sso.oidc.token.client_auth import CLIENT_AUTH_METHODS
from sso.platform.audit import record
from sso.platform.db import delete_batch, fetch, insert_for, new_id, session_of, table_of
from sso.platform.security.tokens import random_token, token_hash
from sso.settings import Settings, whole_seconds

SLOW_DOWN_SECONDS = 5
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
UNUSED_KEPT = timedelta(hours=1)
"""How long a code that nobody decided about is kept after its time, so that a page can say which application it was
for."""
_TRIES = 5


class SessionEnded(Exception):
    """The session in which a person decides ended before they did."""


class DeviceAuthorizationEndpoint(AuthlibDeviceAuthorizationEndpoint):
    """Where a device begins (RFC 8628 section 3.1)."""

    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def create_endpoint_response(self, request: ProtocolRequest) -> tuple[int, dict[str, object], object]:
        client = self.authenticate_client(request)
        if not client.check_grant_type(DEVICE_CODE):
            raise UnauthorizedClientError("The client has not registered the device code grant.")
        requested = request.payload.data.get("scope", "")
        check_granted(client, requested.split())
        scope = client.get_allowed_scope(requested)
        if not scope:
            raise no_such_scope(client, requested, "The client has not registered any of these scopes.")
        note_ignored_scopes(request.provider.usage, client, requested, "/device_authorization")
        settings, device_code = request.provider.settings, random_token()
        user_code = _store(request, device_code, scope)
        uri = request.provider.url("/device")
        return (
            200,
            {
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": uri,
                "verification_uri_complete": f"{uri}?user_code={user_code}",
                "expires_in": whole_seconds(settings.device_code_lifetime),
                "interval": whole_seconds(settings.device_polling_interval),
            },
            [("Content-Type", "application/json")],
        )


def _store(request: ProtocolRequest, device_code: str, scope: str) -> str:
    session, now, settings = session_of(request.session), clock.now(), request.provider.settings
    for _ in range(_TRIES):
        user_code: str = create_string_user_code()
        statement = insert_for(session)(DeviceCode).values(
            device_hash=token_hash(device_code),
            user_code=user_code,
            client_id=request.client.client_id,
            scope=scope,
            status="pending",
            interval=whole_seconds(settings.device_polling_interval),
            created_at=now,
            expires_at=now + settings.device_code_lifetime,
        )
        inserted = session.execute(statement.on_conflict_do_nothing(index_elements=["user_code"]))
        if cast(CursorResult[tuple[()]], inserted).rowcount == 1:
            return user_code
    raise RuntimeError("no user code is free")


def normal_user_code(typed: str) -> str:
    """Return a user code as it is stored: however it was typed, with or without its hyphen (RFC 8628 section 6.1)."""
    letters = "".join(char for char in typed.upper() if char in USER_CODE_LETTERS)
    return f"{letters[:4]}-{letters[4:]}" if len(letters) == 8 else ""


def held(session: Session, device_hash: bytes) -> DeviceCode | None:
    """Return the code of a device, held until the transaction ends."""
    statement = select(DeviceCode).where(DeviceCode.device_hash == device_hash).with_for_update(key_share=True)
    return session.execute(statement).scalar_one_or_none()


_codes = table_of(DeviceCode)
_d = _codes.c
_FIND_WAITING = select(DeviceCode).where(
    DeviceCode.user_code == bindparam("typed"),
    DeviceCode.status == "pending",
    DeviceCode.expires_at > bindparam("now"),
)
_DECIDE = update(_codes).where(_d.device_hash == bindparam("device"), _d.status == "pending").returning(_d.device_hash)
_SET_GRANT = update(_codes).where(_d.device_hash == bindparam("device"))


async def find_waiting(session: AsyncSession, user_code: str) -> DeviceCode | None:
    """Return the device that waits for a decision with ``user_code``."""
    return (await session.execute(_FIND_WAITING, {"typed": user_code, "now": clock.now()})).scalar_one_or_none()


async def application_of(session: AsyncSession, user_code: str) -> str:
    """Return the client_id of the device with ``user_code``, also where its time is over or it was decided about;
    nothing where nobody has that code."""
    statement = select(DeviceCode.client_id).where(DeviceCode.user_code == user_code)
    return (await session.execute(statement)).scalar_one_or_none() or ""


async def unmet_by(
    session: AsyncSession, settings: Settings, waiting: DeviceCode, client: Client, who: SignedIn, address: str
) -> Unmet | None:
    """Return which demand a person does not meet who is about to connect a device, or None. At most one statement.

    Args:
        session: for reading.
        settings: the settings.
        waiting: the device.
        client: its application.
        who: the person.
        address: the network address that they come from.
    """
    standing = await standing_at_page(session, client, who.user.id) if must_read(client) else who.standing
    facts = facts_at_page(settings, standing, who.session, address, since=waiting.created_at)
    return unmet(Way.DEVICE, client, facts)


async def decide(
    session: AsyncSession,
    services: DeviceServices,
    waiting: DeviceCode,
    who: SignedIn,
    *,
    allowed: bool,
    caller: str,
    address: str | None,
    request_id: str,
) -> bool:
    """Carry out what a person decided; tell whether the device was still waiting. Who allows has met every demand: see
    :func:`unmet_by`.

    Args:
        session: the transaction.
        services: what this needs of the process.
        waiting: the device.
        who: the person who decided.
        allowed: what was decided.
        caller: the network address it came from.
        address: the same in the form in which it is kept.
        request_id: the reference for log and audit.

    Raises:
        SessionEnded: when the person's session ended meanwhile; the transaction must not be committed.
    """
    now = clock.now()
    status = "approved" if allowed else "denied"
    if not await fetch(session, _DECIDE, {"device": waiting.device_hash, "status": status}):
        return False
    if not await sessions.lock_active(session, who.session.id, now, now - services.idle):
        raise SessionEnded
    if allowed:
        await _grant(session, services, waiting, who, caller)
    record(
        session,
        "device.approved" if allowed else "device.denied",
        actor=str(who.user.id),
        subject=str(who.user.id),
        client_id=waiting.client_id,
        address=address,
        request_id=request_id,
        data={"scope": waiting.scope},
    )
    return True


async def _grant(
    session: AsyncSession, services: DeviceServices, waiting: DeviceCode, who: SignedIn, caller: str
) -> None:
    now, grant_id, settings = clock.now(), new_id(), services.settings
    client = services.registry.known(waiting.client_id)
    assert client is not None, "it was shown to the person"
    keep = max(settings.refresh_token_lifetime, settings.access_token_lifetime, settings.device_code_lifetime)
    values = {
        "id": grant_id,
        "client_id": waiting.client_id,
        "user_id": who.user.id,
        "session_id": who.session.id,
        "scope": waiting.scope,
        "auth_time": who.session.auth_time,
        "acr": who.session.acr,
        "amr": who.session.amr,
        "offline": "offline_access" in waiting.scope.split(),
        "details": kept_with_grant(client, recorded(client, caller)),
        "created_at": now,
        "expires_at": now + keep,
    }
    await session.run_sync(lambda sync: store.insert_grant(sync, values))
    await fetch(session, _SET_GRANT, {"device": waiting.device_hash, "grant_id": grant_id})


async def delete_expired_device_codes(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete the codes whose time was over ``before``, and sooner those that nobody decided about, because anybody can
    cause them; at most ``limit``. Return how many."""
    expired = DeviceCode.expires_at < max(before, clock.now() - UNUSED_KEPT)
    unused = DeviceCode.status == "pending"
    chosen = or_(unused, DeviceCode.expires_at < before)
    return await delete_batch(session, DeviceCode, DeviceCode.expires_at, limit, expired, chosen)
