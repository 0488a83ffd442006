"""The first page of administrators: the pages that somebody may open, and the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypedDict

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.clients.registry import Registry
from sso.http.admin.attention import Item, attention_of
from sso.http.admin.audit_labels import METHOD_TEXTS
from sso.http.admin.readiness import CheckView, checklist
from sso.http.common.charts import Chart, chart
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import FACTOR_TEXTS, GRANTS, LEVEL_TEXTS, ROLE_NAMES, SPANS, permission_texts
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import Clients, CurrentSettings, Db
from sso.http.console.access import Here, Needs, admin_page, tasks_of
from sso.http.console.entries import ADMIN, PAGE_TEXTS, Entry
from sso.identity.sessions import store as sessions
from sso.platform.db import Database
from sso.platform.metrics import store as usage
from sso.platform.metrics.counters import RECENT, Span, span
from sso.platform.outbox import store as deliveries
from sso.platform.permissions import PERMISSIONS

router = new_router()
Words = Callable[[str], str]
Counted = list[tuple[datetime, str, str, int]]
TOP = 10
COUNTED = 1000
"""How far active sessions are counted while somebody waits: more are as many as were counted some minutes ago."""
LEVELS = ("urn:sso:acr:password", "urn:sso:acr:code", "urn:sso:acr:mfa", "urn:sso:acr:passkey")
Anybody = Annotated[Here, Depends(Needs("statistics:read", *(name for name in PERMISSIONS)))]


@router.get(ADMIN)
async def first_page(request: Request, here: Anybody, db: Db, settings: CurrentSettings, known: Clients) -> Response:
    """Show the pages that the user may open, and with the permission for statistics the dashboard."""
    tasks: Tasks = {
        "tasks": tasks_of(here),
        "page_texts": PAGE_TEXTS,
        "roles": [ROLE_NAMES.get(role, role) for role in here.visit.roles],
        "allowed": permission_texts(here.permissions),
        "groups": sorted(here.groups) if here.groups is not None else [],
        "attention": [],
        "checks": await checklist(request, here) if here.may("settings:read") else [],
    }
    async with db.read() as session:
        tasks["attention"] = await attention_of(session, settings, here)
    if not here.may("statistics:read"):
        return admin_page(request, here, "admin", "admin_start.html", **tasks)
    figures = await _figures(db, settings.session_idle_timeout, request.query_params.get("span", "day"))
    return _dashboard(request, here, tasks, figures, known.registry)


class Tasks(TypedDict):
    """The pages that the user may open, and why."""

    tasks: list[Entry]
    page_texts: dict[str, str]
    roles: list[str]
    allowed: list[tuple[str, str]]
    groups: list[str]
    attention: list[Item]
    checks: list[CheckView]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the dashboard.

    Args:
        span: the time that they are of.
        counted: (hour, name, label, count) of what is counted.
        top: the applications with the most sign-ins.
        wrong: the applications with the most refused authorization requests.
        speed: (name, label, count) of requests by path.
        gauges: the latest states by name and label.
        active: the active sessions, counted up to ``COUNTED``; more: as the last count of a job says.
        deliveries: the deliveries by state.
        earlier: the totals of the counters in the period before.
    """

    span: Span
    counted: Counted
    top: list[tuple[str, int]]
    wrong: list[tuple[str, int]]
    speed: list[tuple[str, str, int]]
    gauges: dict[tuple[str, str], int]
    active: int
    deliveries: dict[str, int]
    earlier: dict[str, int]


COUNTERS = ("sign_in", "sign_in_failed", "account_made", "token", "token_error", "authorize_error", "sessions_active")


TRENDS = (
    ("sign_in", N_("sign-ins"), "/audit?type=session.started", False),
    ("sign_in_failed", N_("failed sign-ins"), "/audit?type=sign_in.failed", True),
    ("account_made", N_("new accounts"), "/people", False),
    ("token", N_("tokens issued"), "/applications", False),
)
"""The counters that are shown as a number with its trend: name, text, link, and whether more is worse."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A number, and how it changed against the period before.

    Args:
        count: the number.
        text: what is counted.
        link: the list behind it.
        change: in percent; None: nothing was counted before.
        worse: whether more is worse.
    """

    count: int
    text: str
    link: str
    change: int | None
    worse: bool


async def _figures(db: Database, idle: timedelta, chosen: str) -> Figures:
    """Read the figures of an hour, a day, a week or a month."""
    now = clock.now()
    period = span(chosen if chosen in SPANS else "day", now)
    start, begins = period.start, period.begins
    async with db.read() as session:
        counted = await usage.counts_since(session, COUNTERS, start, begins=begins)
        top = await usage.top_clients(session, "authorize", start, TOP, begins=begins)
        wrong = await usage.top_clients(session, "authorize_error", start, TOP, begins=begins)
        requests = ("requests", "milliseconds", "requests_failed")
        speed = await usage.totals_since(session, requests, start, begins=begins)
        gauges = await usage.latest_gauges(session, usage.GAUGES)
        counted_last = await usage.latest_gauges(session, [RECENT + "sessions_active"])
        active = await sessions.count_active(session, now, now - idle, COUNTED)
        sent = await deliveries.counts(session)
        before = start - period.step * period.steps
        names = [name for name, _, _, _ in TRENDS]
        totals = await usage.totals_since(session, names, before, before=start, begins=begins)
    active = active if active < COUNTED else max([active, *counted_last.values()])
    earlier: dict[str, int] = {}
    for name, _, count in totals:
        earlier[name] = earlier.get(name, 0) + count
    return Figures(period, counted, top, wrong, speed, gauges, active, sent, earlier)


