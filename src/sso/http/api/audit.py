"""The audit log."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field
from starlette.requests import Request

from sso.http.api.common import (
    PREFIX,
    CursorText,
    Limit,
    Page,
    cut,
    needs,
    not_found,
    problems,
    read_id_cursor,
    site_of,
)
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import AuditFilter, page_of_events
from sso.platform.security.numbers import checked_moment

router = APIRouter(prefix=PREFIX, tags=["audit"])


def _with_zone(value: object) -> object:
    if isinstance(value, str) and "T" not in value.upper():
        raise ValueError("must be a moment with its time zone, such as 2026-01-31T08:00:00Z (RFC 3339)")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_with_zone), AfterValidator(checked_moment)]


class EventShown(BaseModel):
    """Something that happened."""

    id: uuid.UUID
    seq: int | None = Field(description="Its place in the chain; none for a moment after it happened.")
    at: datetime
    type: str
    outcome: Literal["success", "failure"]
    actor: str | None
    subject: str | None
    client_id: str | None
    address: str | None = Field(description="In the form in which it is kept (SSO_IP_ADDRESS_PRIVACY).")
    request_id: str | None
    data: dict[str, Any]


@router.get("/audit-events", summary="List events", responses=problems(), **needs("audit:read"))
async def list_events(
    request: Request,
    type: Annotated[str | None, Query(max_length=64)] = None,
    outcome: Annotated[Literal["success", "failure"] | None, Query()] = None,
    actor: Annotated[str | None, Query(max_length=200)] = None,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    client_id: Annotated[str | None, Query(max_length=100)] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[EventShown]:
    """The newest first. The whole log, in order: `sso audit export`; whether it is whole: `sso audit verify`."""
    wanted = AuditFilter(None, type, outcome, actor, subject, client_id, since, until)
    async with site_of(request).provider.db.read() as session:
        found = await page_of_events(session, wanted, read_id_cursor(cursor), limit + 1)
    rows, following = cut(found, limit, lambda one: one.id)
    return Page(items=[_shown(one) for one in rows], next_cursor=following)


@router.get("/audit-events/{event_id}", summary="Show an event", responses=problems(404), **needs("audit:read"))
async def get_event(request: Request, event_id: uuid.UUID) -> EventShown:
    async with site_of(request).provider.db.read() as session:
        found = await session.get(AuditEvent, event_id)
    if found is None:
        raise not_found("event")
    return _shown(found)


def _shown(found: AuditEvent) -> EventShown:
    return EventShown.model_validate(found, from_attributes=True)
