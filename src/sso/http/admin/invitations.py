"""Pages of administrators about new users: creating and inviting one, and the invitations that wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts import user_invitations as inviting
from sso.accounts.power import TooPowerful, check_power, invited_power
from sso.accounts.refusal_texts import refusal_text
from sso.accounts.services import AccountActions
from sso.accounts.user_invitations import GIVES_ROLES, InvitedUser
from sso.errors import validation_field, validation_message
from sso.http.admin.csv_download import PART, Downloads, DownloadSent, Row, csv_response
from sso.http.admin.list_tools import list_tools
from sso.http.admin.user_list import PEOPLE
from sso.http.common.field_errors import FieldError
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import ROLE_NAMES, ROLE_TEXTS
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Db, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, Ticked, cut, required, ticked
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.texts import NOTE_MISSING
from sso.identity.users import store as users
from sso.identity.users import user_invitations
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import UserError, create_users
from sso.platform.audit import record_by
from sso.platform.db import Database
from sso.platform.permissions import power_of
from sso.settings import whole_days

router = new_router()

INVITATIONS = ADMIN + "/invitations"
PAGE = 50
NO_NAME = N_("Enter the full name.")
NO_EMAIL = N_("Enter the e-mail address that the invitation is sent to.")
NO_USERNAME = N_("Enter a username. The user signs in with it.")
MAX_FIELD_CHARS = 254
FIELDS = ("choice", "name", "email", "username", "phone_number", "locale", "note")
"""The fields of the form, in order."""
COLUMNS = ("id", "name", "email", "username", "roles", "sent", "times_sent", "expires", "invited_by")

Invites = Annotated[Here, Depends(Needs(inviting.INVITES))]
Exports = Annotated[Here, Depends(Downloads(inviting.INVITES))]


class NewUserForm(FormModel):
    """A new user. ``choice``: ``invite``, or ``create`` an account at once, without a message."""

    choice: str = "invite"
    name: Annotated[str, cut(200), required(NO_NAME)] = ""
    email: Annotated[str, cut(MAX_FIELD_CHARS)] = ""
    email_verified: Ticked = False
    phone_number: Annotated[str, cut(MAX_FIELD_CHARS)] = ""
    username: Annotated[str, cut(MAX_FIELD_CHARS)] = ""
    locale: str = ""
    note: Annotated[Note, required(NOTE_MISSING)] = ""


class DecisionForm(FormModel):
    """What to do with an invitation: ``send_again`` or ``withdraw``."""

    choice: str = ""


NewUserSent = Annotated[Sent[NewUserForm], Depends(OwnForm(NewUserForm, "new user"))]
DecisionSent = Annotated[Sent[DecisionForm], Depends(OwnForm(DecisionForm, "invitations"))]


@router.get(INVITATIONS)
async def invitations_page(request: Request, here: Invites, db: Db) -> Response:
    """List the invitations that wait."""
    return await _list(request, here, db)


@router.post(INVITATIONS + "/download")
async def download(request: Request, here: Exports, sent: DownloadSent, db: Db) -> Response:
    """Download the invitations that wait."""
    words = _words(request)
    return await csv_response(
        request, db, here, "invitations", COLUMNS, _csv_rows(db, words), ["q"] if words else [], sent
    )


def _words(request: Request) -> str:
    return request.query_params.get("q", "").strip()[:200]


async def _list(
    request: Request,
    here: Here,
    db: Database,
    problem: str = "",
    status: int = 200,
    values: Mapping[str, str] | None = None,
) -> Response:
    query, words = request.query_params, _words(request)
    filters = {"q": words} if words else {}
    async with db.read() as session:
        rows = await user_invitations.page_of(session, read_id(query.get("before", "")), PAGE + 1, words)
        names = await users.names_of(session, [row.created_by for row in rows])
    following = urlencode({**filters, "before": str(rows[PAGE - 1].id)}) if len(rows) > PAGE else ""
    return admin_page(
        request,
        here,
        "people",
        "admin_invitations.html",
        status,
        rows=rows[:PAGE],
        names=names,
        role_names=ROLE_NAMES,
        now=clock.now(),
        done=query.get("done", "") if query.get("done", "") in DONE else "",
        done_texts=DONE,
        problem=problem,
        values=values or {},
        following=f"{INVITATIONS}?{following}" if following else "",
        words=words,
        tools=await list_tools(request, here, db, "invitations", INVITATIONS, filters),
        csrf_token=token_for(request, "invitations"),
    )


DONE = {
    "invited": N_("The invitation was sent."),
    "again": N_("The invitation was sent again. The earlier link is not valid any more."),
    "withdrawn": N_("The invitation was withdrawn."),
}
"""What the list says after an action."""


async def _csv_rows(db: Database, words: str) -> AsyncIterator[Sequence[Row]]:
    before = None
    while True:
        async with db.read() as session:
            page = await user_invitations.page_of(session, before, PART, words)
        yield [
            (
                row.id, row.name, row.email, row.username, row.roles, row.sent_at, row.times_sent, row.expires_at,
                row.created_by,
            )
            for row in page
        ]  # fmt: skip
        if len(page) < PART:
            return
        before = page[-1].id


@router.get(INVITATIONS + "/new")
async def new_page(request: Request, here: Invites, accounts: AccountActor) -> Response:
    """Show the form for a new user."""
    return _form(request, here, accounts, {"choice": "invite", "role citizen": "1"}, {})


def _form(
    request: Request,
    here: Here,
    accounts: AccountActions,
    typed: Mapping[str, str],
    mistakes: Mapping[str, str],
    status: int = 200,
    values: Mapping[str, str] | None = None,
) -> Response:
    return admin_page(
        request,
        here,
        "people",
        "admin_user_new.html",
        status,
        typed={name: value[:MAX_FIELD_CHARS] for name, value in typed.items()},
        errors=[FieldError(name, mistakes[name], values or {}) for name in FIELDS if name in mistakes],
        roles=ROLE_TEXTS,
        may_give_roles=here.may(GIVES_ROLES),
        can_mail=accounts.settings.can_send("email"),
        days=whole_days(accounts.settings.user_invitation_lifetime),
        csrf_token=token_for(request, "new user"),
    )


@router.post(INVITATIONS + "/new")
async def new_user(
    request: Request, here: Invites, sent: NewUserSent, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Invite a user, or create the account at once."""
    form, mistakes = sent.form, dict(sent.mistakes)
    invites = form.choice != "create"
    roles = ticked(sent.typed, "role ") or ["citizen"]
    if invites and not form.email:
        mistakes["email"] = NO_EMAIL
    if not invites and not form.username:
        mistakes["username"] = NO_USERNAME
    if mistakes:
        return _form(request, here, accounts, sent.typed, mistakes, 400)
    words = translations(locale_of(request)).gettext
    try:
        if invites:
            person = InvitedUser.model_validate(_given(form, roles, ("name", "email", "username", "locale")))
            await inviting.invite_user(accounts, person, actor=here.as_actor, rights=here.rights, reason=form.note)
            target = f"{INVITATIONS}?done=invited"
        else:
            target = await _create(accounts, here, form, roles)
    except ValidationError as error:
        problem = error.errors()[0]
        field = validation_field(problem)
        field = field if field in NewUserForm.model_fields else "name"
        detail = {"detail": refusal_text(validation_message(problem), words)}
        return _form(request, here, accounts, sent.typed, {field: "%(detail)s"}, 400, detail)
    except (TooPowerful, UserError) as error:
        field = _field_of(str(error), form)
        detail = {"detail": refusal_text(str(error), words)}
        return _form(request, here, accounts, sent.typed, {field: "%(detail)s"}, error.status, detail)
    outbox.nudge()
    return RedirectResponse(target, 303)