def _trends(here: Here, figures: Figures) -> list[Trend]:
    """Return the numbers of the period, each with its change against the period before."""
    trends = []
    for name, text, path, worse in TRENDS:
        count = sum(value for _, counter, _, value in figures.counted if counter == name)
        earlier = figures.earlier.get(name, 0)
        change = round((count - earlier) * 100 / earlier) if earlier else None
        trends.append(Trend(count, text, here.opens(ADMIN + path), change, worse))
    return trends


def _dashboard(request: Request, here: Here, tasks: Tasks, figures: Figures, registry: Registry) -> Response:
    """Show the figures. Each links to its list."""
    locale, gauges = locale_of(request), figures.gauges

    def named(counts: list[tuple[str, int]]) -> list[tuple[str, str, int]]:
        known = [(client_id, registry.get(client_id), count) for client_id, count in counts]
        return [(client_id, client.name(locale) if client else client_id, count) for client_id, client, count in known]

    return admin_page(
        request,
        here,
        "admin",
        "admin_dashboard.html",
        spans=SPANS,
        span=figures.span.name,
        charts=_charts(here, figures.span, figures.counted, translations(locale).gettext),
        **tasks,
        failures=_by_label(figures.counted, "sign_in_failed", METHOD_TEXTS),
        tokens=_by_label(figures.counted, "token", GRANTS),
        top=named(figures.top),
        wrong=named(figures.wrong),
        slowest=_slowest(figures.speed),
        factors=[(label, count) for (name, label), count in sorted(gauges.items()) if name == "factors"],
        factor_texts=FACTOR_TEXTS,
        active=figures.active,
        people=gauges.get(("people", "")),
        sent=figures.deliveries,
        trends=_trends(here, figures),
        before_texts=BEFORE,
    )


BEFORE = {
    "hour": N_("the hour before"),
    "day": N_("the 24 hours before"),
    "week": N_("the 7 days before"),
    "month": N_("the 30 days before"),
}
"""What a period is compared with."""
SESSIONS = "sessions_active"
SERIES_TEXTS = {
    **LEVEL_TEXTS,
    **GRANTS,
    "authorize_error": N_("authorization endpoint"),
    "token_error": N_("token endpoint"),
    "sign_in_failed": N_("failed"),
    SESSIONS: N_("active"),
    "account_made": N_("created"),
}


def _charts(here: Here, period: Span, counted: Counted, words: Words) -> list[tuple[Chart, list[str]]]:
    """Return the charts, each with the names of its series in the language of the page."""

    def by_label(name: str) -> list[tuple[datetime, str, int]]:
        return [(hour, label, count) for hour, counter, label, count in counted if counter == name]

    def total(*names: str) -> list[tuple[datetime, str, int]]:
        return [(hour, counter, count) for name in names for hour, counter, _, count in counted if counter == name]

    mistakes = ("authorize_error", "token_error")
    plan: list[tuple[str, list[tuple[datetime, str, int]], tuple[str, ...], str]] = [
        (N_("Sign-ins"), by_label("sign_in"), LEVELS, "/audit?type=session.started"),
        (N_("Failed sign-ins"), total("sign_in_failed"), ("sign_in_failed",), "/audit?type=sign_in.failed"),
        (N_("Active sessions"), total(SESSIONS), (SESSIONS,), "/sessions"),
        (N_("New accounts"), total("account_made"), ("account_made",), "/people"),
        (N_("Tokens issued"), by_label("token"), tuple(GRANTS), "/applications"),
        (N_("Errors of applications"), total("token_error", "authorize_error"), mistakes, "/applications"),
    ]
    charts = [
        chart(words(title), period, counts, names, link=here.opens(ADMIN + path), highest=SESSIONS in names)
        for title, counts, names, path in plan
    ]
    return [(drawn, [words(SERIES_TEXTS[name]) for name in drawn.names]) for drawn in charts]


def _by_label(counted: Counted, name: str, texts: dict[str, str]) -> list[tuple[str, int]]:
    totals: dict[str, int] = {}
    for _, counter, label, count in counted:
        if counter == name:
            totals[label] = totals.get(label, 0) + count
    return sorted(((texts.get(label, label), count) for label, count in totals.items()), key=lambda row: -row[1])


def _slowest(speed: list[tuple[str, str, int]]) -> list[tuple[str, int, float, int]]:
    """Return (path, requests, milliseconds on average, failed) of the paths where the most time went."""
    by = {(name, label): count for name, label, count in speed}
    rows = [
        (label, count, by.get(("milliseconds", label), 0) / count, by.get(("requests_failed", label), 0))
        for (name, label), count in by.items()
        if name == "requests" and count
    ]
    return sorted(rows, key=lambda row: -row[2])[:TOP]
