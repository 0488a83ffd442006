"""Pages of administrators about the whole: figures, deliveries, the audit log, keys, imports, settings, each host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from sso import clock
from sso.accounts.power import check_power_over
from sso.accounts.service import decide_proposal
from sso.http.admin.audit_labels import (
    ACTOR_TEXTS,
    CHAIN_TEXTS,
    DATA_TEXTS,
    EVENT_TEXTS,
    KIND_TEXTS,
    METHOD_TEXTS,
    OUTCOME_TEXTS,
    VALUE_TEXTS,
    said_of,
)
from sso.http.admin.setting_texts import settings_shown
from sso.http.common.charts import Chart, chart
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import FACTOR_TEXTS, GRANTS, LEVEL_TEXTS, ROLE_NAMES, SPANS, permission_texts
from sso.http.common.pages import failure, locale_of
from sso.http.common.state import request_id_of, site_of
from sso.http.console.access import ADMIN, PAGE_TEXTS, Here, Needs, admin_page, own_form, said, tasks_of, token_for
from sso.identity.sessions import store as sessions
from sso.identity.users import merge_proposals as merging
from sso.identity.users.models import MergeProposal
from sso.identity.users.service import UserError, find
from sso.identity.users.store import names_of
from sso.jobs import GAUGES, chain_audit_events
from sso.platform.audit import record, verify
from sso.platform.audit.models import AuditEvent
from sso.platform.audit.service import AuditFilter, AuditReport, chain_length, export, page_of_events
from sso.platform.keys.service import KeyTooYoung, list_keys, rotate
from sso.platform.metrics import store as usage
from sso.platform.metrics.counters import RECENT, Span, span
from sso.platform.outbox import store as deliveries
from sso.platform.outbox.models import Delivery
from sso.platform.outbox.store import DeliveryFilter
from sso.platform.permissions import PERMISSIONS
from sso.platform.security.numbers import read_day
from sso.portal.applications import count_waiting
from sso.settings import whole_days

router = APIRouter()

PAGE = 50
TOP = 10
COUNTED = 1000
"""How far living sessions are counted while somebody waits: more are as many as were counted some minutes ago."""
CHECKED_AT_ONCE = 200_000
"""How many events of the audit log are checked while somebody waits: what is longer is checked by command."""
LEVELS = ("urn:sso:acr:password", "urn:sso:acr:code", "urn:sso:acr:mfa", "urn:sso:acr:passkey")
STATUS = {
    "pending": N_("waits"),
    "done": N_("arrived"),
    "given_up": N_("given up"),
    "held": N_("kept to be fetched"),
    "skipped": N_("not sent: nobody to send to"),
}
KINDS = {
    "backchannel_logout": N_("end of a session, to an application"),
    "ssf_push": N_("event, to an application"),
    "ssf_poll": N_("event, to be fetched"),
    "webhook": N_("webhook"),
    "notice": N_("notice to a person"),
    "message": N_("code or invitation"),
}
DECISIONS = {"merged": N_("They are one"), "separate": N_("They are two"), "dropped": N_("Forget the row")}
PROPOSALS = {"open": N_("waits"), "merged": N_("one"), "separate": N_("two"), "dropped": N_("forgotten")}
NOTE_MISSING = N_("Say why: it is kept in the audit log.")
TOO_YOUNG = N_("The next keys were published a moment ago: applications may not know them yet. Try again later.")
CANNOT = N_("That cannot be done: %(detail)s.")

Anybody = Annotated[Here, Depends(Needs("statistics:read", *(name for name in PERMISSIONS)))]
SeesDeliveries = Annotated[Here, Depends(Needs("deliveries:read"))]
Retries = Annotated[Here, Depends(Needs("deliveries:retry"))]
SeesAudit = Annotated[Here, Depends(Needs("audit:read"))]
SeesKeys = Annotated[Here, Depends(Needs("keys:read"))]
Rotates = Annotated[Here, Depends(Needs("keys:rotate"))]
Merges = Annotated[Here, Depends(Needs("users:merge"))]
SeesSettings = Annotated[Here, Depends(Needs("settings:read"))]


@router.get(ADMIN)
async def first_page(request: Request, here: Anybody) -> Response:
    """What somebody may do here; and for those who may see statistics, the dashboard."""
    tasks: dict[str, Any] = {
        "tasks": tasks_of(here),
        "page_texts": PAGE_TEXTS,
        "roles": [ROLE_NAMES.get(one, one) for one in here.visit.roles],
        "allowed": permission_texts(here.permissions),
        "groups": sorted(here.groups) if here.groups is not None else [],
    }
    if not here.may("statistics:read"):
        return admin_page(request, here, "admin", "admin_start.html", **tasks)
    return await _dashboard(request, here, tasks)


async def _dashboard(request: Request, here: Here, tasks: dict[str, Any]) -> Response:
    """How often what happens, over an hour, a day, a week or a month; each figure leads to its list."""
    chosen = request.query_params.get("span", "day")
    provider, now = site_of(request).provider, clock.now()
    shown = span(chosen if chosen in SPANS else "day", now)
    names = ("sign_in", "sign_in_failed", "account_made", "token", "token_error", "authorize_error", "sessions_active")
    async with provider.db.read() as session:
        counted = await usage.counts_since(session, names, shown.start, begins=shown.begins)
        top = await usage.top_clients(session, "authorize", shown.start, TOP, begins=shown.begins)
        wrong = await usage.top_clients(session, "authorize_error", shown.start, TOP, begins=shown.begins)
        speed = await usage.totals_since(
            session, ("requests", "milliseconds", "requests_failed"), shown.start, begins=shown.begins
        )
        gauges = await usage.latest_gauges(session, GAUGES)
        counted_last = await usage.latest_gauges(session, [RECENT + "sessions_active"])
        active = await sessions.count_active(session, now, now - provider.idle, COUNTED)
        sent = await deliveries.counts(session)
        waiting = await count_waiting(session) if here.may("clients:read") else 0
        proposals = await merging.count_open(session) if here.may("users:merge") else 0
    registry, locale = provider.registry, locale_of(request)
    named = [(client, registry.get(client), count) for client, count in top]
    failing = [(client, registry.get(client), count) for client, count in wrong]
    return admin_page(
        request,
        here,
        "admin",
        "admin_dashboard.html",
        spans=SPANS,
        span=shown.name,
        charts=_charts(here, shown, counted, translations(locale).gettext),
        **tasks,
        failures=_by_label(counted, "sign_in_failed", METHOD_TEXTS),
        tokens=_by_label(counted, "token", GRANTS),
        top=[(one, client.name(locale) if client else one, count) for one, client, count in named],
        wrong=[(one, client.name(locale) if client else one, count) for one, client, count in failing],
        slowest=_slowest(speed),
        factors=[(label, count) for (name, label), count in sorted(gauges.items()) if name == "factors"],
        factor_texts=FACTOR_TEXTS,
        active=active if active < COUNTED else max([active, *counted_last.values()]),
        people=gauges.get(("people", "")),
        sent=sent,
        waiting=waiting,
        proposals=proposals,
    )


Counted = list[tuple[datetime, str, str, int]]


def _charts(here: Here, shown: Span, counted: Counted, words: Any) -> list[tuple[Chart, list[str]]]:
    """Return the charts, each with the names of its series in the language of the page."""

    def of(name: str) -> list[tuple[datetime, str, int]]:
        return [(hour, label, count) for hour, one, label, count in counted if one == name]

    def alone(name: str) -> list[tuple[datetime, str, int]]:
        return [(hour, name, count) for hour, one, _, count in counted if one == name]

    made = [
        chart(
            words(N_("Sign-ins")), shown, of("sign_in"), LEVELS, link=here.opens(f"{ADMIN}/audit?type=session.started")
        ),
        chart(
            words(N_("Sign-ins that failed")),
            shown,
            alone("sign_in_failed"),
            ("sign_in_failed",),
            link=here.opens(f"{ADMIN}/audit?type=sign_in.failed"),
        ),
        chart(
            words(N_("Sessions")),
            shown,
            alone("sessions_active"),
            ("sessions_active",),
            link=here.opens(f"{ADMIN}/sessions"),
            highest=True,
        ),
        chart(
            words(N_("New accounts")),
            shown,
            alone("account_made"),
            ("account_made",),
            link=here.opens(f"{ADMIN}/people"),
        ),
        chart(words(N_("Tokens")), shown, of("token"), tuple(GRANTS), link=here.opens(f"{ADMIN}/applications")),
        chart(
            words(N_("Mistakes of applications")),
            shown,
            [*alone("token_error"), *alone("authorize_error")],
            ("authorize_error", "token_error"),
            link=here.opens(f"{ADMIN}/applications"),
        ),
    ]
    texts = {
        **LEVEL_TEXTS,
        **GRANTS,
        "authorize_error": N_("at the sign-in"),
        "token_error": N_("at the token endpoint"),
    }
    texts |= {"sign_in_failed": N_("failed"), "sessions_active": N_("living"), "account_made": N_("made")}
    return [(one, [words(texts[name]) for name in one.names]) for one in made]


def _by_label(counted: Counted, name: str, texts: dict[str, str]) -> list[tuple[str, int]]:
    totals: dict[str, int] = {}
    for _, one, label, count in counted:
        if one == name:
            totals[label] = totals.get(label, 0) + count
    return sorted(((texts.get(label, label), count) for label, count in totals.items()), key=lambda one: -one[1])


def _slowest(speed: list[tuple[str, str, int]]) -> list[tuple[str, int, float, int]]:
    """Return (path, requests, milliseconds on average, failed) of the paths where the most time went."""
    by = {(name, label): count for name, label, count in speed}
    rows = [
        (label, count, by.get(("milliseconds", label), 0) / count, by.get(("requests_failed", label), 0))
        for (name, label), count in by.items()
        if name == "requests" and count
    ]
    return sorted(rows, key=lambda one: -one[2])[:TOP]


@router.get(ADMIN + "/deliveries")
async def deliveries_page(request: Request, here: SeesDeliveries) -> Response:
    """What is sent to applications and people, and what failed."""
    query, provider = request.query_params, site_of(request).provider
    status, kind = query.get("status", ""), query.get("kind", "")
    client_id, before = query.get("client", "").strip()[:100], read_id(query.get("before", ""))
    wanted = DeliveryFilter(
        status=status if status in STATUS else None, kind=kind if kind in KINDS else None, client_id=client_id or None
    )
    async with provider.db.read() as session:
        found = await deliveries.page_of(session, wanted, before, PAGE + 1)
        counts = await deliveries.counts(session)
    kept = {name: value for name, value in (("status", status), ("kind", kind), ("client", client_id)) if value}
    following = {**kept, "before": str(found[PAGE - 1].id)} if len(found) > PAGE else {}
    return admin_page(
        request,
        here,
        "deliveries",
        "admin_deliveries.html",
        rows=found[:PAGE],
        counts=counts,
        asked={"status": status, "kind": kind, "client": client_id},
        statuses=STATUS,
        kinds=KINDS,
        following=f"{ADMIN}/deliveries?{urlencode(following)}" if following else "",
        may_retry=here.may("deliveries:retry"),
        csrf_token=token_for(request, "deliveries"),
    )


@router.post(ADMIN + "/deliveries")
async def retry_delivery(request: Request, here: Retries) -> Response:
    """Send something once more."""
    fields, site = await own_form(request, "deliveries"), site_of(request)
    chosen = read_id(fields.get("id", ""))
    async with site.provider.db.write() as session:
        if chosen is not None and await session.get(Delivery, chosen) is not None:
            found = await deliveries.retry(session, chosen)
            if found is not None:
                record(
                    session,
                    "delivery.retried",
                    actor=here.actor,
                    subject=str(chosen),
                    client_id=found.client_id,
                    request_id=request_id_of(request),
                )
    site.worker.nudge()
    kept = {name: fields[name] for name in ("status", "kind", "client") if fields.get(name)}
    return RedirectResponse(f"{ADMIN}/deliveries?{urlencode(kept)}", 303)


@router.get(ADMIN + "/audit")
async def audit_page(request: Request, here: SeesAudit) -> Response:
    """What happened: by type, person, application, time; and whether the chain is whole."""
    return await _audit_page(request, here)


async def _audit_page(request: Request, here: Here, report: Any = None) -> Response:
    query, provider = request.query_params, site_of(request).provider
    names = {"type": 60, "person": 254, "client": 100, "outcome": 10, "since": 10, "until": 10}
    asked = {name: query.get(name, "").strip()[:maximum] for name, maximum in names.items()}
    before = read_id(query.get("before", ""))
    async with provider.db.read() as session:
        person, problem = await _person(session, asked["person"], provider.box)
        wanted = AuditFilter(
            person=person,
            type=asked["type"] or None,
            outcome=asked["outcome"] or None,
            client_id=asked["client"] or None,
            since=_day(asked["since"]),
            until=_day(asked["until"], end=True),
        )
        found = [] if problem else await page_of_events(session, wanted, before, PAGE + 1)
        actors = [one for event in found for one in (event.actor or "", event.subject or "")]
        people = await names_of(session, actors)
        chained, waiting = await chain_length(session)
    kept = {name: value for name, value in asked.items() if value}
    following = {**kept, "before": str(found[PAGE - 1].id)} if len(found) > PAGE else {}
    words = translations(locale_of(request)).gettext
    return admin_page(
        request,
        here,
        "audit",
        "admin_audit.html",
        rows=found[:PAGE],
        names=people,
        details=partial(_details, words),
        event_texts=EVENT_TEXTS,
        types=sorted(((name, words(text)) for name, text in EVENT_TEXTS.items()), key=lambda one: one[1].casefold()),
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


def _details(words: Any, event: AuditEvent) -> list[tuple[str, str]]:
    """Return what an entry says besides, in the language of the page."""
    return [
        (words(DATA_TEXTS.get(key, key)), said_of(key, value, words, AUDIT_VALUES)) for key, value in event.data.items()
    ]


AUDIT_VALUES = {**VALUE_TEXTS, "kind": {**KIND_TEXTS, **KINDS}}
"""The texts of values of audit events, by their key."""


def _broken(report: AuditReport) -> str:
    """Return the text of what is wrong with the chain."""
    return next((text for name, text in CHAIN_TEXTS.items() if name in report.reason), report.reason)


async def _person(session: AsyncSession, typed: str, box: Any) -> tuple[str | None, str]:
    if not typed:
        return None, ""
    try:
        return str((await find(session, typed, box)).id), ""
    except UserError:
        return None, N_("Nobody signs in with that.")


@router.post(ADMIN + "/audit")
async def check_audit(request: Request, here: SeesAudit) -> Response:
    """Check now whether the chain is whole; or download it."""
    fields, provider = await own_form(request, "audit"), site_of(request).provider
    if fields.get("choice") == "export":
        since, until = _day(fields.get("since", "")), _day(fields.get("until", ""), end=True)
        async with provider.db.write() as session:
            about = {"since": since.isoformat() if since else None, "until": until.isoformat() if until else None}
            record(session, "audit.exported", actor=here.actor, request_id=request_id_of(request), data=about)
        await chain_audit_events(provider)
        headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"', "Cache-Control": "no-store"}
        return StreamingResponse(_lines(request, since, until), headers=headers, media_type="application/x-ndjson")
    await chain_audit_events(provider)
    async with provider.db.read() as session:
        chained, _ = await chain_length(session)
        report = await verify(session, provider.box) if chained <= CHECKED_AT_ONCE else None
    return await _audit_page(request, here, report)


async def _lines(request: Request, since: datetime | None, until: datetime | None) -> AsyncIterator[bytes]:
    async with site_of(request).provider.db.read() as session:
        async for line in export(session, since, until):
            yield line


@router.get(ADMIN + "/keys")
async def keys_page(request: Request, here: SeesKeys) -> Response:
    """The keys with which tokens are signed."""
    return await _keys_page(request, here)


async def _keys_page(request: Request, here: Here, problem: str = "", status: int = 200, note: str = "") -> Response:
    site = site_of(request)
    async with site.provider.db.read() as session:
        found = await list_keys(session)
    return admin_page(
        request,
        here,
        "keys",
        "admin_keys.html",
        status,
        rows=found,
        days=whole_days(site.settings.key_rotation_interval),
        alg=site.settings.signing_alg,
        may_rotate=here.may("keys:rotate"),
        problem=problem,
        note=note,
        csrf_token=token_for(request, "keys"),
    )


@router.post(ADMIN + "/keys")
async def rotate_keys(request: Request, here: Rotates) -> Response:
    """Let the next keys sign from now on; the present ones stay published until every token of theirs has ended."""
    fields, provider = await own_form(request, "keys"), site_of(request).provider
    note = said(fields)
    if not note:
        return await _keys_page(request, here, NOTE_MISSING, 400)
    try:
        async with provider.db.write() as session:
            await rotate(session, provider.box, force=fields.get("force") == "1", actor=here.actor)
            record(
                session, "keys.rotation_asked", actor=here.actor, request_id=request_id_of(request), data={"note": note}
            )
    except KeyTooYoung:
        return await _keys_page(request, here, TOO_YOUNG, 409, note)
    await provider.refresh()
    return RedirectResponse(ADMIN + "/keys", 303)


@router.get(ADMIN + "/imports")
async def imports_page(request: Request, here: Merges) -> Response:
    """Files of people that were imported, and who among them seems to be here already."""
    return await _imports_page(request, here)


async def _imports_page(request: Request, here: Here, problem: str = "", status: int = 200, **values: str) -> Response:
    query, provider = request.query_params, site_of(request).provider
    state = query.get("state", "open") if query.get("state", "open") in PROPOSALS else "open"
    after = read_id(query.get("after", ""))
    async with provider.db.read() as session:
        found = await merging.page_of_proposals(session, state, after, PAGE + 1)
        runs = await merging.import_runs(session, TOP)
        decided = read_id(query.get("decided", ""))
        merged = await merging.merged(session, decided) if decided is not None else None
        names = await names_of(session, [str(one.user_id) for one in found])
    following = {"state": state, "after": str(found[PAGE - 1].id)} if len(found) > PAGE else {}
    return admin_page(
        request,
        here,
        "imports",
        "admin_imports.html",
        status,
        runs=runs,
        rows=[(merging.shown(provider.box, one), names.get(str(one.user_id), "")) for one in found[:PAGE]],
        state=state,
        states=PROPOSALS,
        decisions=DECISIONS,
        merged=merged,
        following=f"{ADMIN}/imports?{urlencode(following)}" if following else "",
        problem=problem,
        values=values,
        csrf_token=token_for(request, "imports"),
    )


@router.post(ADMIN + "/imports")
async def decide(request: Request, here: Merges) -> Response:
    """Decide about somebody who seems to be here already."""
    fields, provider = await own_form(request, "imports"), site_of(request).provider
    decision, _, which = fields.get("choice", "").partition(" ")
    chosen = read_id(which)
    if chosen is None or decision not in DECISIONS:
        return failure(request, "not_found", 404)
    try:
        async with provider.db.write() as session:
            proposal = await session.get(MergeProposal, chosen)
            if proposal is not None:
                await check_power_over(session, provider, [proposal.user_id], here.rights)
            await decide_proposal(
                session, provider, chosen, decision, actor=here.actor, request_id=request_id_of(request)
            )
    except UserError as error:
        return await _imports_page(request, here, CANNOT, 409, detail=str(error))
    return RedirectResponse(f"{ADMIN}/imports?{urlencode({'decided': chosen})}", 303)


@router.get(ADMIN + "/system")
async def system_page(request: Request, here: SeesSettings) -> Response:
    """The settings in effect, with what is secret masked, and each process that was heard of lately."""
    provider, now = site_of(request).provider, clock.now()
    async with provider.db.read() as session:
        found = await usage.processes(session)
    return admin_page(
        request,
        here,
        "system",
        "admin_system.html",
        processes=[(one, (now - one.seen_at) < timedelta(minutes=1)) for one in found],
        this=provider.process_id,
        groups=settings_shown(site_of(request).settings, locale_of(request)),
        database=provider.db.engine.dialect.name,
    )


def _day(text: str, *, end: bool = False) -> datetime | None:
    try:
        found = read_day(text)
    except ValueError:
        return None
    return found + timedelta(days=1) if end else found
