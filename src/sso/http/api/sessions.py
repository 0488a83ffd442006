"""Sessions, their delivery reports, and bulk revocation."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from sso import clock
from sso.accounts.administration import end_session_of_person
from sso.accounts.power import check_power_over
from sso.clients.registry import Registry
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.idempotency import Created, Creation
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.preconditions import representation_response
from sso.http.api.problems import Problem, not_found, problems
from sso.http.api.schemas import sessions as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Clients, CurrentSettings, Db, Outbox
from sso.identity.sessions import store
from sso.identity.sessions.devices import device_of
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import ClientSession, SessionFilter
from sso.identity.users.models import User
from sso.logout import bulk as mass_ending
from sso.logout.delivery_report import DeliveryReport, NotifiedApplication, delivery_report_of
from sso.oidc.models import BulkRevocation
from sso.platform.db import Database
from sso.platform.security.ip_privacy import network_filter
from sso.settings import Settings

router = new_router(prefix=PREFIX, tags=["sessions"])


@router.get("/sessions", summary="List sessions", responses=problems(), **needs("sessions:read"))
async def list_sessions(
    db: Db,
    settings: CurrentSettings,
    known: Clients,
    status: Annotated[Literal["active", "ended", "all"], Query()] = "active",
    user_id: Annotated[uuid.UUID | None, Query()] = None,
    client_id: Annotated[str | None, Query(max_length=100)] = None,
    network: Annotated[str | None, Query(max_length=45)] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.SessionPage:
    now = clock.now()
    unused_since = now - settings.session_idle_timeout
    chosen = SessionFilter(user_id=user_id, client_id=client_id, network=_network(settings, network))
    async with db.read() as session:
        before = read_id_cursor(cursor)
        listed = await store.page_of(session, chosen, status, now, unused_since, before, limit + 1)
        rows, following = cut(listed, limit, lambda row: row[0].id)
        client_sessions = await store.participants(session, [sso_session.id for sso_session, _ in rows])
    return schemas.SessionPage(
        items=[session_representation(known.registry, unused_since, *row, client_sessions) for row in rows],
        next_cursor=following,
    )


@router.get("/sessions/{session_id}", summary="Show a session", responses=problems(404), **needs("sessions:read"))
async def get_session(session_id: uuid.UUID, db: Db, settings: CurrentSettings, known: Clients) -> schemas.Session:
    async with db.read() as session:
        present = await store.get(session, session_id)
        if present is None:
            raise not_found("session")
        client_sessions = await store.participants(session, [session_id])
    return session_representation(
        known.registry, clock.now() - settings.session_idle_timeout, *present, client_sessions
    )


@router.post(
    "/sessions/{session_id}/end", summary="End a session", responses=problems(404, 409), **needs("sessions:end")
)
async def end_session(
    session_id: uuid.UUID,
    body: schemas.SessionEndRequest,
    access: Access,
    db: Db,
    known: Clients,
    accounts: AccountActor,
    outbox: Outbox,
) -> schemas.DeliveryReport:
    """Revoke its tokens and notify every application of the session. The answer is the delivery report so far."""
    async with db.write() as session:
        present = await store.get(session, session_id)
        if present is None:
            raise not_found("session")
        await check_power_over(session, known.registry, [present[1].id], access.rights, opens=False)
        await end_session_of_person(
            session,
            accounts,
            session_id,
            actor=access.actor_with_address,
            note=body.note or None,
        )
    outbox.nudge()
    return await _delivery_report(db, known.registry, session_id)


@router.get(
    "/sessions/{session_id}/delivery-report",
    summary="Show the delivery report of an ended session",
    responses=problems(404, 409),
    **needs("sessions:read"),
)
async def get_delivery_report(session_id: uuid.UUID, db: Db, known: Clients) -> schemas.DeliveryReport:
    return await _delivery_report(db, known.registry, session_id)


@router.post(
    "/session-endings",
    status_code=202,
    summary="End many sessions",
    response_model=schemas.SessionEnding,
    responses=problems(404),
    **needs("sessions:end_many"),
)
async def begin_ending(
    body: schemas.SessionEndingCreate,
    creation: Creation,
    access: Access,
    settings: CurrentSettings,
    known: Clients,
) -> Response:
    """The sessions end in the background, at a rate that keeps sign-ins fast. Read the progress at its Location."""
    if body.client_id is not None and known.registry.known(body.client_id) is None:
        raise not_found("application")

    network = _network(settings, body.network)

    async def check(session: AsyncSession) -> None:
        if body.user_id is not None:
            await check_power_over(session, known.registry, [body.user_id], access.rights, opens=False)

    async def make(session: AsyncSession) -> Created:
        chosen = SessionFilter(user_id=body.user_id, client_id=body.client_id, network=network)
        revocation = await mass_ending.begin(
            session, chosen, EndReason.ADMINISTRATOR, actor=access.actor_with_address, note=body.note or None
        )
        return Created(ending_representation(revocation), f"{PREFIX}/session-endings/{revocation.id}", 202)

    return await creation.once(check, make)


@router.get("/session-endings", summary="List bulk revocations", responses=problems(), **needs("sessions:read"))
async def list_endings(db: Db, limit: Limit = 50, cursor: CursorText = None) -> schemas.SessionEndingPage:
    async with db.read() as session:
        revocations = await mass_ending.endings(session, limit + 1, read_id_cursor(cursor))
    rows, following = cut(revocations, limit, lambda revocation: revocation.id)
    return schemas.SessionEndingPage(
        items=[ending_representation(revocation) for revocation in rows], next_cursor=following
    )


@router.get(
    "/session-endings/{ending_id}", summary="Show a bulk revocation", responses=problems(404), **needs("sessions:read")
)
async def get_ending(ending_id: uuid.UUID, db: Db) -> schemas.SessionEnding:
    async with db.read() as session:
        revocation = await mass_ending.get_ending(session, ending_id)
    if revocation is None:
        raise not_found("ending")
    return ending_representation(revocation)


@router.post(
    "/session-endings/{ending_id}/stop",
    summary="Stop a bulk revocation",
    response_model=schemas.SessionEnding,
    responses=problems(404, 409),
    **needs("sessions:end_many"),
)
async def stop_ending(ending_id: uuid.UUID, access: Access, db: Db) -> Response:
    """Stop a bulk revocation. Ended sessions stay ended."""
    async with db.write() as session:
        revocation = await mass_ending.get_ending(session, ending_id)
        if revocation is None:
            raise not_found("ending")
        if not await mass_ending.stop_ending(session, ending_id, actor=access.actor_with_address):
            raise Problem(409, "not_running", "It is done or was stopped already.")
        revocation = await mass_ending.get_ending(session, ending_id)
        assert revocation is not None
    return representation_response(ending_representation(revocation))


def _network(settings: Settings, typed: str | None) -> str | None:
    if typed is None:
        return None
    try:
        return network_filter(typed, settings.ip_address_privacy)
    except ValueError as error:
        raise Problem(422, "invalid", f"network: {error}.") from None


def session_representation(
    registry: Registry,
    unused_since: datetime,
    sso_session: SsoSession,
    person: User,
    client_sessions: Sequence[ClientSession],
) -> schemas.Session:
    """Return a session as it is shown. ``unused_since``: one that nobody used after that has ended."""
    device, now = device_of(sso_session.user_agent or ""), clock.now()
    idle = sso_session.remembered_until is None and sso_session.last_seen_at <= unused_since
    ended = sso_session.ended_at is not None or sso_session.expires_at <= now or idle or person.disabled_at is not None
    return schemas.Session(
        id=sso_session.id,
        person=schemas.UserSummary(id=person.id, name=person.name),
        status="ended" if ended else "active",
        started_at=sso_session.created_at,
        signed_in_at=sso_session.auth_time,
        last_used_at=sso_session.last_seen_at,
        expires_at=sso_session.expires_at,
        remembered=sso_session.remembered_until is not None,
        acr=sso_session.acr,
        amr=sso_session.amr,
        address=sso_session.address,
        device=schemas.Device(browser=device.browser, system=device.system, model=device.model),
        applications=[
            _client_session_representation(registry, client_session)
            for client_session in client_sessions
            if client_session.session_id == sso_session.id
        ],
        ended_at=sso_session.ended_at,
        end_reason=sso_session.end_reason,
    )


def ending_representation(revocation: BulkRevocation) -> schemas.SessionEnding:
    """Return the ending of many sessions as it is shown."""
    return schemas.SessionEnding.model_validate(revocation, from_attributes=True)


def delivery_report_representation(report: DeliveryReport) -> schemas.DeliveryReport:
    """Return a proof as it is shown."""
    return schemas.DeliveryReport(
        session_id=report.session_id,
        person=schemas.UserSummary(id=report.user_id, name=report.person),
        ended_at=report.ended_at,
        reason=report.reason,
        open=report.open,
        seconds_to_last_confirmation=report.seconds_to_last_confirmation,
        applications=[_notified_application(notified) for notified in report.applications],
    )


def _notified_application(notified: NotifiedApplication) -> schemas.ClientNotification:
    return schemas.ClientNotification.model_validate(notified, from_attributes=True)


def _client_session_representation(registry: Registry, client_session: ClientSession) -> schemas.ClientSession:
    client = registry.known(client_session.client_id)
    name = client.meta.client_name if client else client_session.client_id
    times = {
        "first_used_at": client_session.first_used_at,
        "last_used_at": client_session.last_used_at,
        "ended_at": client_session.ended_at,
    }
    return schemas.ClientSession(client_id=client_session.client_id, name=name, sid=client_session.sid, **times)


async def _delivery_report(db: Database, registry: Registry, session_id: uuid.UUID) -> schemas.DeliveryReport:
    async with db.read() as session:
        if await store.get(session, session_id) is None:
            raise not_found("session")
        report = await delivery_report_of(session, registry, session_id)
    if report is None:
        raise Problem(409, "not_ended", "This session has not been ended.")
    return delivery_report_representation(report)
