"""Pages of administrators about bulk revocations: beginning one, its progress, and stopping it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.power import check_power_over
from sso.http.admin.csv_download import PART, Downloads, DownloadSent, Row, csv_response
from sso.http.admin.sessions import (
    ALL,
    ENDING_STATES,
    ENDINGS,
    REASONS,
    STATE,
    EndForm,
    FilterInvalid,
    Sees,
    SessionView,
    View,
    typed_filter,
)
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.services import AccountActor, Db, Outbox
from sso.http.common.typed_forms import Sent, cut
from sso.http.console.access import Here, Needs, OwnForm, admin_page, own_form, token_for
from sso.identity.sessions import store
from sso.identity.sessions.reasons import EndReason
from sso.identity.users.models import User
from sso.identity.users.store import names_of
from sso.logout import bulk as mass_ending
from sso.logout.delivery_report import bulk_delivery_report
from sso.platform.db import Database

router = new_router()

TYPE_ALL = N_("Type ALL to confirm.")
COLUMNS = (
    "id", "started", "finished", "state", "reason", "actor", "ended", "total", "what", "application", "user_id",
    "network",
)  # fmt: skip
EndsMany = Annotated[Here, Depends(Needs("sessions:end_many"))]
Exports = Annotated[Here, Depends(Downloads("sessions:read"))]


class BulkForm(EndForm):
    """The reason, and the word that confirms the end of all sessions."""

    sure: Annotated[str, cut(20)] = ""


BulkEnding = Annotated[Sent[BulkForm], Depends(OwnForm(BulkForm, "ending"))]


@router.get(ENDINGS)
async def begin_page(request: Request, here: EndsMany, view: View) -> Response:
    """Show which sessions a bulk revocation would end: those of a user, an application, a network, or all."""
    return await _begin_page(view, here, typed_filter(request.query_params))


async def _begin_page(
    view: SessionView,
    here: Here,
    fields: dict[str, str],
    problem: str = "",
    field: str = "",
    status: int = 200,
    *,
    note: str = "",
) -> Response:
    total = 0
    try:
        chosen = await view.filter({**fields, "system": "", "unused": ""})
        async with view.db.read() as session:
            total = await store.count_not_ended(session, chosen)
            user = await session.get(User, chosen.user_id) if chosen.user_id else None
        if user is not None:  # the form names the user by id: identifiers can change hands
            fields = {**fields, "person": str(user.id)}
    except FilterInvalid as error:
        user, problem, field, status = None, error.text, error.field, 400
    client = view.registry.known(fields["client"]) if fields["client"] else None
    return admin_page(
        view.request,
        here,
        "sessions",
        "admin_ending_new.html",
        status,
        typed=fields,
        user=user,
        client=client,
        total=total,
        everything=not any(fields[name] for name in ("person", "client", "network")),
        problem=problem,
        field=field,
        note=note,
        csrf_token=token_for(view.request, "ending"),
    )


@router.post(ENDINGS)
async def begin(here: EndsMany, sent: BulkEnding, view: View, accounts: AccountActor, outbox: Outbox) -> Response:
    """Begin a bulk revocation, in the background."""
    fields, note = typed_filter(sent.typed), sent.form.note
    everything = not any(fields[name] for name in ("person", "client", "network"))
    if sent.mistakes:
        return await _begin_page(view, here, fields, sent.mistakes["note"], "note", 400)
    if everything and sent.form.sure.upper() not in ("SEMUA", "ALL"):
        return await _begin_page(view, here, fields, TYPE_ALL, "sure", 400, note=note)
    try:
        chosen = await view.filter({**fields, "system": "", "unused": ""})
    except FilterInvalid as error:
        return await _begin_page(view, here, fields, error.text, error.field, 400, note=note)
    async with view.db.write() as session:
        if chosen.user_id is not None:
            await check_power_over(session, view.registry, [chosen.user_id], here.rights)
        revocation = await mass_ending.begin(session, chosen, EndReason.ADMINISTRATOR, actor=here.as_actor, note=note)
        revocation_id = revocation.id
    if revocation.total <= mass_ending.PART:  # few sessions end at once, without the background job
        await mass_ending.work_once(accounts, revocation_id)
        outbox.nudge()
    return RedirectResponse(f"{ENDINGS}/{revocation_id}", 303)


@router.post(ALL + "/download-endings")
async def download_endings(request: Request, here: Exports, sent: DownloadSent, db: Db) -> Response:
    """Download the bulk revocations, the newest first."""
    return await csv_response(request, db, here, "endings", COLUMNS, _csv_rows(db), (), sent)


async def _csv_rows(db: Database) -> AsyncIterator[Sequence[Row]]:
    before = None
    while True:
        async with db.read() as session:
            page = await mass_ending.endings(session, PART, before)
        yield [
            (
                row.id, row.created_at, row.finished_at, row.status, row.reason, row.actor, row.ended, row.total,
                row.what, row.client_id, row.user_id, row.network,
            )
            for row in page
        ]  # fmt: skip
        if len(page) < PART:
            return
        before = page[-1].id


@router.get(ENDINGS + "/{ending_id}")
async def ending_page(request: Request, ending_id: str, here: Sees, view: View) -> Response:
    """Show the progress of a bulk revocation: which applications were notified, and which confirmed."""
    chosen, registry = read_id(ending_id), view.registry
    async with view.db.read() as session:
        revocation = await mass_ending.get_ending(session, chosen) if chosen is not None else None
        if revocation is None:
            return failure(request, "not_found", 404)
        notified = await bulk_delivery_report(session, registry, revocation)
        user = await session.get(User, revocation.user_id) if revocation.user_id else None
        names = await names_of(session, [revocation.actor])
    waiting = sum(application.counts.get("waiting", 0) for application in notified)
    return admin_page(
        request,
        here,
        "sessions",
        "admin_ending.html",
        revocation=revocation,
        notified=notified,
        waiting=waiting,
        open=revocation.status == "running" or waiting > 0,
        person=user.name if user is not None else "",
        client=registry.known(revocation.client_id) if revocation.client_id else None,
        who=names.get(revocation.actor, revocation.actor),
        reasons=REASONS,
        state=STATE,
        ending_states=ENDING_STATES,
        may_stop=here.may("sessions:end_many") and revocation.status == "running",
        csrf_token=token_for(request, f"ending {revocation.id}"),
    )


@router.post(ENDINGS + "/{ending_id}")
async def stop(request: Request, ending_id: str, here: EndsMany, db: Db) -> Response:
    """Stop a bulk revocation. Ended sessions stay ended."""
    chosen = read_id(ending_id)
    if chosen is None:
        return failure(request, "not_found", 404)
    await own_form(request, f"ending {chosen}")
    async with db.write() as session:
        await mass_ending.stop_ending(session, chosen, actor=here.as_actor)
    return RedirectResponse(f"{ENDINGS}/{chosen}", 303)
