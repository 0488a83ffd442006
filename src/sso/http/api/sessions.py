"""Sessions, the proof of their end, and the ending of very many."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.accounts.power import check_power_over
from sso.accounts.service import end_session_of_person
from sso.http.api.common import (
    PREFIX,
    CursorText,
    IdempotencyKeyHeader,
    Limit,
    Made,
    Page,
    Problem,
    caller_in,
    cut,
    kept_address_of,
    needs,
    not_found,
    once,
    problems,
    read_id_cursor,
    request_id_of,
    rights_of,
    shown_response,
    site_of,
)
from sso.identity.sessions import store
from sso.identity.sessions.devices import device_of
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import ClientSession, HowTold, SessionFilter
from sso.identity.users.models import User
from sso.logout import bulk as mass_ending
from sso.logout.delivery_report import DeliveryReport, State, Told, delivery_report_of
from sso.oidc.models import BulkRevocation
from sso.oidc.provider import Provider
from sso.platform.security.ip_privacy import network_wanted

router = APIRouter(prefix=PREFIX, tags=["sessions"])

Note = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="Why, for the audit log.")]


class PersonBrief(BaseModel):
    """A person, briefly."""

    id: uuid.UUID
    name: str


class DeviceShown(BaseModel):
    """What the browser says of itself."""

    browser: str
    system: str
    model: str


Reason = Annotated[str, Field(json_schema_extra={"enum": [str(one) for one in EndReason]})]
"""Why a session is over. Reasons of a newer release are shown too."""


class PartShown(BaseModel):
    """An application that takes part in a session."""

    client_id: str
    name: str
    sid: str = Field(description="The name by which the application knows the session.")
    first_used_at: datetime
    last_used_at: datetime
    ended_at: datetime | None = Field(description="Its part ended before the session: it was suspended or removed.")


class SessionShown(BaseModel):
    """A session: one person signed in at one browser."""

    id: uuid.UUID
    person: PersonBrief
    status: Literal["living", "over"]
    started_at: datetime
    signed_in_at: datetime = Field(description="When the person last proved who they are (`auth_time`).")
    last_used_at: datetime
    expires_at: datetime
    remembered: bool
    acr: str
    amr: list[str]
    address: str | None = Field(description="In the form in which it is kept (SSO_IP_ADDRESS_PRIVACY).")
    device: DeviceShown
    applications: list[PartShown]
    ended_at: datetime | None
    end_reason: Reason | None


class ToldShown(BaseModel):
    """One application in the proof of an end."""

    client_id: str
    name: str
    how: HowTold
    state: State
    told_at: datetime | None
    confirmed_at: datetime | None
    attempts: int
    failure: str | None


class ProofShown(BaseModel):
    """What became of the end of a session, application by application."""

    session_id: uuid.UUID
    person: PersonBrief
    ended_at: datetime
    reason: Reason
    open: int = Field(description="How many applications are still to be told.")
    seconds_to_last_confirmation: float | None = Field(
        description="From the end to the last confirmation, once everybody who can confirm has."
    )
    applications: list[ToldShown]


class EndWanted(BaseModel):
    """Why a session is ended."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "The telephone was stolen."}]})

    note: Note = ""


