"""The list of applications, for administrators."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.clients.models import SANDBOX_END, Application
from sso.clients.profiles import RELAXATIONS
from sso.http.common.i18n import N_
from sso.http.common.pages import locale_of
from sso.http.common.state import site_of
from sso.http.console.access import ADMIN, Here, Needs, admin_page
from sso.http.developer.application_page import STATES
from sso.portal import applications as apps

router = APIRouter()

APPLICATIONS = ADMIN + "/applications"
PAGE = 50
SHOWN = ("registered", "waiting", "building", "suspended", "relaxed")
SHOWN_TEXTS = {
    "registered": N_("in production"),
    "waiting": N_("wait for approval"),
    "building": N_("being built"),
    "suspended": N_("suspended"),
    "relaxed": N_("with a relaxed rule"),
}
Sees = Annotated[Here, Depends(Needs("clients:read"))]


ORDERS: dict[str, Any] = {
    "id": lambda row: row["id"],
    "name": lambda row: (row["name"].casefold(), row["id"]),
    "group": lambda row: (row["group"] or "\uffff", row["name"].casefold(), row["id"]),
}
"""The orders of registered applications."""


@router.get(APPLICATIONS)
async def list_page(request: Request, here: Sees) -> Response:
    """List applications by state and by words in their names."""
    query = request.query_params
    shown = query.get("shown", "") if query.get("shown", "") in SHOWN else "registered"
    words, group, after = query.get("q", "").strip()[:60], query.get("group", "")[:60], query.get("after", "")[:100]
    order = query.get("order", "") if query.get("order", "") in ORDERS else "id"
    groups = sorted(here.groups) if here.groups is not None else None
    async with site_of(request).provider.db.read() as session:
        waiting = await apps.count_waiting(session, groups)
        if shown in ("waiting", "building"):
            states = ("submitted",) if shown == "waiting" else ("draft", "sandbox")
            found = await apps.page_of_applications(session, states=states, groups=groups, after=after, limit=PAGE + 1)
            rows = [_begun(one) for one in found]
        else:
            fitting = _registered(request, here, shown, words, group)
            rows = _page_of(sorted(fitting, key=ORDERS[order]), after)
    kept = {"shown": shown, **({"q": words} if words else {}), **({"group": group} if group else {})}
    orders = {one: f"{APPLICATIONS}?{urlencode({**kept, 'order': one})}" for one in ORDERS}
    kept |= {"order": order} if order != "id" else {}
    following = {**kept, "after": rows[PAGE - 1]["id"]} if len(rows) > PAGE else {}
    return admin_page(
        request,
        here,
        "applications",
        "admin_applications.html",
        rows=rows[:PAGE],
        waiting=waiting,
        shown=shown,
        shown_texts=SHOWN_TEXTS,
        asked={"q": words, "group": group},
        order=order,
        orders=orders if shown not in ("waiting", "building") else {},
        groups=groups or sorted({one.meta.group for one in site_of(request).provider.registry if one.meta.group}),
        following=f"{APPLICATIONS}?{urlencode(following)}" if following else "",
        states=STATES,
    )


def _begun(one: Application) -> dict[str, Any]:
    return {"id": one.application_id, "name": one.name, "group": one.group, "state": one.state, "at": one.updated_at}


def _registered(request: Request, here: Here, shown: str, words: str, group: str) -> list[dict[str, Any]]:
    locale, wanted = locale_of(request), words.casefold().split()
    rows = []
    for one in site_of(request).provider.registry:
        text = f"{one.client_id} {one.meta.client_name} {one.meta.client_name_en or ''}".casefold()
        fits = (
            not one.client_id.endswith(SANDBOX_END)
            and here.may_with("clients:read", one)
            and one.enabled == (shown != "suspended")
            and (shown != "relaxed" or any(rule.used(one.meta) for rule in RELAXATIONS))
            and (not group or one.meta.group == group)
            and all(word in text for word in wanted)
        )
        if fits:
            state = "approved" if one.enabled else "suspended"
            rows.append({"id": one.client_id, "name": one.name(locale), "group": one.meta.group, "state": state})
    return rows


def _page_of(rows: list[dict[str, Any]], after: str) -> list[dict[str, Any]]:
    """Return the rows after the one with the id ``after``: at most one more than a page has."""
    begin = next((at + 1 for at, row in enumerate(rows) if row["id"] == after), 0)
    return rows[begin : begin + PAGE + 1]
