"""The answer to a proxy that asks whether a request may pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from sso import clock
from sso.clients.access_policy import RolesAndGroups, may_use, network_of
from sso.clients.metadata.gate import GateSettings, scope_of_basic
from sso.clients.registry import Client
from sso.gate import store
from sso.gate.decision import Kind, ProxiedRequest, is_navigation, is_own_path, is_sign_out, path_rule
from sso.gate.headers import (
    JWT_RENEWED_SECONDS,
    Headers,
    basic_credentials,
    basic_username,
    encoded,
    signed,
    values_of_grant,
    values_of_user,
)
from sso.gate.keys import basic_password
from sso.gate.services import MEMORY, GateServices
from sso.identity.sessions import service as sessions
from sso.oidc.demands import Way
from sso.oidc.enforcement import standing_of_grant, unmet_with_standing
from sso.oidc.store.store import LiveGrant
from sso.platform.db import Work
from sso.platform.security.tokens import token_hash

log = logging.getLogger("sso.gate")

USER_DATA_SECONDS = 60
"""How long a process uses what it has read of a user: name, contacts, ids. Roles and groups are read each time."""
MAX_REMEMBERED = 20_000
_NOBODY = RolesAndGroups(())

Key = tuple[bytes, str, str, str]


class Outcome(Enum):
    """What a proxy is told."""

    PASS = auto()
    SIGN_IN = auto()
    FORBIDDEN = auto()


class Why(Enum):
    """Why a request is forbidden."""

    SUSPENDED = auto()
    PATH = auto()
    ROLE = auto()
    NO_USERNAME = auto()
    NO_PASSWORD = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. ``headers`` are for the application, with names in small letters; ``why``: why it is forbidden."""

    outcome: Outcome
    headers: Headers = ()
    why: Why | None = None


_SIGN_IN = Verdict(Outcome.SIGN_IN)
_FORBIDDEN = {why: Verdict(Outcome.FORBIDDEN, why=why) for why in Why}


@dataclass(slots=True)
class _Remembered:
    """What a process knows of a cookie. ``at``: from when its answer counts; ``roles_and_groups``: of the user;
    ``lacks``: what is missing for the Basic credentials of the application."""

    at: datetime
    roles_and_groups: RolesAndGroups
    gate: GateSettings
    headers: Headers = ()
    lacks: Why | None = None
    user: dict[str, object] | None = None
    user_at: datetime | None = None
    signed: dict[str, object] | None = None
    jwt: str = ""
    jwt_at: datetime | None = None


class GateMemory:
    """The answers of the last second, of one process."""

    def __init__(self) -> None:
        self._known: dict[Key, _Remembered] = {}

    def find(self, key: Key) -> _Remembered | None:
        """Return what is known of a cookie at a host, fresh or not."""
        return self._known.get(key)

    def keep(self, key: Key, known: _Remembered) -> None:
        """Remember the answer to a cookie that opens something."""
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[key] = known

    def discard(self, key: Key) -> None:
        """Forget a cookie that opens nothing any more."""
        self._known.pop(key, None)


async def check(services: GateServices, memory: GateMemory, client: Client, proxied: ProxiedRequest) -> Verdict:
    """Decide whether a request may pass.

    One statement, or none where the same process has answered for this cookie within the last second.

    Args:
        services: what this needs of the process.
        memory: the answers of the last second.
        client: the application, whose proxy asks; ``proxied.host`` is one of its hosts.
        proxied: the request.

    Raises:
        DatabaseUnavailable: when there is no database now.
    """
    gate = client.meta.gate
    assert gate is not None
    if not client.enabled:
        return _FORBIDDEN[Why.SUSPENDED]
    rule = path_rule(gate, proxied.uri)
    if rule.kind is Kind.REFUSED or not proxied.uri or is_own_path(proxied.uri):
        return _FORBIDDEN[Why.PATH]
    if rule.kind is Kind.PUBLIC:
        return Verdict(Outcome.PASS, encoded(gate, {}))
    if not proxied.token or (is_sign_out(gate, proxied.uri) and is_navigation(proxied.headers)):
        return _SIGN_IN
    known = await _known(services, memory, client, gate, proxied)
    if known is None:
        return _SIGN_IN
    if any(not may_use(roles, client.meta.application_roles, known.roles_and_groups) for roles in rule.roles):
        return _FORBIDDEN[Why.ROLE]
    if known.lacks is not None:
        return _FORBIDDEN[known.lacks]
    return Verdict(Outcome.PASS, known.headers)


