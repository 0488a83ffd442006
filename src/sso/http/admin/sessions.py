"""Pages of administrators about sessions: finding and ending them, bulk revocation, and delivery reports."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.administration import end_session_of_person
from sso.accounts.power import check_power_over
from sso.accounts.services import AccountActions
from sso.clients.registry import Registry
from sso.http.account.sessions import Row as SessionRow
from sso.http.account.sessions import rows_of
from sso.http.admin.csv_download import PART, DownloadForm, Downloads, DownloadSent, Row, csv_response, download_of
from sso.http.admin.list_tools import list_tools
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Box, Clients, CurrentSettings, Db, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, required
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.delivery_texts import reason_text
from sso.http.console.texts import NOBODY, NOTE_MISSING
from sso.identity.sessions import store
from sso.identity.sessions.store import SessionFilter
from sso.identity.users.service import UserError, find
from sso.logout import bulk as mass_ending
from sso.logout.delivery_report import delivery_report_of
from sso.platform.actor import Actor
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.platform.security.ip_privacy import network_filter
from sso.settings import Settings

router = new_router()

ALL = ADMIN + "/sessions"
ENDINGS = ADMIN + "/endings"
PAGE = 50

HOW = {
    "back_channel": N_("back-channel logout to its server"),
    "shared_signals": N_("security event to its server"),
    "front_channel": N_("front-channel logout in the browser of the user"),
    "gate": N_("closed by the gate"),
    "token_lifetime": N_("when it renews its tokens"),
    "not_at_all": N_("at the next sign-in of the user"),
}
"""How an application is notified."""
STATE = {
    "confirmed": N_("confirmed"),
    "waiting": N_("waiting"),
    "given_up": N_("failed"),
    "unconfirmed": N_("cannot confirm"),
}
REASONS = {
    "signed_out": N_("signed out"),
    "by_person": N_("ended by the user from another device"),
    "other_person": N_("another user signed in"),
    "too_many": N_("too many sessions"),
    "expired": N_("expired"),
    "administrator": N_("ended by an administrator"),
    "user_disabled": N_("account disabled"),
    "user_deleted": N_("account deleted"),
    "password_changed": N_("password changed"),
    "password_required": N_("new password required"),
    "factors_reset": N_("two-step verification reset"),
    "recovered": N_("account recovered"),
    "not_me": N_("the user reported the sign-in"),
    "deletion_planned": N_("the user requested the deletion of the account"),
    "consent_withdrawn": N_("the user withdrew a consent"),
    "client_suspended": N_("application suspended"),
    "client_removed": N_("application retired"),
    "role_lost": N_("the user lost a role or group"),
}
ENDING_STATES = {"running": N_("running"), "stopped": N_("stopped"), "done": N_("done")}
SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "Windows": "Windows", "Macintosh": "macOS", "Linux": "Linux"}
"""What browsers say of their system, and what it is called."""
AGES = {"1": N_("1 day"), "7": N_("7 days"), "30": N_("30 days")}
NO_NETWORK = N_("Enter an address such as 203.0.113.7, or a network such as 203.0.113.0/24.")
COLUMNS = ("id", "user_id", "user", "device", "network", "country", "signed_in", "last_used", "ended", "end_reason")

Sees = Annotated[Here, Depends(Needs("sessions:read"))]
Exports = Annotated[Here, Depends(Downloads("sessions:read"))]
Ends = Annotated[Here, Depends(Needs("sessions:end"))]


class FilterInvalid(Exception):
    """A field of the filter of sessions is not valid."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text


async def _filter(db: Database, box: SecretBox, settings: Settings, fields: dict[str, str]) -> SessionFilter:
    """Return the filter of the sessions that the form names.

    Raises:
        FilterInvalid: naming the field that is not valid.
    """
    user_id, network = None, None
    if fields["person"]:
        async with db.read() as session:
            try:
                user_id = (await find(session, fields["person"], box)).id
            except UserError:
                raise FilterInvalid("person", NOBODY) from None
    if fields["network"]:
        try:
            network = network_filter(fields["network"], settings.ip_address_privacy)
        except ValueError:
            raise FilterInvalid("network", NO_NETWORK) from None
    unused = clock.now() - timedelta(days=int(fields["unused"])) if fields["unused"] in AGES else None
    system = fields["system"] if fields["system"] in SYSTEMS else None
    return SessionFilter(
        user_id=user_id, client_id=fields["client"] or None, network=network, system=system, unused_since=unused
    )


