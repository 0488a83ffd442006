"""Pages of administrators about sessions: finding and ending them, bulk revocation, and delivery reports."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
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
from sso.http.account.sessions import rows_of
from sso.http.common.forms import form_pairs, read_id
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.services import AccountActor, Box, Clients, CurrentSettings, Db, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, required
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.identity.sessions import store
from sso.identity.sessions.store import SessionFilter
from sso.identity.users.service import UserError, find
from sso.logout import bulk as mass_ending
from sso.logout.delivery_report import delivery_report_of
from sso.platform.actor import Actor
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.platform.security.ip_privacy import network_wanted
from sso.settings import Settings

router = new_router()

ALL = ADMIN + "/sessions"
ENDINGS = ADMIN + "/endings"
PAGE = 50

HOW = {
    "back_channel": N_("by a notice to its server"),
    "shared_signals": N_("by an event to its server"),
    "front_channel": N_("through the person's browser"),
    "token_lifetime": N_("by itself, when it wants new tokens"),
    "not_at_all": N_("not at all, until the person comes by again"),
}
STATE = {
    "confirmed": N_("confirmed"),
    "waiting": N_("not yet"),
    "given_up": N_("given up"),
    "unconfirmed": N_("cannot confirm"),
}
REASONS = {
    "signed_out": N_("signed out"),
    "by_person": N_("ended by the person, from another device"),
    "other_person": N_("somebody else signed in"),
    "too_many": N_("too many sessions"),
    "expired": N_("its time was over"),
    "administrator": N_("ended by an administrator"),
    "user_disabled": N_("the account was switched off"),
    "user_deleted": N_("the account was deleted"),
    "password_changed": N_("the password was changed"),
    "password_required": N_("a new password was required"),
    "factors_reset": N_("two-step verification was reset"),
    "recovered": N_("the account was recovered"),
    "not_me": N_("the person said that it was not them"),
    "deletion_planned": N_("the person asked to be deleted"),
    "consent_withdrawn": N_("the person withdrew their permission"),
    "client_suspended": N_("an application was suspended"),
    "client_removed": N_("an application was removed"),
}
ENDING_STATES = {"running": N_("under way"), "stopped": N_("stopped"), "done": N_("done")}
SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "Windows": "Windows", "Macintosh": "macOS", "Linux": "Linux"}
"""What browsers say of their system, and what it is called."""
AGES = {"1": N_("a day"), "7": N_("a week"), "30": N_("a month")}
NOTE_MISSING = N_("Say why: it is kept in the audit log.")
NOBODY = N_("Nobody signs in with that.")
NO_NETWORK = N_("Type an address such as 203.0.113.7, or a network of whole parts such as 203.0.113.0/24.")
NONE_CHOSEN = N_("Choose at least one session.")

Sees = Annotated[Here, Depends(Needs("sessions:read"))]
Ends = Annotated[Here, Depends(Needs("sessions:end"))]


class FilterInvalid(Exception):
    """A field of the filter of sessions is not valid."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text


async def _filter(db: Database, box: SecretBox, settings: Settings, asked: dict[str, str]) -> SessionFilter:
    """Return the filter of the sessions that the form names.

    Raises:
        FilterInvalid: naming the field that is not valid.
    """
    user_id, network = None, None
    if asked["person"]:
        async with db.read() as session:
            try:
                user_id = (await find(session, asked["person"], box)).id
            except UserError:
                raise FilterInvalid("person", NOBODY) from None
    if asked["network"]:
        try:
            network = network_wanted(asked["network"], settings.ip_address_privacy)
        except ValueError:
            raise FilterInvalid("network", NO_NETWORK) from None
    unused = clock.now() - timedelta(days=int(asked["unused"])) if asked["unused"] in AGES else None
    system = asked["system"] if asked["system"] in SYSTEMS else None
    return SessionFilter(
        user_id=user_id, client_id=asked["client"] or None, network=network, system=system, unused_since=unused
    )