def _given(form: NewUserForm, roles: Sequence[str], names: Sequence[str]) -> dict[str, object]:
    """Return what was typed, without empty fields."""
    values = {name: getattr(form, name) for name in names}
    return {**{name: value for name, value in values.items() if value}, "roles": list(roles)}


def _field_of(refusal: str, form: NewUserForm) -> str:
    """Return the field that a refusal is about."""
    for name in ("username", "email", "phone_number"):
        typed = getattr(form, name)
        if typed and refusal.startswith(typed.casefold()):
            return name
    return "email" if form.choice != "create" else "username"


async def _create(accounts: AccountActions, here: Here, form: NewUserForm, roles: Sequence[str]) -> str:
    """Create an account at once, and return the address of its page.

    Raises:
        TooPowerful: when the account would have permissions that the administrator lacks.
        UserError: when an identifier is used.
        ValidationError: when a value is not valid.
    """
    names = ("name", "email", "username", "phone_number", "locale")
    given = _given(form, roles, names)
    person = NewUser.model_validate({**given, "email_verified": bool(form.email) and form.email_verified})
    async with accounts.db.write() as session:
        lookups = [lookup for lookup in (person.username, person.email, person.phone_number) if lookup]
        if set(roles) - {"citizen"}:
            check_power(here.rights, {GIVES_ROLES})
        check_power(here.rights, power_of(roles, ()))
        check_power(here.rights, await invited_power(session, accounts.registry, lookups))
        (user,) = await create_users(session, [person], actor=here.actor, box=accounts.box)
        await session.flush()
        data = {"act": "create", "note": form.note}
        record_by(session, here.as_actor, "user.administered", subject=str(user.id), data=data)
    return f"{PEOPLE}/{user.id}"


@router.get(INVITATIONS + "/{invitation_id}", dependencies=[Depends(Needs(inviting.INVITES))])
async def invitation_page() -> Response:
    """Lead to the list: an invitation has no page of its own."""
    return RedirectResponse(INVITATIONS, 303)


@router.post(INVITATIONS + "/{invitation_id}")
async def decide(
    request: Request,
    invitation_id: str,
    here: Invites,
    sent: DecisionSent,
    accounts: AccountActor,
    db: Db,
    outbox: Outbox,
) -> Response:
    """Send an invitation again, or withdraw it."""
    chosen, act = read_id(invitation_id), sent.form.choice
    if chosen is None or act not in ("send_again", "withdraw"):
        return failure(request, "not_found", 404)
    work = inviting.send_again if act == "send_again" else inviting.withdraw
    try:
        invitation = await work(accounts, chosen, actor=here.as_actor, rights=here.rights)
    except (TooPowerful, UserError) as error:
        detail = refusal_text(str(error), translations(locale_of(request)).gettext)
        return await _list(request, here, db, "%(detail)s", error.status, {"detail": detail})
    if invitation is None:
        return failure(request, "not_found", 404)
    outbox.nudge()
    return RedirectResponse(f"{INVITATIONS}?done={'again' if act == 'send_again' else 'withdrawn'}", 303)
