"""The page of one application: its state, the next step, its notes; and the page that retires it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.models import Application, ApplicationNote
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectChange, SubjectsWouldChange
from sso.http.common.i18n import N_
from sso.http.common.state import site_of
from sso.http.console.access import DEVELOPER, There, own_form, said
from sso.http.developer.application_page import (
    APPS,
    CANNOT,
    NOTES,
    Member,
    Owner,
    Reader,
    application_page,
    own_uri,
    present,
    secret_page,
)
from sso.http.developer.form_texts import KEEP_SECTOR, KIND_TEXTS, NEW_SUBJECTS, subjects_shown
from sso.identity.users.store import names_of
from sso.portal import applications as apps
from sso.portal.applications import Unfinished
from sso.portal.approval import NotChecked, missing_for_production, pending_subject_change, submit_application
from sso.portal.lifecycle import remove_client

router = APIRouter()

NOTHING_SAID = N_("Type what you want to say.")
NOT_CHECKED = N_("Let it pass the relying-party check first: see Check above.")
NOT_ACCEPTED = N_(
    "Users would get new identifiers. Enter the kept sector in the settings, or type the client ID to accept new "
    "identifiers."
)
NOT_SURE = N_("Type the name to confirm it.")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an act was refused, and what was typed in its form.

    Args:
        text: the message.
        acted: the act that was refused.
        field_id: the id of the field that the message is about.
        sent: the fields of the form.
        values: the values that the message names.
    """

    text: str
    acted: str = "comment"
    field_id: str = ""
    sent: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


@router.get(APPS + "/{application_id}")
async def overview(request: Request, there: Reader) -> Response:
    """Show one application: its state, the next step, its notes."""
    return await _overview_page(request, there)


async def _overview_page(request: Request, there: There, refused: Problem | None = None) -> Response:
    site, problem = site_of(request), refused or Problem("")
    async with site.provider.db.read() as session:
        change = await _pending_subject_change(request, session, there.application)
        notes = await apps.notes_of(session, there.application_id)
        names = await names_of(session, [note.actor for note in notes])
    return await application_page(
        request,
        there,
        "overview",
        "developer_app.html",
        409 if refused is not None else 200,
        purpose="app",
        kinds=KIND_TEXTS,
        notes=[_note_shown(note, names) for note in notes],
        note_texts=NOTES,
        missing=missing_for_production(there.application, allow_http_loopback=site.settings.loopback),
        issuer=site.settings.issuer,
        problem=problem.text,
        values=problem.values,
        field=problem.field_id,
        typed_note=problem.sent.get("text", "") if problem.acted == "comment" else "",
        typed_submission=problem.sent.get("text", "") if problem.acted == "submit" else "",
        typed_client_id=problem.sent.get("accept_new_subjects", ""),
        subjects=subjects_shown(change) if change is not None and change.users else None,
        subject_texts=(NEW_SUBJECTS, KEEP_SECTOR),
    )


def _note_shown(note: ApplicationNote, names: Mapping[str, str]) -> dict[str, Any]:
    return {"kind": note.kind, "who": names.get(note.actor, note.actor), "text": note.text, "at": note.created_at}


async def _pending_subject_change(
    request: Request, session: AsyncSession, application: Application
) -> SubjectChange | None:
    """Return the change of every ``sub`` that a submission would bring in production."""
    if application.state not in ("sandbox", "approved") or application.approved_at is None:
        return None
    loopback = site_of(request).settings.loopback
    return await pending_subject_change(session, application, allow_http_loopback=loopback)


@router.post(APPS + "/{application_id}")
async def act(request: Request, there: Member) -> Response:
    """Submit an application, withdraw the submission, open its sandbox, or comment."""
    fields = await own_form(request, f"app {there.application_id}")
    choice = fields.get("choice", "")
    sent = {**fields, "text": fields.get("text", "")[: apps.MAX_NOTE_CHARS]}
    try:
        secret = await _carry_out(request, there, choice, sent)
    except NotChecked:
        return await _overview_page(request, there, Problem(NOT_CHECKED, "submit", sent=sent))
    except Unfinished:
        return RedirectResponse(f"{APPS}/{there.application_id}/settings?check=1", 303)
    except SubjectsWouldChange:
        return await _overview_page(request, there, Problem(NOT_ACCEPTED, "submit", "accept_new_subjects", sent))
    except ClientError as error:
        text = NOTHING_SAID if choice == "comment" and not sent["text"].strip() else CANNOT
        field_id = {"comment": "text", "submit": "submit-text"}.get(choice, "")
        return await _overview_page(request, there, Problem(text, choice, field_id, sent, {"detail": str(error)}))
    await site_of(request).provider.refresh()
    if secret is not None:
        return await secret_page(request, there.here, there.application_id, there.sandbox_id, secret)
    return RedirectResponse(f"{APPS}/{there.application_id}", 303)


async def _carry_out(request: Request, there: There, choice: str, sent: Mapping[str, str]) -> str | None:
    """Carry out an act, and return the secret of a sandbox that was opened."""
    provider, actor = site_of(request).provider, there.here.as_actor
    async with provider.db.write() as session:
        application = await present(request, session, there.application_id)
        if choice == "submit":
            accepted = sent.get("accept_new_subjects", "").strip()
            await submit_application(
                session, provider.settings, application, sent["text"], accepted=accepted, actor=actor
            )
        elif choice == "withdraw":
            await apps.withdraw(session, application, actor=actor)
        elif choice == "sandbox":
            return await apps.open_sandbox(session, provider.box, application, own_uri=own_uri(request), actor=actor)
        elif choice == "comment":
            await apps.comment(session, application, sent["text"], actor=actor)
    return None


@router.get(APPS + "/{application_id}/end")
async def end_page(request: Request, there: Owner) -> Response:
    """Ask whether an application is really to be retired."""
    return await _end_page(request, there)


@router.post(APPS + "/{application_id}/end")
async def end(request: Request, there: Owner) -> Response:
    """Retire an application: its grants and its client sessions end, and nobody can sign in to it."""
    fields = await own_form(request, f"end {there.application_id}")
    if fields.get("name", "").strip() != there.application_id:
        return await _end_page(request, there, NOT_SURE, 400, note=said(fields), name=fields.get("name", "")[:100])
    site = site_of(request)
    try:
        async with site.provider.db.write() as session:
            await remove_client(
                session,
                site.provider,
                there.application_id,
                note=said(fields),
                actor=there.here.as_actor,
            )
    except ClientError as error:
        return await _end_page(request, there, CANNOT, 409, note=said(fields), detail=str(error))
    await site.provider.refresh()
    site.worker.nudge()
    return RedirectResponse(DEVELOPER, 303)


async def _end_page(request: Request, there: There, problem: str = "", status: int = 200, **values: str) -> Response:
    return await application_page(
        request, there, "overview", "developer_end.html", status, purpose="end", problem=problem, values=values
    )
