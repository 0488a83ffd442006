"""Pages of administrators about sessions: finding and ending them, bulk revocation, and delivery reports."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.administration import end_session_of_person
from sso.accounts.power import check_power_over
from sso.http.account.sessions import rows_of
from sso.http.common.forms import form_pairs, read_id
from sso.http.common.i18n import N_
from sso.http.common.pages import failure
from sso.http.common.state import kept_address_of, request_id_of, site_of
from sso.http.console.access import ADMIN, Here, Needs, admin_page, own_form, said, token_for
from sso.identity.sessions import store
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import SessionFilter
from sso.identity.users.models import User
from sso.identity.users.service import UserError, find
from sso.identity.users.store import names_of
from sso.logout import bulk as mass_ending
from sso.logout.delivery_report import DeliveryReport, bulk_delivery_report, delivery_report_of
from sso.platform.actor import Actor
from sso.platform.security.ip_privacy import network_wanted

router = APIRouter()

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
TYPE_ALL = N_("Type the word that is asked for.")

Sees = Annotated[Here, Depends(Needs("sessions:read"))]
Ends = Annotated[Here, Depends(Needs("sessions:end"))]
EndsMany = Annotated[Here, Depends(Needs("sessions:end_many"))]


class _Wrong(Exception):
    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field
        self.text = text


async def _filter(request: Request, asked: dict[str, str]) -> SessionFilter:
    """Return the filter of the sessions that the form names.

    Raises:
        _Wrong: naming the field that is not valid.
    """
    provider, user_id, network = site_of(request).provider, None, None
    if asked["person"]:
        async with provider.db.read() as session:
            try:
                user_id = (await find(session, asked["person"], provider.box)).id
            except UserError:
                raise _Wrong("person", NOBODY) from None
    if asked["network"]:
        try:
            network = network_wanted(asked["network"], provider.settings.ip_address_privacy)
        except ValueError:
            raise _Wrong("network", NO_NETWORK) from None
    unused = clock.now() - timedelta(days=int(asked["unused"])) if asked["unused"] in AGES else None
    system = asked["system"] if asked["system"] in SYSTEMS else None
    return SessionFilter(
        user_id=user_id, client_id=asked["client"] or None, network=network, system=system, unused_since=unused
    )


def _asked(fields: Mapping[str, str]) -> dict[str, str]:
    names = {"person": 254, "client": 100, "network": 45, "system": 20, "unused": 4}
    return {name: str(fields.get(name, "")).strip()[:maximum] for name, maximum in names.items()}


@router.get(ALL)
async def list_page(request: Request, here: Sees) -> Response:
    """List sessions, active or ended: by user, application, network, system or age."""
    return await _list(request, here, _asked(request.query_params), request.query_params)


async def _list(
    request: Request,
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
    provider, now = site_of(request).provider, clock.now()
    state: store.Status = "ended" if query.get("status") == "ended" else "active"
    before, found = read_id(query.get("before", "")), []
    try:
        wanted = await _filter(request, asked)
        async with provider.db.read() as session:
            found = await store.page_of(session, wanted, state, now, now - provider.idle, before, PAGE + 1)
            rows = await rows_of(request, session, [(one, its.name) for one, its in found[:PAGE]])
    except _Wrong as error:
        rows, problem, field, status = [], error.text, error.field, 400 if status == 200 else status
    kept = {**{name: value for name, value in asked.items() if value}, "status": state}
    following = {**kept, "before": str(rows[-1].session.id)} if len(found) > PAGE else {}
    async with provider.db.read() as session:
        endings = await mass_ending.endings(session, 5)
    return admin_page(
        request,
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
        csrf_token=token_for(request, "sessions"),
    )


@router.post(ALL)
async def end_chosen(request: Request, here: Ends) -> Response:
    """End the chosen sessions, with a reason."""
    fields = await own_form(request, "sessions")
    chosen = [one for name, value in await form_pairs(request) if name == "id" and (one := read_id(value))][:PAGE]
    note = said(fields)
    problem = NONE_CHOSEN if not chosen else NOTE_MISSING if not note else ""
    if problem:
        return await _list(request, here, _asked(fields), fields, problem, "note", 400, note=note, ticked=chosen)
    await _end(request, here, chosen, note)
    if len(chosen) == 1:
        return RedirectResponse(f"{ALL}/{chosen[0]}", 303)
    kept = {**{name: value for name, value in _asked(fields).items() if value}, "status": "ended"}
    return RedirectResponse(f"{ALL}?{urlencode(kept)}", 303)


@router.get(ALL + "/{session_id}")
async def one_session(request: Request, session_id: str, here: Sees) -> Response:
    """Show a session, and after its end the delivery report: which applications were notified, and which confirmed."""
    return await _show(request, session_id, here)


@router.post(ALL + "/{session_id}")
async def end_one(request: Request, session_id: str, here: Ends) -> Response:
    """End a session, with a reason."""
    fields, chosen = await own_form(request, "end-session"), read_id(session_id)
    if chosen is None:
        return failure(request, "not_found", 404)
    note = said(fields)
    if not note:
        return await _show(request, session_id, here, NOTE_MISSING, 400)
    await _end(request, here, [chosen], note)
    return RedirectResponse(f"{ALL}/{chosen}", 303)


async def _end(request: Request, here: Here, chosen: list[uuid.UUID], note: str) -> None:
    site = site_of(request)
    actor = Actor(here.actor, stored_ip_address=kept_address_of(request), request_id=request_id_of(request))
    async with site.provider.db.write() as session:
        for session_id in chosen:
            found = await store.get(session, session_id)
            if found is not None:
                await check_power_over(session, site.provider.registry, [found[1].id], here.rights)
        for session_id in chosen:
            await end_session_of_person(session, site.provider, session_id, actor=actor, note=note)
    site.worker.nudge()


async def _show(request: Request, session_id: str, here: Here, problem: str = "", status: int = 200) -> Response:
    provider, chosen = site_of(request).provider, read_id(session_id)
    proof: DeliveryReport | None = None
    async with provider.db.read() as session:
        found = await store.get(session, chosen) if chosen is not None else None
        if found is None or chosen is None:
            return failure(request, "not_found", 404)
        rows = await rows_of(request, session, [(found[0], found[1].name)])
        proof = await delivery_report_of(session, provider.registry, chosen)
    return admin_page(
        request,
        here,
        "sessions",
        "admin_session.html",
        status,
        row=rows[0],
        proof=proof,
        may_end=here.may("sessions:end"),
        may_see_people=here.may("users:read"),
        problem=problem,
        how=HOW,
        state=STATE,
        reasons=REASONS,
        csrf_token=token_for(request, "end-session"),
    )


@router.get(ENDINGS)
async def begin_page(request: Request, here: EndsMany) -> Response:
    """Show which sessions a bulk revocation would end: those of a user, an application, a network, or all."""
    return await _begin_page(request, here, _asked(request.query_params))


async def _begin_page(
    request: Request,
    here: Here,
    asked: dict[str, str],
    problem: str = "",
    field: str = "",
    status: int = 200,
    *,
    note: str = "",
) -> Response:
    provider, total = site_of(request).provider, 0
    try:
        wanted = await _filter(request, {**asked, "system": "", "unused": ""})
        async with provider.db.read() as session:
            total = await store.count_not_ended(session, wanted)
            user = await session.get(User, wanted.user_id) if wanted.user_id else None
        if user is not None:  # the form names the user by id: identifiers can change hands
            asked = {**asked, "person": str(user.id)}
    except _Wrong as error:
        user, problem, field, status = None, error.text, error.field, 400
    client = provider.registry.known(asked["client"]) if asked["client"] else None
    return admin_page(
        request,
        here,
        "sessions",
        "admin_ending_new.html",
        status,
        asked=asked,
        user=user,
        client=client,
        total=total,
        everything=not any(asked[name] for name in ("person", "client", "network")),
        problem=problem,
        field=field,
        note=note,
        csrf_token=token_for(request, "ending"),
    )


@router.post(ENDINGS)
async def begin(request: Request, here: EndsMany) -> Response:
    """Begin a bulk revocation, in the background."""
    fields = await own_form(request, "ending")
    asked, note, site = _asked(fields), said(fields), site_of(request)
    everything = not any(asked[name] for name in ("person", "client", "network"))
    if not note:
        return await _begin_page(request, here, asked, NOTE_MISSING, "note", 400)
    if everything and fields.get("sure", "").strip().upper() not in ("SEMUA", "ALL"):
        return await _begin_page(request, here, asked, TYPE_ALL, "sure", 400, note=note)
    try:
        wanted = await _filter(request, {**asked, "system": "", "unused": ""})
    except _Wrong as error:
        return await _begin_page(request, here, asked, error.text, error.field, 400, note=note)
    async with site.provider.db.write() as session:
        if wanted.user_id is not None:
            await check_power_over(session, site.provider.registry, [wanted.user_id], here.rights)
        made = await mass_ending.begin(session, wanted, EndReason.ADMINISTRATOR, actor=here.actor, note=note)
        ending_id = made.id
    if made.total <= mass_ending.PART:  # few sessions end at once, without the background job
        await mass_ending.work_once(site.provider, ending_id)
        site.worker.nudge()
    return RedirectResponse(f"{ENDINGS}/{ending_id}", 303)


@router.get(ENDINGS + "/{ending_id}")
async def ending_page(request: Request, ending_id: str, here: Sees) -> Response:
    """Show the progress of a bulk revocation: which applications were notified, and which confirmed."""
    provider, chosen = site_of(request).provider, read_id(ending_id)
    async with provider.db.read() as session:
        found = await mass_ending.get_ending(session, chosen) if chosen is not None else None
        if found is None:
            return failure(request, "not_found", 404)
        told = await bulk_delivery_report(session, provider.registry, found)
        user = await session.get(User, found.user_id) if found.user_id else None
        names = await names_of(session, [found.actor])
    waiting = sum(one.counts.get("waiting", 0) for one in told)
    return admin_page(
        request,
        here,
        "sessions",
        "admin_ending.html",
        found=found,
        told=told,
        waiting=waiting,
        open=found.status == "running" or waiting > 0,
        person=user.name if user is not None else "",
        client=provider.registry.known(found.client_id) if found.client_id else None,
        who=names.get(found.actor, found.actor),
        reasons=REASONS,
        state=STATE,
        ending_states=ENDING_STATES,
        may_stop=here.may("sessions:end_many") and found.status == "running",
        csrf_token=token_for(request, f"ending {found.id}"),
    )


@router.post(ENDINGS + "/{ending_id}")
async def stop(request: Request, ending_id: str, here: EndsMany) -> Response:
    """Stop a bulk revocation. Ended sessions stay ended."""
    chosen = read_id(ending_id)
    if chosen is None:
        return failure(request, "not_found", 404)
    await own_form(request, f"ending {chosen}")
    async with site_of(request).provider.db.write() as session:
        await mass_ending.stop_ending(session, chosen, actor=here.actor)
    return RedirectResponse(f"{ENDINGS}/{chosen}", 303)
