"""The actions of administrators on one application: review, status, policies, privileges, owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.refusal_texts import refusal_text
from sso.clients import store as clients
from sso.clients.models import REMOVED, Application
from sso.clients.privileges import grant_privilege, revoke_privilege
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectsWouldChange
from sso.errors import validation_field, validation_message
from sso.http.admin.allowed_users import typed_users
from sso.http.admin.application_page import (
    TYPED_POLICIES,
    ApplicationView,
    View,
    check_manages,
    find_both,
    name_of,
    show_application,
    typed_policies,
)
from sso.http.admin.applications import APPLICATIONS
from sso.http.admin.refused import RefusedAction
from sso.http.common.errors import Interrupted
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import Box, OutboundHttp, Registration
from sso.http.common.typed_forms import FormModel, Note, Revision, Sent, Ticked, cut, first, required
from sso.http.console.access import Here, Needs, OwnForm
from sso.http.console.texts import CANNOT, NOBODY
from sso.http.developer.application_page import present
from sso.identity.users.service import UserError, find
from sso.platform.permissions import GRANTING
from sso.portal import applications as apps
from sso.portal.administration import (
    Review,
    lock_both,
    make_owner,
    notify_team,
    register_at_once,
    review_application,
    with_policies,
)
from sso.portal.applications import Stale
from sso.portal.approval import check_sector_of
from sso.portal.lifecycle import remove_client, resume_client, suspend_client

router = new_router()

NOT_LIKE_THIS = N_("The value is not valid: %(detail)s.")
NOTE_MISSING = N_("Write the reason. It is recorded in the audit log, and the team reads it.")
WRONG_NAME = N_("Type the name of the application exactly as it is shown, to confirm that it is retired.")
NOT_ACCEPTED = N_(
    "Users would get new identifiers. Type the client ID to accept new identifiers, or send the application back."
)
TEAM_CHANGED = N_("The team has just changed the application. Check the new request, then decide again.")

Reviews = Annotated[Here, Depends(Needs("applications:review"))]
Changes = Annotated[Here, Depends(Needs("clients:write"))]
Grants = Annotated[Here, Depends(Needs(GRANTING))]


class ReviewForm(FormModel):
    """The decision about a submitted application: ``approve``, ``send_back`` or a comment."""

    choice: str = ""
    text: Annotated[str, first(apps.MAX_NOTE_CHARS)] = ""
    revision: Revision = -1
    first_party: Ticked = False
    accept_new_subjects: Annotated[str, cut(100)] = ""


class NoteForm(FormModel):
    """A form of which only the reason is read here."""

    note: Annotated[Note, required(NOTE_MISSING)] = ""


class StatusForm(NoteForm):
    """A change of the status: ``suspend``, ``resume`` or ``remove``."""

    choice: str = ""
    end_sessions: Ticked = False
    name: Annotated[str, cut(200)] = ""


class PrivilegeForm(NoteForm):
    """A privilege that is granted or revoked."""

    choice: str = ""
    privilege: Annotated[str, first(60)] = ""
    without_person: Ticked = False


class OwnerForm(FormModel):
    """Who becomes an owner."""

    who: Annotated[str, cut(254)] = ""


_FORM = "admin app {client_id}"
ReviewSent = Annotated[Sent[ReviewForm], Depends(OwnForm(ReviewForm, _FORM))]
NoteSent = Annotated[Sent[NoteForm], Depends(OwnForm(NoteForm, _FORM))]
StatusSent = Annotated[Sent[StatusForm], Depends(OwnForm(StatusForm, _FORM))]
PrivilegeSent = Annotated[Sent[PrivilegeForm], Depends(OwnForm(PrivilegeForm, _FORM))]
OwnerSent = Annotated[Sent[OwnerForm], Depends(OwnForm(OwnerForm, _FORM))]

_LISTS = ("allowed_networks", "allowed_hours")
"""The policies that have one value on each line."""


@router.post(APPLICATIONS + "/{client_id}/review")
async def review(
    request: Request,
    client_id: str,
    here: Reviews,
    sent: ReviewSent,
    view: View,
    registered: Registration,
    outbound: OutboundHttp,
) -> Response:
    """Approve a submitted application, send it back, or comment on it."""
    db, settings, fields = view.db, view.settings, sent.typed
    decision = _decision(sent.form, here)
    try:
        if decision.choice == "approve":
            loopback = settings.loopback
            await check_sector_of(db, outbound, client_id, decision.revision, allow_http_loopback=loopback)
        async with db.write() as session:
            application = await present(request, session, client_id)
            check_manages(request, here, await clients.get_client(session, client_id), application)
            await review_application(
                session, settings, application, decision, actor=here.as_actor, authority=here.authority
            )
            await notify_team(session, registered.changes, application)
    except Stale:
        return await show_application(view, client_id, here, 409, RefusedAction("review", fields, TEAM_CHANGED))
    except SubjectsWouldChange as error:
        refused = RefusedAction("review", fields, NOT_ACCEPTED, "accept_new_subjects")
        return await show_application(view, client_id, here, 409, refused, error.changes[0])
    except ClientError as error:
        refused = RefusedAction("review", fields, CANNOT, "text", {"detail": _refusal(view, error)})
        return await show_application(view, client_id, here, 409, refused)
    await registered.follow()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)


def _decision(form: ReviewForm, here: Here) -> Review:
    # Administrators of groups do not decide whether an application is the city's own.
    granted = {"first_party": form.first_party} if here.groups is None else {}
    return Review(
        choice="approve" if form.choice == "approve" else "send_back" if form.choice == "send_back" else "comment",
        text=form.text,
        revision=form.revision,
        granted=granted,
        accepted=form.accept_new_subjects,
    )


@router.post(APPLICATIONS + "/{client_id}/status")
async def change_status(
    request: Request, client_id: str, here: Changes, sent: StatusSent, view: View, registered: Registration
) -> Response:
    """Suspend an application, resume it, or remove it, with a reason."""
    fields, choice, note, actor = sent.typed, sent.form.choice, sent.form.note, here.as_actor
    form = "remove" if choice == "remove" else "status"
    if sent.mistakes:
        refused = RefusedAction(form, fields, sent.mistakes["note"], f"{form}-note")
        return await show_application(view, client_id, here, 400, refused)
    try:
        async with view.db.write() as session:
            application = await session.get(Application, client_id)
            row = await clients.get_client(session, client_id)
            check_manages(request, here, row, application)
            if choice == "remove" and sent.form.name != name_of(row, application, client_id):
                refused = RefusedAction(form, fields, WRONG_NAME, "remove-name")
                return await show_application(view, client_id, here, 400, refused)
            if choice == "suspend":
                everything = sent.form.end_sessions and here.may("sessions:end_many")
                changes = registered.changes
                await suspend_client(session, changes, client_id, end_sessions=everything, actor=actor, note=note)
            elif choice == "resume":
                await resume_client(session, client_id, authority=here.authority, actor=actor, note=note)
            elif choice == "remove" and here.may("clients:delete"):
                await remove_client(session, registered.changes, client_id, actor=actor, note=note)
            if application is not None:
                await notify_team(session, registered.changes, application)
    except ClientError as error:
        field = "" if form == "remove" else "status-note"  # what a catalogue file manages has no form to retire it
        refused = RefusedAction(form, fields, CANNOT, field, {"detail": _refusal(view, error)})
        return await show_application(view, client_id, here, 409, refused)
    await registered.follow()
    return RedirectResponse(APPLICATIONS if choice == "remove" else f"{APPLICATIONS}/{client_id}", 303)


def _refusal(view: ApplicationView, error: Exception) -> str:
    """Return a refusal in the language of the page."""
    return refusal_text(str(error), translations(locale_of(view.request)).gettext)


@router.post(APPLICATIONS + "/{client_id}/policies")
async def set_policies(
    request: Request, client_id: str, here: Changes, sent: NoteSent, view: View, registered: Registration
) -> Response:
    """Set who may use an application, from where and when, with which assurance, and how long tokens are valid."""
    fields = sent.typed
    if sent.mistakes:
        refused = RefusedAction("policies", fields, sent.mistakes["note"], "policies-note")
        return await show_application(view, client_id, here, 400, refused)
    try:
        async with view.db.write() as session:
            row, application = await lock_both(session, client_id)
            check_manages(request, here, row, application)
            if row is None or row.status == REMOVED:
                raise Interrupted(failure(request, "not_found", 404))
            metadata = with_policies(stored_metadata(row.metadata_), _read_policies(fields))
            await register_at_once(
                session,
                registered.changes,
                row,
                application,
                metadata,
                event="client.policies_set",
                note=sent.form.note,
                actor=here.as_actor,
                authority=here.authority,
            )
    except ValidationError as error:
        return await show_application(view, client_id, here, 400, _invalid_policy(fields, error))
    except ClientError as error:
        refused = RefusedAction("policies", fields, CANNOT, "policies-note", {"detail": _refusal(view, error)})
        return await show_application(view, client_id, here, 409, refused)
    await registered.follow()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)


def _read_policies(fields: Mapping[str, str]) -> dict[str, str | list[str] | None]:
    """Return the policies of the form; None: the policy is not set."""
    typed = typed_policies(fields)
    policies: dict[str, str | list[str] | None] = {name: typed[name] or None for name in TYPED_POLICIES}
    for name in _LISTS:
        policies[name] = [line.strip() for line in typed[name].split("\n") if line.strip()] or None
    policies["allowed_roles"] = typed_users(fields) or None
    return policies


def _invalid_policy(fields: Mapping[str, str], error: ValidationError) -> RefusedAction:
    """Return the refusal of a policy that is not valid."""
    problem = error.errors()[0]
    name, text = validation_field(problem), validation_message(problem)
    if not name and text.partition(": ")[0] in TYPED_POLICIES:
        name, _, text = text.partition(": ")
    detail = f"{name}: {text}" if name else text
    field = {"allowed_roles": "allowed_groups"}.get(name, name if name in TYPED_POLICIES else "policies-note")
    return RefusedAction("policies", fields, NOT_LIKE_THIS, field, {"detail": detail})


@router.post(APPLICATIONS + "/{client_id}/privileges")
async def change_privileges(
    request: Request, client_id: str, here: Grants, sent: PrivilegeSent, view: View, registered: Registration
) -> Response:
    """Grant an application an administration permission or restricted data, or revoke it, with a reason."""
    form = sent.form
    if sent.mistakes:
        name = "revoke" if form.choice == "revoke" else "grant"
        refused = RefusedAction(name, sent.typed, sent.mistakes["note"], f"{name}-note")
        return await show_application(view, client_id, here, 400, refused)
    async with view.db.write() as session:
        await find_both(request, session, client_id, here)
        if form.choice == "revoke":
            await revoke_privilege(
                session, client_id, form.privilege, reason=form.note, actor=here.as_actor, authority=here.authority
            )
        elif form.choice == "grant":
            await grant_privilege(
                session,
                client_id,
                form.privilege,
                reason=form.note,
                without_person=form.without_person,
                actor=here.as_actor,
                authority=here.authority,
            )
    await registered.follow()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}#privileges", 303)


@router.post(APPLICATIONS + "/{client_id}/owner")
async def set_owner(request: Request, client_id: str, here: Changes, sent: OwnerSent, view: View, box: Box) -> Response:
    """Make a user an owner of an application. Owners of an application of a catalogue file see its refused requests and
    create its secrets."""
    typed = {"who": sent.form.who}
    async with view.db.write() as session:
        row, application = await clients.get_client(session, client_id), await session.get(Application, client_id)
        check_manages(request, here, row, application)
        try:
            user = await find(session, sent.form.who, box)
        except UserError:
            return await show_application(view, client_id, here, 400, RefusedAction("owner", typed, NOBODY, "who"))
        try:
            await make_owner(session, row, application, client_id, user, actor=here.as_actor, authority=here.authority)
        except ClientError as error:
            refused = RefusedAction("owner", typed, CANNOT, "who", {"detail": _refusal(view, error)})
            return await show_application(view, client_id, here, 409, refused)
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)
