"""The page of administrators about the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sso.http.admin.audit_labels import (
    ACTOR_TEXTS,
    CHAIN_TEXTS,
    DATA_TEXTS,
    EVENT_TEXTS,
    KIND_TEXTS,
    OUTCOME_TEXTS,
    VALUE_TEXTS,
    said_of,
)
from sso.http.admin.deliveries import KINDS
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import Box, Db
from sso.http.common.typed_forms import FormModel, Sent
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.identity.users.service import UserError, find
from sso.identity.users.store import names_of
from sso.jobs import chain_audit_events
from sso.platform.audit import record, verify
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import AuditFilter, AuditReport, chain_length, export, page_of_events
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.platform.security.numbers import read_day

router = new_router()
Words = Callable[[str], str]
PAGE = 50
CHECKED_AT_ONCE = 200_000
"""The longest chain, in events, that the page verifies; longer ones are verified by command."""
SeesAudit = Annotated[Here, Depends(Needs("audit:read"))]


class AuditForm(FormModel):
    """What to do with the log: ``export`` those days, or anything else: verify it."""

    choice: str = ""
    since: str = ""
    until: str = ""


AuditSent = Annotated[Sent[AuditForm], Depends(OwnForm(AuditForm, "audit"))]


@router.get(ADMIN + "/audit")
async def audit_page(request: Request, here: SeesAudit, db: Db, box: Box) -> Response:
    """List audit events by type, user, application and time."""
    return await _audit_page(request, here, db, box)


async def _audit_page(
    request: Request, here: Here, db: Database, box: SecretBox, report: AuditReport | None = None
) -> Response:
    query = request.query_params
    names = {"type": 60, "person": 254, "client": 100, "outcome": 10, "since": 10, "until": 10}
    asked = {name: query.get(name, "").strip()[:maximum] for name, maximum in names.items()}
    before = read_id(query.get("before", ""))
    async with db.read() as session:
        person, problem = await _person(session, asked["person"], box)
        chosen = AuditFilter(
            person=person,
            type=asked["type"] or None,
            outcome=asked["outcome"] or None,
            client_id=asked["client"] or None,
            since=_day(asked["since"]),
            until=_day(asked["until"], end=True),
        )
        events = [] if problem else await page_of_events(session, chosen, before, PAGE + 1)
        actors = [name for event in events for name in (event.actor or "", event.subject or "")]
        people = await names_of(session, actors)
        chained, waiting = await chain_length(session)
    kept = {name: value for name, value in asked.items() if value}
    following = {**kept, "before": str(events[PAGE - 1].id)} if len(events) > PAGE else {}
    words = translations(locale_of(request)).gettext
    return admin_page(
        request,
        here,
        "audit",
        "admin_audit.html",
        rows=events[:PAGE],
        names=people,
        details=partial(_details, words),
        event_texts=EVENT_TEXTS,
        types=_event_types(words),
        outcome_texts=OUTCOME_TEXTS,
        actor_texts=ACTOR_TEXTS,
        broken=_broken(report) if report is not None else "",
        asked=asked,
        problem=problem,
        chained=chained,
        waiting=waiting,
        report=report,
        too_long=chained > CHECKED_AT_ONCE,
        following=f"{ADMIN}/audit?{urlencode(following)}" if following else "",
        csrf_token=token_for(request, "audit"),
    )


def _event_types(words: Words) -> list[tuple[str, str]]:
    """Return the types of events with their texts, sorted by the text in the language of the page."""
    texts = ((name, words(text)) for name, text in EVENT_TEXTS.items())
    return sorted(texts, key=lambda entry: entry[1].casefold())


def _details(words: Words, event: AuditEvent) -> list[tuple[str, str]]:
    """Return the data of an event, in the language of the page."""
    return [
        (words(DATA_TEXTS.get(key, key)), said_of(key, value, words, AUDIT_VALUES)) for key, value in event.data.items()
    ]


AUDIT_VALUES = {**VALUE_TEXTS, "kind": {**KIND_TEXTS, **KINDS}}
"""The texts of values of audit events, by their key."""


def _broken(report: AuditReport) -> str:
    """Return the text of the fault of the hash chain."""
    return next((text for name, text in CHAIN_TEXTS.items() if name in report.reason), report.reason)


async def _person(session: AsyncSession, typed: str, box: SecretBox) -> tuple[str | None, str]:
    if not typed:
        return None, ""
    try:
        return str((await find(session, typed, box)).id), ""
    except UserError:
        return None, N_("Nobody signs in with that.")


@router.post(ADMIN + "/audit")
async def check_audit(request: Request, here: SeesAudit, sent: AuditSent, db: Db, box: Box) -> Response:
    """Verify the hash chain, or download the log."""
    if sent.form.choice == "export":
        since, until = _day(sent.form.since), _day(sent.form.until, end=True)
        async with db.write() as session:
            period = {"since": since.isoformat() if since else None, "until": until.isoformat() if until else None}
            record(session, "audit.exported", actor=here.actor, request_id=here.request_id, data=period)
        await chain_audit_events(db, box)
        headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"', "Cache-Control": "no-store"}
        return StreamingResponse(_lines(db, since, until), headers=headers, media_type="application/x-ndjson")
    await chain_audit_events(db, box)
    async with db.read() as session:
        chained, _ = await chain_length(session)
        report = await verify(session, box) if chained <= CHECKED_AT_ONCE else None
    return await _audit_page(request, here, db, box, report)


async def _lines(db: Database, since: datetime | None, until: datetime | None) -> AsyncIterator[bytes]:
    async with db.read() as session:
        async for line in export(session, since, until):
            yield line


def _day(text: str, *, end: bool = False) -> datetime | None:
    try:
        day = read_day(text)
    except ValueError:
        return None
    return day + timedelta(days=1) if end else day
