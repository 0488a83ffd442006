"""The actions of administrators on one application: review, status, policies, privileges, owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients import store as clients
from sso.clients.models import REMOVED, Application
from sso.clients.privileges import grant_privilege, revoke_privilege
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectsWouldChange
from sso.errors import validation_message
from sso.http.admin.application_page import (
    TYPED_POLICIES,
    check_manages,
    find_both,
    show_application,
    typed_policies,
    typed_roles,
)
from sso.http.admin.applications import APPLICATIONS
from sso.http.admin.refused import RefusedAction
from sso.http.common.errors import Interrupted
from sso.http.common.forms import read_revision
from sso.http.common.i18n import N_
from sso.http.common.pages import failure
from sso.http.common.state import request_id_of, site_of
from sso.http.console.access import Here, Needs, own_form, said
from sso.http.developer.application_page import CANNOT, present
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

router = APIRouter()

NOT_LIKE_THIS = N_("This cannot be kept: %(detail)s.")
NOTE_MISSING = N_("Say why: it is kept in the audit log, and its team reads it.")
NOT_ACCEPTED = N_(
    "Users would get new identifiers. Type the client ID to accept new identifiers, or send the application back."
)
TEAM_CHANGED = N_("The team changed it meanwhile. Look at what it wants now, and decide again.")
NOBODY = N_("Nobody signs in with that.")

Reviews = Annotated[Here, Depends(Needs("applications:review"))]
Changes = Annotated[Here, Depends(Needs("clients:write"))]
Grants = Annotated[Here, Depends(Needs(GRANTING))]

_LISTS = ("allowed_networks", "allowed_hours")
"""The policies that have one value on each line."""


@router.post(APPLICATIONS + "/{client_id}/review")
async def review(request: Request, client_id: str, here: Reviews) -> Response:
    """Approve a submitted application, send it back, or comment on it."""
    fields, site = await own_form(request, f"admin app {client_id}"), site_of(request)
    decision = _read_review(fields, here)
    try:
        if decision.choice == "approve":
            loopback = site.provider.settings.loopback
            await check_sector_of(
                site.provider.db, site.provider.outbound, client_id, decision.revision, allow_http_loopback=loopback
            )
        async with site.provider.db.write() as session:
            application = await present(request, session, client_id)
            check_manages(request, here, await clients.get_client(session, client_id), application)
            await review_application(
                session, site.provider.settings, application, decision, actor=here.as_actor, authority=here.authority
            )
            await notify_team(session, site.provider, application)
    except Stale:
        return await show_application(request, client_id, here, 409, RefusedAction("review", fields, TEAM_CHANGED))
    except SubjectsWouldChange as error:
        refused = RefusedAction("review", fields, NOT_ACCEPTED, "accept_new_subjects")
        return await show_application(request, client_id, here, 409, refused, error.changes[0])
    except ClientError as error:
        refused = RefusedAction("review", fields, CANNOT, "text", {"detail": str(error)})
        return await show_application(request, client_id, here, 409, refused)
    await site.provider.refresh()
    site.worker.nudge()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)


def _read_review(fields: Mapping[str, str], here: Here) -> Review:
    choice = fields.get("choice", "")
    # Administrators of groups do not decide whether an application is the city's own.
    granted = {"first_party": fields.get("first_party") == "1"} if here.groups is None else {}
    return Review(
        choice="approve" if choice == "approve" else "send_back" if choice == "send_back" else "comment",
        text=fields.get("text", "")[: apps.MAX_NOTE_CHARS],
        revision=read_revision(fields.get("revision", "")),
        granted=granted,
        accepted=fields.get("accept_new_subjects", "").strip(),
    )


@router.post(APPLICATIONS + "/{client_id}/status")
async def change_status(request: Request, client_id: str, here: Changes) -> Response:
    """Suspend an application, resume it, or remove it, with a reason."""
    fields, site = await own_form(request, f"admin app {client_id}"), site_of(request)
    choice, note, actor = fields.get("choice", ""), said(fields), here.as_actor
    form = "remove" if choice == "remove" else "status"
    if not note:
        refused = RefusedAction(form, fields, NOTE_MISSING, f"{form}-note")
        return await show_application(request, client_id, here, 400, refused)
    try:
        async with site.provider.db.write() as session:
            application = await session.get(Application, client_id)
            check_manages(request, here, await clients.get_client(session, client_id), application)
            if choice == "suspend":
                everything = fields.get("end_sessions") == "1" and here.may("sessions:end_many")
                await suspend_client(session, site.provider, client_id, end_sessions=everything, actor=actor, note=note)
            elif choice == "resume":
                await resume_client(session, client_id, authority=here.authority, actor=actor, note=note)
            elif choice == "remove" and here.may("clients:delete"):
                await remove_client(session, site.provider, client_id, actor=actor, note=note)
            if application is not None:
                await notify_team(session, site.provider, application)
    except ClientError as error:
        refused = RefusedAction(form, fields, CANNOT, f"{form}-note", {"detail": str(error)})
        return await show_application(request, client_id, here, 409, refused)
    await site.provider.refresh()
    site.worker.nudge()
    return RedirectResponse(APPLICATIONS if choice == "remove" else f"{APPLICATIONS}/{client_id}", 303)


@router.post(APPLICATIONS + "/{client_id}/policies")
async def set_policies(request: Request, client_id: str, here: Changes) -> Response:
    """Set who may use an application, from where and when, with which assurance, and how long tokens are valid."""
    fields, site = await own_form(request, f"admin app {client_id}"), site_of(request)
    note = said(fields)
    if not note:
        refused = RefusedAction("policies", fields, NOTE_MISSING, "policies-note")
        return await show_application(request, client_id, here, 400, refused)
    try:
        async with site.provider.db.write() as session:
            row, application = await lock_both(session, client_id)
            check_manages(request, here, row, application)
            if row is None or row.status == REMOVED:
                raise Interrupted(failure(request, "not_found", 404))
            metadata = with_policies(stored_metadata(row.metadata_), _read_policies(fields))
            await register_at_once(
                session,
                site.provider,
                row,
                application,
                metadata,
                event="client.policies_set",
                note=note,
                actor=here.as_actor,
                authority=here.authority,
            )
    except ValidationError as error:
        return await show_application(request, client_id, here, 400, _invalid_policy(fields, error))
    except ClientError as error:
        refused = RefusedAction("policies", fields, CANNOT, "policies-note", {"detail": str(error)})
        return await show_application(request, client_id, here, 409, refused)
    await site.provider.refresh()
    site.worker.nudge()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)


def _read_policies(fields: Mapping[str, str]) -> dict[str, str | list[str] | None]:
    """Return the policies of the form; None: the policy is not set."""
    typed = typed_policies(fields)
    policies: dict[str, str | list[str] | None] = {name: typed[name] or None for name in TYPED_POLICIES}
    for name in _LISTS:
        policies[name] = [line.strip() for line in typed[name].split("\n") if line.strip()] or None
    policies["allowed_roles"] = typed_roles(fields) or None
    return policies


def _invalid_policy(fields: Mapping[str, str], error: ValidationError) -> RefusedAction:
    """Return the refusal of a policy that is not valid."""
    problem = error.errors()[0]
    name, text = str(problem["loc"][0]) if problem["loc"] else "", validation_message(problem)
    if not name and text.partition(": ")[0] in TYPED_POLICIES:
        name, _, text = text.partition(": ")
    detail = f"{name}: {text}" if name else text
    field = name if name in TYPED_POLICIES else "policies-note"
    return RefusedAction("policies", fields, NOT_LIKE_THIS, field, {"detail": detail})


@router.post(APPLICATIONS + "/{client_id}/privileges")
async def change_privileges(request: Request, client_id: str, here: Grants) -> Response:
    """Grant an application an administration permission or restricted data, or revoke it, with a reason."""
    fields, site = await own_form(request, f"admin app {client_id}"), site_of(request)
    choice, note, privilege = fields.get("choice", ""), said(fields), fields.get("privilege", "")[:60]
    if not note:
        form = "revoke" if choice == "revoke" else "grant"
        refused = RefusedAction(form, fields, NOTE_MISSING, f"{form}-note")
        return await show_application(request, client_id, here, 400, refused)
    about = {**here.acts, "reason": note, "request_id": request_id_of(request)}
    async with site.provider.db.write() as session:
        await find_both(request, session, client_id, here)
        if choice == "revoke":
            await revoke_privilege(session, client_id, privilege, **about)
        elif choice == "grant":
            without_user = fields.get("without_person") == "1"
            await grant_privilege(session, client_id, privilege, without_person=without_user, **about)
    await site.provider.refresh()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}#privileges", 303)


@router.post(APPLICATIONS + "/{client_id}/owner")
async def set_owner(request: Request, client_id: str, here: Changes) -> Response:
    """Make a user an owner of an application. Owners of an application of a catalogue file see its refused requests and
    create its secrets."""
    fields, site = await own_form(request, f"admin app {client_id}"), site_of(request)
    typed = {"who": fields.get("who", "").strip()[:254]}
    async with site.provider.db.write() as session:
        row, application = await clients.get_client(session, client_id), await session.get(Application, client_id)
        check_manages(request, here, row, application)
        try:
            user = await find(session, typed["who"], site.provider.box)
        except UserError:
            return await show_application(request, client_id, here, 400, RefusedAction("owner", typed, NOBODY, "who"))
        try:
            await make_owner(session, row, application, client_id, user, actor=here.as_actor, authority=here.authority)
        except ClientError as error:
            refused = RefusedAction("owner", typed, CANNOT, "who", {"detail": str(error)})
            return await show_application(request, client_id, here, 409, refused)
    return RedirectResponse(f"{APPLICATIONS}/{client_id}", 303)