def asked_filter(fields: Mapping[str, str]) -> dict[str, str]:
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

    async def filter(self, asked: dict[str, str]) -> SessionFilter:
        """Return the filter of the sessions that a form names."""
        return await _filter(self.db, self.box, self.settings, asked)


async def _view(request: Request, db: Db, box: Box, settings: CurrentSettings, known: Clients) -> SessionView:
    return SessionView(request, db, box, settings, known.registry)


class EndForm(FormModel):
    """The reason for ending sessions."""

    note: Annotated[Note, required(NOTE_MISSING)] = ""


View = Annotated[SessionView, Depends(_view)]
EndSessions = Annotated[Sent[EndForm], Depends(OwnForm(EndForm, "sessions"))]
EndSession = Annotated[Sent[EndForm], Depends(OwnForm(EndForm, "end-session"))]


@router.get(ALL)
async def list_page(request: Request, here: Sees, view: View) -> Response:
    """List sessions, active or ended: by user, application, network, system or age."""
    return await _list(view, here, asked_filter(request.query_params), request.query_params)


async def _list(
    view: SessionView,
    here: Here,
    asked: dict[str, str],
    query: Mapping[str, str],
    problem: str = "",
    field: str = "",
    status: int = 200,
    *,
    note: str = "",
    ticked: Sequence[uuid.UUID] = (),
) -> Response:
    now = clock.now()
    state: store.Status = "ended" if query.get("status") == "ended" else "active"
    before, listed = read_id(query.get("before", "")), []
    try:
        chosen = await view.filter(asked)
        async with view.db.read() as session:
            unused_since = now - view.settings.session_idle_timeout
            listed = await store.page_of(session, chosen, state, now, unused_since, before, PAGE + 1)
            rows = await rows_of(view.registry, session, [(sso, user.name) for sso, user in listed[:PAGE]])
    except FilterInvalid as error:
        rows, problem, field, status = [], error.text, error.field, 400 if status == 200 else status
    kept = {**{name: value for name, value in asked.items() if value}, "status": state}
    following = {**kept, "before": str(rows[-1].session.id)} if len(listed) > PAGE else {}
    async with view.db.read() as session:
        endings = await mass_ending.endings(session, 5)
    return admin_page(
        view.request,
        here,
        "sessions",
        "admin_sessions.html",
        status,
        rows=rows,
        problem=problem,
        field=field,
        asked={**asked, "status": state},
        narrowed=[name for name in ("person", "client", "network") if asked[name]],
        systems=SYSTEMS,
        ages=AGES,
        following=f"{ALL}?{urlencode(following)}" if following else "",
        reasons=REASONS,
        endings=endings,
        ending_states=ENDING_STATES,
        may_end=here.may("sessions:end"),
        may_end_many=here.may("sessions:end_many"),
        note=note,
        ticked=ticked,
        csrf_token=token_for(view.request, "sessions"),
    )


@router.post(ALL)
async def end_chosen(
    request: Request,
    here: Ends,
    sent: EndSessions,
    view: View,
    accounts: AccountActor,
    outbox: Outbox,
) -> Response:
    """End the chosen sessions, with a reason."""
    fields, note = sent.typed, sent.form.note
    ids = [read_id(value) for name, value in await form_pairs(request) if name == "id"]
    chosen = [session_id for session_id in ids if session_id is not None][:PAGE]
    problem = sent.mistakes.get("note", "") if chosen else NONE_CHOSEN
    if problem:
        return await _list(view, here, asked_filter(fields), fields, problem, "note", 400, note=note, ticked=chosen)
    await _end(accounts, here, chosen, note)
    outbox.nudge()
    if len(chosen) == 1:
        return RedirectResponse(f"{ALL}/{chosen[0]}", 303)
    kept = {**{name: value for name, value in asked_filter(fields).items() if value}, "status": "ended"}
    return RedirectResponse(f"{ALL}?{urlencode(kept)}", 303)


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
        proof=report,
        may_end=here.may("sessions:end"),
        may_see_people=here.may("users:read"),
        problem=problem,
        how=HOW,
        state=STATE,
        reasons=REASONS,
        csrf_token=token_for(view.request, "end-session"),
    )
