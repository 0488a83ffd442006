"""The page of administrators about the audit log: by type, group of types, time, actor, subject and application; also
as CSV and as lines of JSON."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

import orjson
from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sso.http.admin.audit_labels import (
    ACTOR_TEXTS,
    CHAIN_TEXTS,
    DATA_TEXTS,
    EVENT_GROUPS,
    EVENT_TEXTS,
    KIND_TEXTS,
    OUTCOME_TEXTS,
    VALUE_TEXTS,
    group_of,
    value_text,
)
from sso.http.admin.csv_download import MAX_ROWS, PART, Downloads, DownloadSent, Row, csv_response, refused_download
from sso.http.admin.list_tools import list_tools
from sso.http.common.dates import moment_text
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import Box, CurrentSettings, Db
from sso.http.common.state import site_of
from sso.http.common.typed_forms import FormModel, Sent
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.delivery_texts import KINDS
from sso.http.console.texts import NOBODY
from sso.identity.users.service import UserError, find
from sso.identity.users.store import names_of
from sso.platform.audit import verify
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import AuditFilter, AuditReport, chain_length, export_filtered, page_of_events
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.platform.security.numbers import read_day
from sso.portal.audit_chain import chain_audit_events

router = new_router()
AUDIT = ADMIN + "/audit"
Words = Callable[[str], str]
PAGE = 50
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+\d\d:\d\d", re.ASCII)
CHECKED_AT_ONCE = 200_000
"""The longest chain, in events, that the page verifies; longer ones are verified by command."""
NO_DAY = N_("Enter a day such as 2026-11-27.")
FIELDS = {
    "type": 60,
    "person": 254,
    "actor": 254,
    "subject": 254,
    "client": 100,
    "outcome": 10,
    "since": 10,
    "until": 10,
}
"""The filters, and how many characters each may have."""
PEOPLE_FIELDS = ("person", "actor", "subject")
COLUMNS = (
    "time", "type", "event", "outcome", "actor", "actor_name", "subject", "subject_name", "client_id", "address",
    "request_id", "details",
)  # fmt: skip
SeesAudit = Annotated[Here, Depends(Needs("audit:read"))]
Exports = Annotated[Here, Depends(Downloads("audit:read"))]


class AuditForm(FormModel):
    """A form with a button only: verify the log."""

    choice: str = ""


AuditSent = Annotated[Sent[AuditForm], Depends(OwnForm(AuditForm, "audit"))]


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """The filter of the page: what was typed, what it means, and the mistakes by field."""

    typed: dict[str, str]
    filter: AuditFilter
    mistakes: dict[str, str]

    @property
    def in_effect(self) -> dict[str, str]:
        """The filters in effect, as parameters of the address."""
        return {name: value for name, value in self.typed.items() if value}


async def _query(session: AsyncSession, query: Mapping[str, str], box: SecretBox, zone: str) -> AuditQuery:
    """Read the filter. Days are days of the city, as the page shows its times."""
    typed = {name: query.get(name, "").strip()[:maximum] for name, maximum in FIELDS.items()}
    mistakes: dict[str, str] = {}
    named = {}
    for name in PEOPLE_FIELDS:
        named[name] = await _account(session, typed[name], box)
        if typed[name] and named[name] is None and name == "person":
            mistakes[name] = NOBODY
        elif typed[name] and named[name] is None:
            named[name] = typed[name]  # a program, a session, a delivery: whatever the log names
    days = {"since": _day(typed["since"], zone), "until": _day(typed["until"], zone, end=True)}
    mistakes |= {name: NO_DAY for name, day in days.items() if typed[name] and day is None}
    type_, group = typed["type"], EVENT_GROUPS.get(typed["type"].removesuffix(".*"))
    filter_ = AuditFilter(
        person=named["person"],
        actor=named["actor"],
        subject=named["subject"],
        type=type_ if type_ and group is None else None,
        types=group.types if group is not None else (),
        outcome=typed["outcome"] or None,
        client_id=typed["client"] or None,
        since=days["since"],
        until=days["until"],
    )
    return AuditQuery(typed, filter_, mistakes)


@router.get(AUDIT)
async def audit_page(request: Request, here: SeesAudit, db: Db, box: Box, settings: CurrentSettings) -> Response:
    """List audit events by type, user, application and time."""
    async with db.read() as session:
        chosen = await _query(session, request.query_params, box, settings.time_zone)
    return await _audit_page(request, here, db, chosen)


@router.post(AUDIT + "/download")
async def download(
    request: Request, here: Exports, sent: DownloadSent, db: Db, box: Box, settings: CurrentSettings
) -> Response:
    """Download the events that the filter shows, as CSV, or as lines of JSON with the hash chain."""
    async with db.read() as session:
        chosen = await _query(session, request.query_params, box, settings.time_zone)
    if chosen.mistakes:
        return await _audit_page(request, here, db, chosen)
    if sent.form.form == "csv":
        rows = _csv_rows(db, chosen.filter, translations(locale_of(request)).gettext)
        return await csv_response(request, db, here, "audit", COLUMNS, rows, chosen.in_effect, sent)
    if refused := await refused_download(request, db, here, "audit", sent, chosen.in_effect):
        return refused
    await chain_audit_events(db, box)
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"', "Cache-Control": "no-store"}
    return StreamingResponse(_json_lines(db, chosen.filter), headers=headers, media_type="application/x-ndjson")


async def _events(db: Database, filter_: AuditFilter) -> AsyncIterator[tuple[list[AuditEvent], dict[str, str]]]:
    """Yield the events of a filter in parts, the newest first, each with the names of users."""
    before = None
    while True:
        async with db.read() as session:
            page = await page_of_events(session, filter_, before, PART)
            names = await names_of(
                session, [name for event in page for name in (event.actor or "", event.subject or "")]
            )
        yield page, names
        if len(page) < PART:
            return
        before = page[-1].id


async def _csv_rows(db: Database, filter_: AuditFilter, words: Words) -> AsyncIterator[Sequence[Row]]:
    async for events, names in _events(db, filter_):
        yield [
            (
                event.at, event.type, words(EVENT_TEXTS.get(event.type, event.type)), event.outcome, event.actor,
                names.get(event.actor or "", ""), event.subject, names.get(event.subject or "", ""), event.client_id,
                event.address, event.request_id,
                "; ".join(f"{title}: {text}" for title, text in _details(words, event)),
            )
            for event in events
        ]  # fmt: skip


async def _json_lines(db: Database, filter_: AuditFilter) -> AsyncIterator[bytes]:
    """Yield the events as lines; where there are more than a file may have, its last line says so."""
    count = 0
    async with db.read() as session:
        async for line in export_filtered(session, filter_):
            if count == MAX_ROWS:
                yield orjson.dumps({"truncated": True, "rows": MAX_ROWS}) + b"\n"
                return
            count += 1
            yield line


async def _audit_page(
    request: Request, here: Here, db: Database, chosen: AuditQuery, report: AuditReport | None = None
) -> Response:
    async with db.read() as session:
        before = read_id(request.query_params.get("before", ""))
        events = [] if chosen.mistakes else await page_of_events(session, chosen.filter, before, PAGE + 1)
        actors = [name for event in events for name in (event.actor or "", event.subject or "")]
        people = await names_of(session, [*actors, *(chosen.typed[name] for name in PEOPLE_FIELDS)])
        chained, waiting = await chain_length(session)
    following = {**chosen.in_effect, "before": str(events[PAGE - 1].id)} if len(events) > PAGE else {}
    locale, zone = locale_of(request), site_of(request).settings.time_zone
    words, write = translations(locale).gettext, partial(moment_text, locale=locale, zone=zone)
    return admin_page(
        request,
        here,
        "audit",
        "admin_audit.html",
        rows=events[:PAGE],
        names=people,
        details=partial(_details, words, write=write),
        event_texts=EVENT_TEXTS,
        groups=_event_groups(words),
        group_of=group_of,
        outcome_texts=OUTCOME_TEXTS,
        actor_texts=ACTOR_TEXTS,
        broken=_broken(report) if report is not None else "",
        typed=chosen.typed,
        mistakes=chosen.mistakes,
        narrowed=any(chosen.typed[name] for name in ("actor", "subject", "outcome")),
        chained=chained,
        waiting=waiting,
        report=report,
        too_long=chained > CHECKED_AT_ONCE,
        following=f"{AUDIT}?{urlencode(following)}" if following else "",
        tools=await list_tools(request, here, db, "audit", AUDIT, chosen.in_effect),
        csrf_token=token_for(request, "audit"),
    )


def _event_groups(words: Words) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return the groups of types of events, each with its types, sorted by the texts in the language of the page."""
    groups = []
    for name, group in EVENT_GROUPS.items():
        texts = sorted(
            ((type_, words(EVENT_TEXTS[type_])) for type_ in group.types), key=lambda pair: pair[1].casefold()
        )
        groups.append((name, words(group.title), texts))
    return groups