class EndingWanted(BaseModel):
    """Which sessions are ended: exactly one of the four."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"client_id": "e-puskesmas", "note": "A leak of its keys."}]}
    )

    user_id: uuid.UUID | None = None
    client_id: Annotated[str, Field(max_length=100)] | None = None
    network: Annotated[str, Field(max_length=45, description="An address, or a network of whole parts.")] | None = None
    everything: Literal[True] | None = None
    note: Note = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.user_id, self.client_id, self.network, self.everything)) != 1:
            raise ValueError("name exactly one of user_id, client_id, network and everything")
        return self


class EndingShown(BaseModel):
    """Many sessions that are being ended, in the background."""

    id: uuid.UUID
    what: Literal["sessions", "parts"] = Field(description="`parts`: only the part that the application takes in each.")
    status: Literal["running", "stopped", "done"]
    user_id: uuid.UUID | None
    client_id: str | None
    network: str | None
    reason: Reason
    actor: str
    total: int
    ended: int
    created_at: datetime
    finished_at: datetime | None


@router.get("/sessions", summary="List sessions", responses=problems(), **needs("sessions:read"))
async def list_sessions(
    request: Request,
    status: Annotated[Literal["living", "ended", "all"], Query()] = "living",
    user_id: Annotated[uuid.UUID | None, Query()] = None,
    client_id: Annotated[str | None, Query(max_length=100)] = None,
    network: Annotated[str | None, Query(max_length=45)] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[SessionShown]:
    provider, now = site_of(request).provider, clock.now()
    wanted = SessionFilter(user_id=user_id, client_id=client_id, network=_network(request, network))
    async with provider.db.read() as session:
        before = read_id_cursor(cursor)
        found = await store.page_of(session, wanted, status, now, now - provider.idle, before, limit + 1)
        rows, following = cut(found, limit, lambda row: row[0].id)
        parts = await store.participants(session, [one.id for one, _ in rows])
    return Page(items=[shown_session(provider, *row, parts) for row in rows], next_cursor=following)


@router.get("/sessions/{session_id}", summary="Show a session", responses=problems(404), **needs("sessions:read"))
async def get_session(request: Request, session_id: uuid.UUID) -> SessionShown:
    provider = site_of(request).provider
    async with provider.db.read() as session:
        found = await store.get(session, session_id)
        if found is None:
            raise not_found("session")
        parts = await store.participants(session, [session_id])
    return shown_session(provider, *found, parts)


@router.post(
    "/sessions/{session_id}/end", summary="End a session", responses=problems(404, 409), **needs("sessions:end")
)
async def end_session(request: Request, session_id: uuid.UUID, wanted: EndWanted) -> ProofShown:
    """End it: tokens are over, every application that took part is told. The answer is the proof, as far as it is."""
    provider, caller = site_of(request).provider, caller_in(request)
    async with provider.db.write() as session:
        found = await store.get(session, session_id)
        if found is None:
            raise not_found("session")
        await check_power_over(session, provider, [found[1].id], rights_of(request), opens=False)
        await end_session_of_person(
            session,
            provider,
            session_id,
            actor=caller.actor,
            address=kept_address_of(request),
            request_id=request_id_of(request),
            note=wanted.note or None,
        )
    site_of(request).worker.nudge()
    return await _proof(provider, session_id)


@router.get(
    "/sessions/{session_id}/proof",
    summary="Show the proof of an end",
    responses=problems(404, 409),
    **needs("sessions:read"),
)
async def get_proof(request: Request, session_id: uuid.UUID) -> ProofShown:
    return await _proof(site_of(request).provider, session_id)


@router.post(
    "/session-endings",
    status_code=202,
    summary="End many sessions",
    response_model=EndingShown,
    responses=problems(404),
    **needs("sessions:end_many"),
)
async def begin_ending(request: Request, wanted: EndingWanted, key: IdempotencyKeyHeader = None) -> Response:
    """Begin to end them, in the background, at a rate that leaves signing in fast. Watch it at its own address."""
    provider, caller = site_of(request).provider, caller_in(request)
    if wanted.client_id is not None and provider.registry.known(wanted.client_id) is None:
        raise not_found("application")

    network = _network(request, wanted.network)

    async def check(session: AsyncSession) -> None:
        if wanted.user_id is not None:
            await check_power_over(session, provider, [wanted.user_id], rights_of(request), opens=False)

    async def make(session: AsyncSession) -> Made:
        chosen = SessionFilter(user_id=wanted.user_id, client_id=wanted.client_id, network=network)
        made = await mass_ending.begin(
            session, chosen, EndReason.ADMINISTRATOR, actor=caller.actor, note=wanted.note or None
        )
        return Made(shown_ending(made), f"{PREFIX}/session-endings/{made.id}", 202)

    return await once(request, key, check, make)


@router.get("/session-endings", summary="List endings of many sessions", responses=problems(), **needs("sessions:read"))
async def list_endings(request: Request, limit: Limit = 50, cursor: CursorText = None) -> Page[EndingShown]:
    async with site_of(request).provider.db.read() as session:
        found = await mass_ending.endings(session, limit + 1, read_id_cursor(cursor))
    rows, following = cut(found, limit, lambda one: one.id)
    return Page(items=[shown_ending(one) for one in rows], next_cursor=following)


@router.get(
    "/session-endings/{ending_id}", summary="See how far it is", responses=problems(404), **needs("sessions:read")
)
async def get_ending(request: Request, ending_id: uuid.UUID) -> EndingShown:
    async with site_of(request).provider.db.read() as session:
        found = await mass_ending.get_ending(session, ending_id)
    if found is None:
        raise not_found("ending")
    return shown_ending(found)


@router.post(
    "/session-endings/{ending_id}/stop",
    summary="Stop it",
    response_model=EndingShown,
    responses=problems(404, 409),
    **needs("sessions:end_many"),
)
async def stop_ending(request: Request, ending_id: uuid.UUID) -> Response:
    """Stop it. Sessions that are over stay over."""
    async with site_of(request).provider.db.write() as session:
        found = await mass_ending.get_ending(session, ending_id)
        if found is None:
            raise not_found("ending")
        if not await mass_ending.stop_ending(session, ending_id, actor=caller_in(request).actor):
            raise Problem(409, "not_running", "It is over", "It is done or was stopped already.")
        found = await mass_ending.get_ending(session, ending_id)
        assert found is not None
    return shown_response(shown_ending(found))


def _network(request: Request, typed: str | None) -> str | None:
    if typed is None:
        return None
    try:
        return network_wanted(typed, site_of(request).settings.ip_address_privacy)
    except ValueError as error:
        raise Problem(422, "invalid", "The network cannot be searched for", f"network: {error}.") from None


def shown_session(provider: Provider, found: SsoSession, person: User, parts: Sequence[ClientSession]) -> SessionShown:
    """Return a session as it is shown."""
    device, now = device_of(found.user_agent or ""), clock.now()
    idle = found.remembered_until is None and found.last_seen_at <= now - provider.idle
    over = found.ended_at is not None or found.expires_at <= now or idle or person.disabled_at is not None
    return SessionShown(
        id=found.id,
        person=PersonBrief(id=person.id, name=person.name),
        status="over" if over else "living",
        started_at=found.created_at,
        signed_in_at=found.auth_time,
        last_used_at=found.last_seen_at,
        expires_at=found.expires_at,
        remembered=found.remembered_until is not None,
        acr=found.acr,
        amr=found.amr,
        address=found.address,
        device=DeviceShown(browser=device.browser, system=device.system, model=device.model),
        applications=[_shown_part(provider, one) for one in parts if one.session_id == found.id],
        ended_at=found.ended_at,
        end_reason=found.end_reason,
    )


def shown_ending(found: BulkRevocation) -> EndingShown:
    """Return the ending of many sessions as it is shown."""
    return EndingShown.model_validate(found, from_attributes=True)


def shown_proof(proof: DeliveryReport) -> ProofShown:
    """Return a proof as it is shown."""
    return ProofShown(
        session_id=proof.session_id,
        person=PersonBrief(id=proof.user_id, name=proof.person),
        ended_at=proof.ended_at,
        reason=proof.reason,
        open=proof.open,
        seconds_to_last_confirmation=proof.seconds_to_last_confirmation,
        applications=[_shown_told(one) for one in proof.applications],
    )


def _shown_told(one: Told) -> ToldShown:
    return ToldShown.model_validate(one, from_attributes=True)


def _shown_part(provider: Provider, one: ClientSession) -> PartShown:
    client = provider.registry.known(one.client_id)
    name = client.meta.client_name if client else one.client_id
    times = {"first_used_at": one.first_used_at, "last_used_at": one.last_used_at, "ended_at": one.ended_at}
    return PartShown(client_id=one.client_id, name=name, sid=one.sid, **times)


async def _proof(provider: Provider, session_id: uuid.UUID) -> ProofShown:
    async with provider.db.read() as session:
        if await store.get(session, session_id) is None:
            raise not_found("session")
        found = await delivery_report_of(session, provider, session_id)
    if found is None:
        raise Problem(409, "not_ended", "It is not over", "This session has not been ended.")
    return shown_proof(found)
