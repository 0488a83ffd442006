"""The page on which administrators change the metadata of an application that no catalogue file manages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from starlette.responses import RedirectResponse, Response

from sso.clients.metadata import ClientMetadata
from sso.clients.models import SANDBOX_END, Application, ClientRow
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectsWouldChange
from sso.http.admin.application_actions import NOTE_MISSING, Changes
from sso.http.admin.application_page import ApplicationView, View, find_both
from sso.http.admin.applications import APPLICATIONS, Sees
from sso.http.common.errors import Interrupted
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.services import OutboundHttp, Registration, RegistrationChange
from sso.http.common.typed_forms import FormModel, Note, Sent, Ticked, cut
from sso.http.console.access import Here, OwnForm, admin_page, token_for
from sso.http.developer.application_page import CANNOT
from sso.http.developer.form import Typed, read_typed, requested_from, typed_from
from sso.http.developer.form_advice import advise_typed, impersonates
from sso.http.developer.form_context import form_context
from sso.http.developer.form_texts import NEW_SUBJECTS, subject_change_texts
from sso.http.developer.requested_data import offered_by
from sso.platform.security.outbound_http import Outbound
from sso.portal import applications as apps
from sso.portal.administration import lock_both, register_at_once
from sso.portal.applications import THEIRS, RequestedSettings, Stale, Unfinished, catalogue_of
from sso.portal.approval import check_sector_named

router = new_router()

CHANGED_MEANWHILE = N_(
    "Another user has just changed these settings. Your entries are still here. Compare them with the registered "
    "settings, then save again."
)
NOT_YOUR_GROUP = N_("Choose a group that you manage.")
LOOKS_ALIKE = N_("An address can be taken for another application's. Look at the hint beside it.")


class EditForm(FormModel):
    """What administrators alone decide, the reason, and the version that the form was made of."""

    note: Note = ""
    first_party: Ticked = False
    accept_new_subjects: Annotated[str, cut(100)] = ""
    revision: str = ""


EditSent = Annotated[Sent[EditForm], Depends(OwnForm(EditForm, "admin settings {client_id}"))]


@router.get(APPLICATIONS + "/{client_id}/settings")
async def settings_page(client_id: str, here: Sees, view: View) -> Response:
    """Show the registered metadata in a form."""
    if client_id.endswith(SANDBOX_END):
        return RedirectResponse(f"{APPLICATIONS}/{client_id.removesuffix(SANDBOX_END)}/settings", 303)
    row, application = await _present(view, client_id, here)
    registered = apps.registered_as(application, stored_metadata(row.metadata_))
    return _page(view, here, row, typed_from(registered.kind, registered, client_id, offered_by(view.registry.city)))


@router.post(APPLICATIONS + "/{client_id}/settings")
async def change_settings(
    client_id: str, here: Changes, sent: EditSent, view: View, registration: Registration, outbound: OutboundHttp
) -> Response:
    """Register other metadata at once. The sandbox and the requested metadata of the team follow."""
    row, application = await _present(view, client_id, here)
    present = apps.registered_as(application, stored_metadata(row.metadata_))
    offered = offered_by(view.registry.city)
    if catalogue_of(row):  # the page has no button then
        return _page(view, here, row, typed_from(present.kind, present, client_id, offered), 409)
    typed = read_typed(present.kind, sent.typed, offered)
    requested = requested_from(typed, present)
    advise_typed(typed, requested, client_id, view.registry, view.settings)
    typed.values["note"] = sent.form.note
    typed.values["first_party"] = "1" if sent.form.first_party else ""
    typed.values["accept_new_subjects"] = sent.form.accept_new_subjects
    _judge(typed, here, present, requested)
    if typed.mistakes:
        return _page(view, here, row, typed, 400)
    try:
        await _register(view, here, client_id, sent.form, requested, registration, outbound)
    except Stale:
        typed.mistakes[""] = (CHANGED_MEANWHILE, {})
        row, _ = await _present(view, client_id, here)
        return _page(view, here, row, typed, 409)
    except Unfinished as error:
        _refuse(typed, error.problems)
        return _page(view, here, row, typed, 400)
    except SubjectsWouldChange as error:
        typed.mistakes["accept_new_subjects"] = (NEW_SUBJECTS, subject_change_texts(error.changes[0]))
        return _page(view, here, row, typed, 409)
    except ClientError as error:
        typed.mistakes[""] = (CANNOT, {"detail": str(error)})
        return _page(view, here, row, typed, 409)
    await registration.follow()
    return RedirectResponse(f"{APPLICATIONS}/{client_id}/settings?done=1", 303)


async def _register(
    view: ApplicationView,
    here: Here,
    client_id: str,
    form: EditForm,
    requested: RequestedSettings,
    registration: RegistrationChange,
    outbound: Outbound,
) -> None:
    """Register what was typed.

    Raises:
        Stale: when somebody else changed the application meanwhile.
        Unfinished: naming each field that is wrong.
        SubjectsWouldChange: when every ``sub`` would change, and that was not accepted.
        ClientError: when a rule forbids the change.
    """
    loopback = view.settings.loopback
    row, _ = await _present(view, client_id, here)
    # May fetch a document: before the transaction.
    await check_sector_named(outbound, _metadata(stored_metadata(row.metadata_), requested, form.first_party, loopback))
    async with view.db.write() as session:
        locked, application = await lock_both(session, client_id)
        if locked is None or form.revision != str(locked.version):
            raise Stale("the application has just been changed: read the application again")
        await register_at_once(
            session,
            registration.changes,
            locked,
            application,
            _metadata(stored_metadata(locked.metadata_), requested, form.first_party, loopback),
            event="client.settings_set",
            note=form.note,
            actor=here.as_actor,
            authority=here.authority,
            accepted=form.accept_new_subjects,
        )


async def _present(view: ApplicationView, client_id: str, here: Here) -> tuple[ClientRow, Application | None]:
    """Return what is registered, and what its team looks after.

    Raises:
        Interrupted: when nothing is registered, or it is not theirs to see.
    """
    async with view.db.read() as session:
        row, application = await find_both(view.request, session, client_id, here)
    if row is None:  # a draft, or only a sandbox: its team changes that
        raise Interrupted(failure(view.request, "not_found", 404))
    return row, application


def _judge(typed: Typed, here: Here, present: RequestedSettings, requested: RequestedSettings) -> None:
    """Add to a form what keeps it from being saved."""
    if not typed.values["note"]:
        typed.mistakes["note"] = (NOTE_MISSING, {})
    if not requested.document.get("client_name"):
        typed.refuse({"client_name": "is missing"})
    if here.groups is not None and requested.document.get("group") not in here.groups:
        typed.mistakes["group"] = (NOT_YOUR_GROUP, {})
    fields = {name.partition(".")[0] for name in impersonates(typed)}
    if any(present.document.get(name) != requested.document.get(name) for name in fields):
        typed.mistakes[""] = (LOOKS_ALIKE, {})


def _refuse(typed: Typed, problems: Mapping[str, str]) -> None:
    """Add what the rules say is wrong: beside its field, or above the form where it is of the sandbox, which is not
    shown."""
    typed.refuse({name: text for name, text in problems.items() if not name.startswith("sandbox.")})
    for name, text in problems.items():
        if name.startswith("sandbox."):
            typed.mistakes.setdefault("", (CANNOT, {"detail": f"{name}: {text}"}))


def _metadata(
    before: ClientMetadata,
    requested: RequestedSettings,
    first_party: bool,
    loopback: bool,
) -> ClientMetadata:
    """Return what is to be registered: what was typed, and the rest as it was.

    Raises:
        Unfinished: naming each field that is wrong.
    """
    unchanged = {name: value for name, value in before.stored().items() if name not in THEIRS}
    return apps.valid_metadata({**unchanged, **requested.document, "first_party": first_party}, loopback)


def _page(view: ApplicationView, here: Here, row: ClientRow, typed: Typed, status: int = 200) -> Response:
    request, stored = view.request, stored_metadata(row.metadata_)
    typed.values = {"note": "", "first_party": "1" if stored.first_party else "", **typed.values}
    kept_by = catalogue_of(row)
    return admin_page(
        request,
        here,
        "applications",
        "developer_settings.html",
        status,
        admin=True,
        app=None,
        client_id=row.client_id,
        name=stored.client_name,
        **form_context(request, view.registry, typed, sorted(here.groups) if here.groups is not None else None),
        kept_by=kept_by,
        may_change=here.may("clients:write") and here.recent and not kept_by,
        open_now=True,
        revision=row.version,
        done=request.query_params.get("done", "") if status == 200 else "",
        csrf_token=token_for(request, f"admin settings {row.client_id}"),
    )
