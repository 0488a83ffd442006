"""The sign-in details of a user: e-mail addresses, telephone numbers, user names and the NIK."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Depends
from sqlalchemy.exc import IntegrityError
from starlette.responses import RedirectResponse, Response

from sso.accounts.contact_code import begin_contact
from sso.accounts.contacts import can_receive_code, change_contact, contacts_of, set_nik, set_username
from sso.accounts.employees import employments_of
from sso.accounts.flows import FlowRefused, Problem
from sso.accounts.own_account import lock_own_account
from sso.http.account.access import OwnPage, OwnVisit, done
from sso.http.common.i18n import N_
from sso.http.common.labels import EMPLOYMENT_STATE_TEXTS, EMPLOYMENT_STATUS_TEXTS
from sso.http.common.late_routes import new_router
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, SentForm
from sso.http.sign_in.flow_texts import OWN_ACCOUNT_TEXTS
from sso.http.sign_in.texts import STALE
from sso.identity.users.identifiers import normalise_as
from sso.identity.users.nip import printed_nip

router = new_router()

CONTACTS = "/account/contacts"
MAX_SHOWN_CHARS = 254
DONE = {
    "removed": N_("The contact or username is removed."),
    "added": N_("The contact is verified and added."),
    "primary": N_("The main contact or username is changed."),
    "username": N_("Your username is saved."),
    "nik": N_("Your NIK is saved. Take your identity card (KTP) to a service counter to have it checked."),
    "nik_place": N_("Your NIK is saved, but its place code is not in our list. Check the first six digits."),
}
Here = Annotated[OwnVisit, Depends(OwnPage("contacts"))]
HereRecently = Annotated[OwnVisit, Depends(OwnPage("contacts", recent=True))]


class ContactsForm(FormModel):
    """A change of the identifiers; the choice says which field counts."""

    choice: ChoiceField = Choice()
    contact: str = ""
    username: str = ""
    nik: str = ""


Contacts = Annotated[Sent[ContactsForm], Depends(SentForm(ContactsForm))]


@router.get(CONTACTS)
async def contacts_page(here: Here) -> Response:
    """The sign-in details of the user."""
    return await page_of_contacts(here)


@router.post(CONTACTS)
async def change_contacts(here: HereRecently, sent: Contacts) -> Response:
    """Add, verify, make primary or remove an identifier."""
    if not here.sent_by_us(sent.typed):
        return await page_of_contacts(here, STALE, 400)
    form, (act, target) = sent.form, sent.form.choice
    if act == "add":
        return await _begin(here, form.contact)
    if act == "verify":
        return await _begin(here, target)
    if act == "primary":
        return await _change(here, "primary", target)
    if act == "remove":
        return await _change(here, "remove", target)
    if act == "username":
        return await _set_username(here, form.username)
    if act == "nik":
        return await _set_nik(here, form.nik)
    return await page_of_contacts(here)


async def _begin(here: OwnVisit, typed: str) -> Response:
    """Send a code to a new contact. Whether another user has it is not told: then the code never comes."""
    try:
        flow = await begin_contact(here.services, here.visitor, here.own, typed)
    except FlowRefused as error:
        if error.problem is Problem.TOO_MANY_CONTACTS:
            return await refused_page(here, error.problem)
        return await refused_page(here, error.problem, field="contact", typed=typed)
    here.services.worker.nudge()
    return RedirectResponse(f"{CONTACTS}/code?{urlencode({'c': flow.token})}", 303, {"Cache-Control": "no-store"})


async def _change(here: OwnVisit, choice: Literal["primary", "remove"], contact_id: str) -> Response:
    try:
        async with here.services.db.write() as session:
            user = await lock_own_account(session, here.own)
            changed = await change_contact(session, here.services.changes, user, choice, contact_id, here.actor)
    except FlowRefused as error:
        return await refused_page(here, error.problem)
    here.services.worker.nudge()
    return done(CONTACTS, "primary" if changed and choice == "primary" else "removed")


async def _set_username(here: OwnVisit, typed: str) -> Response:
    try:
        username = normalise_as("username", typed).value
    except ValueError:
        return await refused_page(here, Problem.INVALID_USERNAME, field="username", typed=typed)
    try:
        async with here.services.db.write() as session:
            user = await lock_own_account(session, here.own)
            await set_username(session, here.services.changes, user, username, here.actor)
    except FlowRefused as error:
        return await refused_page(here, error.problem, field="username", typed=typed)
    except IntegrityError:
        return await refused_page(here, Problem.TAKEN, field="username", typed=typed)
    return done(CONTACTS, "username")


async def _set_nik(here: OwnVisit, typed: str) -> Response:
    """Store a NIK that the user claims."""
    try:
        nik = normalise_as("nik", typed)
    except ValueError:
        return await refused_page(here, Problem.INVALID_NIK, field="nik")
    try:
        async with here.services.db.write() as session:
            user = await lock_own_account(session, here.own)
            await set_nik(session, here.services.changes, user, nik.value, here.actor)
    except FlowRefused as error:
        return await refused_page(here, error.problem)
    return done(CONTACTS, "nik_place" if nik.warnings else "nik")


async def refused_page(here: OwnVisit, problem: Problem, *, field: str = "", typed: str = "") -> Response:
    """Return the page that says why a change was refused."""
    text, status = OWN_ACCOUNT_TEXTS[problem]
    return await page_of_contacts(here, text, status, field=field, typed=typed)


async def page_of_contacts(
    here: OwnVisit, problem: str = "", status: int = 200, *, field: str = "", typed: str = ""
) -> Response:
    """Show the contacts, and what is wrong with the new one.

    Args:
        here: whose contacts.
        problem: the message; empty: nothing is wrong.
        status: of the response.
        field: the field of the form that the message is about.
        typed: what the user typed into it.
    """
    settings = here.services.settings
    async with here.services.db.read() as session:
        known = await contacts_of(session, here.user.id)
        work = await employments_of(session, here.user.id)
    kinds = [kind for kind in ("email", "phone") if settings.can_send(kind)]
    return here.page(
        "account_contacts.html",
        status,
        contacts=[contact for contact in known if contact.kind in ("email", "phone")],
        username=next((name.value for name in known if name.kind == "username" and name.is_primary), ""),
        other_names=[name for name in known if name.kind == "username" and not name.is_primary],
        can_verify={contact.id for contact in known if contact.kind in kinds and can_receive_code(contact)},
        nik=next((identifier for identifier in known if identifier.kind == "nik"), None),
        kinds=kinds,
        employments=work,
        printed_nip=printed_nip,
        status_texts=EMPLOYMENT_STATUS_TEXTS,
        state_texts=EMPLOYMENT_STATE_TEXTS,
        problem=problem,
        field=field,
        typed=typed[:MAX_SHOWN_CHARS],
        done=DONE.get(here.request.query_params.get("done", ""), ""),
    )