def typed_filter(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of the filter of sessions, as they were typed."""
    names = {"person": 254, "client": 100, "network": 45, "system": 20, "unused": 4}
    return {name: str(fields.get(name, "")).strip()[:maximum] for name, maximum in names.items()}


@dataclass(frozen=True, slots=True)
class SessionView:
    """What pages about sessions are made from."""

    request: Request
    db: Database
    box: SecretBox
    settings: Settings
    registry: Registry

    async def filter(self, fields: dict[str, str]) -> SessionFilter:
        """Return the filter of the sessions that a form names."""
        return await _filter(self.db, self.box, self.settings, fields)


async def _view(request: Request, db: Db, box: Box, settings: CurrentSettings, known: Clients) -> SessionView:
    return SessionView(request, db, box, settings, known.registry)


class EndForm(FormModel):
    """The reason for ending sessions."""

    note: Annotated[Note, required(NOTE_MISSING)] = ""


View = Annotated[SessionView, Depends(_view)]
EndSession = Annotated[Sent[EndForm], Depends(OwnForm(EndForm, "end-session"))]


@router.get(ALL)
async def list_page(here: Sees, view: View) -> Response:
    """List sessions, active or ended: by user, application, network, system or age."""
    return await _search_page(here, view)


@router.post(ALL + "/download")
async def download(here: Exports, sent: DownloadSent, view: View) -> Response:
    """Download the sessions that the filter shows."""
    return await _search_page(here, view, sent)


async def _search_page(here: Here, view: SessionView, sent: Sent[DownloadForm] | None = None) -> Response:
    query = view.request.query_params
    fields = typed_filter(query)
    state: store.Status = "ended" if query.get("status") == "ended" else "active"
    parameters = {**{name: value for name, value in fields.items() if value}, "status": state}
    try:
        chosen = await view.filter(fields)
    except FilterInvalid as error:
        return await _list(view, here, parameters, fields, [], problem=error)
    if sent is not None:
        parts = _csv_rows(view, chosen, state)
        return await csv_response(view.request, view.db, here, "sessions", COLUMNS, parts, parameters, sent)
    now = clock.now()
    async with view.db.read() as session:
        unused_since = now - view.settings.session_idle_timeout
        before = read_id(query.get("before", ""))
        listed = await store.page_of(session, chosen, state, now, unused_since, before, PAGE + 1)
        rows = await rows_of(view.registry, session, [(sso, user.name) for sso, user in listed[:PAGE]])
    following = {**parameters, "before": str(rows[-1].session.id)} if len(listed) > PAGE else {}
    address = f"{ALL}?{urlencode(following)}" if following else ""
    return await _list(view, here, parameters, fields, rows, following=address)


async def _list(
    view: SessionView,
    here: Here,
    parameters: dict[str, str],
    fields: dict[str, str],
    rows: Sequence[SessionRow],
    *,
    following: str = "",
    problem: FilterInvalid | None = None,
) -> Response:
    async with view.db.read() as session:
        endings = await mass_ending.endings(session, 5)
    return admin_page(
        view.request,
        here,
        "sessions",
        "admin_sessions.html",
        200 if problem is None else 400,
        rows=rows,
        problem=problem.text if problem is not None else "",
        field=problem.field if problem is not None else "",
        typed={**fields, "status": parameters["status"]},
        narrowed=[name for name in ("person", "client", "network") if fields[name]],
        systems=SYSTEMS,
        ages=AGES,
        following=following,
        reasons=REASONS,
        endings=endings,
        ending_states=ENDING_STATES,
        may_end=here.may("sessions:end"),
        may_end_many=here.may("sessions:end_many"),
        tools=await list_tools(view.request, here, view.db, "sessions", ALL, parameters),
        download_endings=download_of(view.request, here, ALL, {}, part="download-endings"),
        csrf_token=token_for(view.request, "sessions selected"),
    )


async def _csv_rows(view: SessionView, chosen: SessionFilter, state: store.Status) -> AsyncIterator[Sequence[Row]]:
    before = None
    while True:
        now = clock.now()
        async with view.db.read() as session:
            unused_since = now - view.settings.session_idle_timeout
            page = await store.page_of(session, chosen, state, now, unused_since, before, PART)
        yield [
            (
                sso.id, user.id, user.name, sso.user_agent, sso.address, sso.country, sso.auth_time, sso.last_seen_at,
                sso.ended_at, sso.end_reason,
            )
            for sso, user in page
        ]  # fmt: skip
        if len(page) < PART:
            return
        before = page[-1][0].id


@router.get(ALL + "/{session_id}")
async def one_session(session_id: str, here: Sees, view: View) -> Response:
    """Show a session, and after its end the delivery report: which applications were notified, and which confirmed."""
    return await _show(view, session_id, here)


@router.post(ALL + "/{session_id}")
async def end_one(
    session_id: str,
    here: Ends,
    sent: EndSession,
    view: View,
    accounts: AccountActor,
    outbox: Outbox,
) -> Response:
    """End a session, with a reason."""
    chosen = read_id(session_id)
    if chosen is None:
        return failure(view.request, "not_found", 404)
    if sent.mistakes:
        return await _show(view, session_id, here, sent.mistakes["note"], 400)
    await _end(accounts, here, [chosen], sent.form.note)
    outbox.nudge()
    return RedirectResponse(f"{ALL}/{chosen}", 303)


async def _end(accounts: AccountActions, here: Here, chosen: list[uuid.UUID], note: str) -> None:
    actor = Actor(here.actor, stored_ip_address=here.stored_ip_address, request_id=here.request_id)
    async with accounts.db.write() as session:
        for session_id in chosen:
            present = await store.get(session, session_id)
            if present is not None:
                await check_power_over(session, accounts.registry, [present[1].id], here.rights)
        for session_id in chosen:
            await end_session_of_person(session, accounts, session_id, actor=actor, note=note)


async def _show(view: SessionView, session_id: str, here: Here, problem: str = "", status: int = 200) -> Response:
    chosen = read_id(session_id)
    async with view.db.read() as session:
        present = await store.get(session, chosen) if chosen is not None else None
        if present is None or chosen is None:
            return failure(view.request, "not_found", 404)
        sso_session, user = present
        rows = await rows_of(view.registry, session, [(sso_session, user.name)])
        report = await delivery_report_of(session, view.registry, chosen)
    return admin_page(
        view.request,
        here,
        "sessions",
        "admin_session.html",
        status,
        row=rows[0],
        report=report,
        may_end=here.may("sessions:end"),
        may_see_people=here.may("users:read"),
        may_see_audit=here.may("audit:read"),
        failure_text=partial(reason_text, words=translations(locale_of(view.request)).gettext),
        problem=problem,
        field="note",
        how=HOW,
        state=STATE,
        reasons=REASONS,
        csrf_token=token_for(view.request, "end-session"),
    )
