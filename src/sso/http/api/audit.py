"""The audit log."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from sso.http.api.access import PREFIX, needs
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import audit as schemas
from sso.http.common.late_routes import new_router
from sso.http.common.services import Db
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import AuditFilter, page_of_events
from sso.platform.security.numbers import checked_moment

router = new_router(prefix=PREFIX, tags=["audit"])


def _with_zone(value: object) -> object:
    if isinstance(value, str) and "T" not in value.upper():
        raise ValueError("must be a moment with its time zone, such as 2026-01-31T08:00:00Z (RFC 3339)")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_with_zone), AfterValidator(checked_moment)]


@router.get("/audit-events", summary="List audit events", responses=problems(), **needs("audit:read"))
async def list_events(
    db: Db,
    type: Annotated[str | None, Query(max_length=64)] = None,
    outcome: Annotated[Literal["success", "failure"] | None, Query()] = None,
    actor: Annotated[str | None, Query(max_length=200)] = None,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    client_id: Annotated[str | None, Query(max_length=100)] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.AuditEventPage:
    """The newest first. `sso audit export` writes the whole log in order, `sso audit verify` checks the hash chain."""
    chosen = AuditFilter(None, type, outcome, actor, subject, client_id, since, until)
    async with db.read() as session:
        events = await page_of_events(session, chosen, read_id_cursor(cursor), limit + 1)
    rows, following = cut(events, limit, lambda event: event.id)
    return schemas.AuditEventPage(items=[_representation(event) for event in rows], next_cursor=following)


@router.get("/audit-events/{event_id}", summary="Show an audit event", responses=problems(404), **needs("audit:read"))
async def get_event(event_id: uuid.UUID, db: Db) -> schemas.AuditEvent:
    async with db.read() as session:
        event = await session.get(AuditEvent, event_id)
    if event is None:
        raise not_found("event")
    return _representation(event)


def _representation(event: AuditEvent) -> schemas.AuditEvent:
    return schemas.AuditEvent.model_validate(event, from_attributes=True)