async def _known(
    services: GateServices, memory: GateMemory, client: Client, gate: GateSettings, proxied: ProxiedRequest
) -> _Remembered | None:
    """Return what is known of the cookie of a request, at most a second old; None: it opens nothing."""
    hashed = token_hash(proxied.token)
    key = (hashed, client.client_id, proxied.host, proxied.address)
    before, now = memory.find(key), clock.now()
    if before is not None and timedelta(0) <= now - before.at < MEMORY:
        return before
    known, gate_session = await services.db.run_read(
        lambda work: _read(services, work, client, proxied, hashed, before, now)
    )
    if known is None:
        memory.discard(key)
        if gate_session is not None and gate_session.notified_by == "gate" and gate_session.refused_at is None:
            async with services.db.write() as session:
                await store.record_refusal(session, gate_session.session_id, client.client_id, clock.now())
        return None
    memory.keep(key, known)
    assert gate_session is not None
    await _record_use(services, client, gate, hashed, gate_session, now)
    return known


def _read(
    services: GateServices,
    work: Work,
    client: Client,
    proxied: ProxiedRequest,
    hashed: bytes,
    before: _Remembered | None,
    now: datetime,
) -> tuple[_Remembered | None, store.FoundSession | None]:
    """Read the gate session of a cookie, and what the application receives. ``before``: what was known before."""
    idle_since = now - services.idle
    gate_session = store.find(
        work, hashed, client.client_id, proxied.host, now, idle_since, access=client.receives_access
    )
    if gate_session is None or gate_session.grant is None or _has_ended(client.meta.gate, gate_session, now):
        return None, gate_session
    grant, standing = gate_session.grant, standing_of_grant(work, client, gate_session.grant)
    networks = client.meta.allowed_networks
    if networks and network_of(networks, proxied.address) is None:
        return None, gate_session
    if unmet_with_standing(services.settings, Way.GATE, client, grant, standing) is not None:
        return None, gate_session
    gate = client.meta.gate
    assert gate is not None
    needed = scope_of_basic(gate)
    if needed in client.scopes and needed not in grant.scope.split():  # older than the setting: sign in once more
        return None, gate_session
    known = _Remembered(now, standing.roles_and_groups if standing is not None else _NOBODY, gate)
    if (
        before is not None
        and before.gate is gate
        and before.user_at is not None
        and now - before.user_at < timedelta(seconds=USER_DATA_SECONDS)
    ):
        known.user, known.user_at = before.user, before.user_at
    else:
        known.user, known.user_at = values_of_user(services, work, client, grant), now
    _write_headers(services, client, proxied.host, grant, known, before)
    return known, gate_session


def _has_ended(gate: GateSettings | None, gate_session: store.FoundSession, now: datetime) -> bool:
    """Tell whether the cookie has expired, or was not used for too long."""
    idle = gate.idle_seconds if gate is not None else None
    return gate_session.expires_at <= now or (
        idle is not None and now - gate_session.last_used_at > timedelta(seconds=idle)
    )


def _write_headers(
    services: GateServices,
    client: Client,
    host: str,
    grant: LiveGrant,
    known: _Remembered,
    before: _Remembered | None,
) -> None:
    """Make the headers; the JWT anew where it has become old or says something else."""
    gate = client.meta.gate
    assert gate is not None
    values = {**(known.user or {}), **values_of_grant(services, client, grant)}
    known.signed = values
    if "jwt" in gate.headers:
        same = before is not None and before.signed == values and before.jwt_at is not None
        if same and before is not None and before.jwt_at is not None:
            age = known.at - before.jwt_at
            same = timedelta(0) <= age < timedelta(seconds=JWT_RENEWED_SECONDS)
            known.jwt, known.jwt_at = before.jwt, before.jwt_at
        if not same:
            known.jwt, known.jwt_at = signed(services, client, host, grant, values), known.at
        values = {**values, "jwt": known.jwt}
    authorization = b""
    if gate.basic is not None:
        username, password = basic_username(gate, values), basic_password(services.box, client)
        if password is None:
            known.lacks = Why.NO_PASSWORD
            log.warning("%s has no client secret, which the gate sends as the password", client.client_id)
        elif username is None:
            known.lacks = Why.NO_USERNAME
        else:
            authorization = basic_credentials(username, password)
    known.headers = encoded(gate, values, authorization)


async def _record_use(
    services: GateServices,
    client: Client,
    gate: GateSettings,
    hashed: bytes,
    gate_session: store.FoundSession,
    now: datetime,
) -> None:
    """Record the use of the session, of the application's part and of the cookie, if the last record is old."""
    settings = services.settings
    interval = settings.session_last_seen_interval
    if gate.idle_seconds is not None:
        interval = min(interval, timedelta(seconds=gate.idle_seconds / 4))
    seen = max(gate_session.last_used_at, gate_session.created_at)
    if now - seen < interval:
        return
    async with services.db.write() as session:
        await sessions.touch(session, settings, gate_session.session_id, now)
        await store.record_use_of_client_session(session, gate_session.session_id, client.client_id, now)
        await store.record_use(session, hashed, now)