def _details(words: Words, event: AuditEvent, write: Callable[[datetime], str] = str) -> list[tuple[str, str]]:
    """Return the data of an event in the language of the page, without what is empty.

    Args:
        words: translates a text.
        event: the event.
        write: writes a moment as the page does.
    """
    texts = [
        (words(DATA_TEXTS.get(key, key)), _written(value_text(key, value, words, AUDIT_VALUES), write))
        for key, value in event.data.items()
    ]
    return [(title, text) for title, text in texts if text]


def _written(text: str, write: Callable[[datetime], str]) -> str:
    """Return a value; a moment, which is stored as 2026-11-27T19:21:29+00:00, as the page writes it."""
    return write(datetime.fromisoformat(text)) if MOMENT.fullmatch(text) else text


AUDIT_VALUES = {**VALUE_TEXTS, "kind": {**KIND_TEXTS, **KINDS}}
"""The texts of values of audit events, by their key."""


def _broken(report: AuditReport) -> str:
    """Return the text of the fault of the hash chain."""
    return next((text for name, text in CHAIN_TEXTS.items() if name in report.reason), report.reason)


async def _account(session: AsyncSession, typed: str, box: SecretBox) -> str | None:
    """Return the id of the user that was typed; None: there is none."""
    if not typed:
        return None
    try:
        return str((await find(session, typed, box)).id)
    except UserError:
        return None


@router.post(AUDIT)
async def check_audit(
    request: Request, here: SeesAudit, _sent: AuditSent, db: Db, box: Box, settings: CurrentSettings
) -> Response:
    """Verify the hash chain."""
    await chain_audit_events(db, box)
    async with db.read() as session:
        chained, _ = await chain_length(session)
        report = await verify(session, box) if chained <= CHECKED_AT_ONCE else None
        chosen = await _query(session, request.query_params, box, settings.time_zone)
    return await _audit_page(request, here, db, chosen, report)


def _day(text: str, zone: str, *, end: bool = False) -> datetime | None:
    """Return the beginning or the end of a day of the city, in UTC; None: it is no day."""
    try:
        return read_day(text, zone, end=end)
    except ValueError:
        return None
