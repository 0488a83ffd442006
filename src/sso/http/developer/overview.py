"""The page of one application: its state, the next step, its notes; and the page that retires it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.models import Application, ApplicationNote
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectChange, SubjectsWouldChange
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Box, Clients, CurrentSettings, Db, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, cut, first
from sso.http.console.access import DEVELOPER, OwnForm, There
from sso.http.developer.application_page import (
    APPS,
    CANNOT,
    NOTES,
    Member,
    Owner,
    Reader,
    application_page,
    present,
)
from sso.http.developer.form_texts import KEEP_SECTOR, KIND_TEXTS, LABELS, NEW_SUBJECTS, subject_change_texts
from sso.http.developer.sample import NewSecret, secret_page
from sso.identity.users.store import names_of
from sso.platform.actor import Actor
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.portal import applications as apps
from sso.portal.applications import Unfinished
from sso.portal.approval import NotChecked, missing_for_production, pending_subject_change, submit_application
from sso.portal.lifecycle import remove_client
from sso.portal.sandbox import own_redirect_uri
from sso.settings import Settings

router = new_router()

NOTHING_SAID = N_("Enter a message.")
NOT_CHECKED = N_("Your application must pass the security check first. Open the Security check tab.")
NOT_ACCEPTED = N_(
    "Users would get new identifiers. Enter the kept sector in the settings, or enter the client ID to accept new "
    "identifiers."
)
NOT_SURE = N_("Enter the client ID to confirm.")


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


class ActForm(FormModel):
    """An act on an application: ``submit``, ``withdraw``, ``sandbox`` or ``comment``."""

    choice: str = ""
    text: Annotated[str, first(apps.MAX_NOTE_CHARS)] = ""
    accept_new_subjects: Annotated[str, cut(100)] = ""


class EndForm(FormModel):
    """The end of an application: its client_id once more, and the reason."""

    name: str = ""
    note: Note = ""


Act = Annotated[Sent[ActForm], Depends(OwnForm(ActForm, "app {application_id}"))]
End = Annotated[Sent[EndForm], Depends(OwnForm(EndForm, "end {application_id}"))]


@router.get(APPS + "/{application_id}")
async def overview(request: Request, there: Reader, db: Db, settings: CurrentSettings) -> Response:
    """Show one application: its state, the next step, its notes."""
    return await _overview_page(request, there, db, settings)


async def _overview_page(
    request: Request, there: There, db: Database, settings: Settings, refused: Problem | None = None
) -> Response:
    problem = refused or Problem("")
    async with db.read() as session:
        change = await _pending_subject_change(session, there.application, settings)
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
        notes=[_note_view(note, names) for note in notes],
        note_texts=NOTES,
        labels=LABELS,
        missing=missing_for_production(there.application, allow_http_loopback=settings.loopback),
        issuer=settings.issuer,
        problem=problem.text,
        values=problem.values,
        field=problem.field_id,
        typed_note=problem.sent.get("text", "") if problem.acted == "comment" else "",
        typed_submission=problem.sent.get("text", "") if problem.acted == "submit" else "",
        typed_client_id=problem.sent.get("accept_new_subjects", ""),
        subjects=subject_change_texts(change) if change is not None and change.users else None,
        subject_texts=(NEW_SUBJECTS, KEEP_SECTOR),
    )


def _note_view(note: ApplicationNote, names: Mapping[str, str]) -> dict[str, object]:
    return {"kind": note.kind, "who": names.get(note.actor, note.actor), "text": note.text, "at": note.created_at}


async def _pending_subject_change(
    session: AsyncSession, application: Application, settings: Settings
) -> SubjectChange | None:
    """Return the change of every ``sub`` that a submission would bring in production."""
    if application.state not in ("sandbox", "approved") or application.approved_at is None:
        return None
    return await pending_subject_change(session, application, allow_http_loopback=settings.loopback)


@router.post(APPS + "/{application_id}")
async def act(
    request: Request, there: Member, sent: Act, db: Db, settings: CurrentSettings, box: Box, clients: Clients
) -> Response:
    """Submit an application, withdraw the submission, open its sandbox, or comment."""
    form = sent.form
    typed = {**sent.typed, "text": form.text}
    try:
        async with db.write() as session:
            application = await present(request, session, there.application_id)
            secret = await _carry_out(session, settings, box, application, form, there.here.as_actor)
    except Unfinished:
        return RedirectResponse(f"{APPS}/{there.application_id}/settings?check=1", 303)
    except (NotChecked, ClientError) as error:
        return await _overview_page(request, there, db, settings, _problem(form, typed, error))
    await clients.refresh()
    if secret is not None:
        new_secret = NewSecret(there.application_id, there.sandbox_id, secret, fresh=True)
        return await secret_page(request, there.here, settings, clients.registry, new_secret)
    return RedirectResponse(f"{APPS}/{there.application_id}", 303)


async def _carry_out(
    session: AsyncSession, settings: Settings, box: SecretBox, application: Application, form: ActForm, actor: Actor
) -> str | None:
    """Carry out an act, and return the secret of a sandbox that was opened."""
    if form.choice == "submit":
        accepted = form.accept_new_subjects
        await submit_application(session, settings, application, form.text, accepted=accepted, actor=actor)
    elif form.choice == "withdraw":
        await apps.withdraw(session, application, actor=actor)
    elif form.choice == "sandbox":
        return await apps.open_sandbox(session, box, application, own_uri=own_redirect_uri(settings), actor=actor)
    elif form.choice == "comment":
        await apps.comment(session, application, form.text, actor=actor)
    return None


def _problem(form: ActForm, typed: Mapping[str, str], error: Exception) -> Problem:
    """Return why an act was refused, as the page says it."""
    if isinstance(error, NotChecked):
        return Problem(NOT_CHECKED, "submit", sent=typed)
    if isinstance(error, SubjectsWouldChange):
        return Problem(NOT_ACCEPTED, "submit", "accept_new_subjects", typed)
    text = NOTHING_SAID if form.choice == "comment" and not form.text.strip() else CANNOT
    field_id = {"comment": "text", "submit": "submit-text"}.get(form.choice, "")
    return Problem(text, form.choice, field_id, typed, {"detail": str(error)})


@router.get(APPS + "/{application_id}/end")
async def end_page(request: Request, there: Owner) -> Response:
    """Ask whether an application is really to be retired."""
    return await _end_page(request, there)


@router.post(APPS + "/{application_id}/end")
async def end(
    request: Request, there: Owner, sent: End, db: Db, accounts: AccountActor, clients: Clients, outbox: Outbox
) -> Response:
    """Retire an application: its grants and its client sessions end, and nobody can sign in to it."""
    form = sent.form
    if form.name.strip() != there.application_id:
        return await _end_page(request, there, NOT_SURE, 400, note=form.note, name=form.name[:100])
    try:
        async with db.write() as session:
            await remove_client(session, accounts, there.application_id, note=form.note, actor=there.here.as_actor)
    except ClientError as error:
        if there.kept_by:  # the page says what to do instead
            return await _end_page(request, there, status=409)
        return await _end_page(request, there, CANNOT, 409, note=form.note, detail=str(error))
    await clients.refresh()
    outbox.nudge()
    return RedirectResponse(DEVELOPER, 303)


async def _end_page(request: Request, there: There, problem: str = "", status: int = 200, **values: str) -> Response:
    return await application_page(
        request, there, "overview", "developer_end.html", status, purpose="end", problem=problem, values=values
    )
