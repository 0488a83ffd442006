"""Pages of administrators who invite many users from a CSV file: the file, a preview of each line, and the result.

Between the preview and the confirmation the lines are kept encrypted, for this browser and this administrator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts import user_invitations as inviting
from sso.accounts.power import TooPowerful
from sso.accounts.services import AccountActions
from sso.accounts.user_files import COLUMNS, MAX_LINES, FileLine, FileRefused, read_file
from sso.accounts.user_invitations import InvitedUser
from sso.http.admin.invitations import INVITATIONS, NOTE_MISSING
from sso.http.admin.refusal_texts import Words, refusal_text
from sso.http.common.cookies import read_cookie
from sso.http.common.csrf import has_valid_csrf_token
from sso.http.common.forms import upload
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import ROLE_NAMES
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Db, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, cut, required
from sso.http.console.access import Here, Needs, OwnForm, admin_page, token_for
from sso.identity.authn import pending_flows
from sso.identity.users.service import UserError
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.settings import whole_days

router = new_router()

FILE = INVITATIONS + "/file"
FLOW_SECONDS = 3600
REFUSED = {
    "too_large": N_("The file is too large. It may have at most 1 MB."),
    "not_utf8": N_("The file is not UTF-8 text. Save it as “CSV UTF-8”."),
    "not_csv": N_("The file is not a CSV file: a quotation mark is not closed."),
    "empty": N_("The file has no lines. The first line names the columns; each further line is one user."),
    "too_many": N_("The file has too many lines. It may have at most %(detail)s users."),
    "unknown_column": N_("The column “%(detail)s” is unknown or is named twice."),
    "no_column": N_("The column “%(detail)s” is missing."),
    "no_file": N_("Choose a file."),
}
"""Why a file is refused."""
LINE_MISTAKES = {
    "columns": N_("The line does not have as many values as the first line has columns."),
    "missing": N_("The value is missing."),
    "no_role": N_("There is no such role."),
    "repeated": N_("The e-mail address or username is also on line %(line)s."),
}
"""Mistakes of a line that have a text of their own."""

Invites = Annotated[Here, Depends(Needs(inviting.INVITES))]


class ConfirmForm(FormModel):
    """The confirmation of a preview."""

    c: Annotated[str, cut(200)] = ""
    note: Annotated[Note, required(NOTE_MISSING)] = ""


ConfirmSent = Annotated[Sent[ConfirmForm], Depends(OwnForm(ConfirmForm, "invitation file"))]


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """A line as the pages show it. ``mistake``: why nobody is invited; empty: somebody is."""

    number: int
    name: str
    email: str
    roles: str
    field: str
    mistake: str


@router.get(FILE)
async def file_page(request: Request, here: Invites, accounts: AccountActor) -> Response:
    """Ask for the file."""
    return _file_page(request, here, accounts)


def _file_page(
    request: Request, here: Here, accounts: AccountActions, problem: str = "", detail: str = "", status: int = 200
) -> Response:
    return admin_page(
        request,
        here,
        "people",
        "admin_user_file.html",
        status,
        problem=problem,
        values={"detail": detail},
        columns=COLUMNS,
        maximum=MAX_LINES,
        days=whole_days(accounts.settings.user_invitation_lifetime),
        can_mail=accounts.settings.can_send("email"),
        csrf_token=token_for(request, "invitation file"),
    )


@router.post(FILE)
async def preview(request: Request, here: Invites, accounts: AccountActor, db: Db) -> Response:
    """Read the file, and show what would happen with each line. Nothing is sent."""
    fields, body = await upload(request, "file")
    if not has_valid_csrf_token(request, fields, "invitation file", read_cookie(request, "session")):
        return failure(request, "stale_form", 400, fields=fields)
    try:
        if not body:
            raise FileRefused("no_file")
        lines = read_file(body)
    except FileRefused as error:
        return _file_page(request, here, accounts, REFUSED[error.code], error.detail, 400)
    locale = locale_of(request)
    shown = await _judged(accounts, here, lines, locale)
    valid = [
        line.person.model_dump() for line, view in zip(lines, shown, strict=True) if line.person and not view.mistake
    ]
    token = await _keep(db, accounts.box, request, here, valid)
    return _preview_page(request, here, shown, token)


async def _keep(
    db: Database, box: SecretBox, request: Request, here: Here, people: Sequence[Mapping[str, object]]
) -> str:
    """Keep the lines of a preview, encrypted, for this browser; return their token."""
    async with db.write() as session:
        flow = await pending_flows.begin(
            session,
            box,
            "invite",
            read_cookie(request, "browser"),
            {"people": list(people)},
            user_id=here.visit.user.id,
            seconds=FLOW_SECONDS,
        )
    return flow.token


def _preview_page(
    request: Request,
    here: Here,
    lines: Sequence[PreviewLine],
    token: str,
    problem: str = "",
    status: int = 200,
    *,
    done: bool = False,
) -> Response:
    return admin_page(
        request,
        here,
        "people",
        "admin_user_preview.html",
        status,
        lines=lines,
        count=sum(1 for line in lines if not line.mistake),
        wrong=sum(1 for line in lines if line.mistake),
        done=done,
        c=token,
        problem=problem,
        csrf_token=token_for(request, "invitation file"),
    )


async def _judged(accounts: AccountActions, here: Here, lines: Sequence[FileLine], locale: str) -> list[PreviewLine]:
    """Return the lines with the mistakes that only the database knows."""
    words = translations(locale).gettext
    people = [line.person for line in lines if line.person is not None]
    shown = []
    async with accounts.db.read() as session:
        used = await inviting.used_of(session, people)
        for line in lines:
            mistake = _mistake(line, words)
            if line.person is not None and not line.mistake:
                try:
                    inviting.check_unused(line.person, used)
                    await inviting.check_invited(session, accounts.registry, line.person, here.rights)
                except (TooPowerful, UserError) as error:
                    mistake = refusal_text(str(error), words)
            shown.append(_shown(line, mistake, words))
    return shown


def _mistake(line: FileLine, words: Words) -> str:
    text = LINE_MISTAKES.get(line.mistake)
    return words(text) % {"line": line.field} if text is not None else refusal_text(line.mistake, words)


def _shown(line: FileLine, mistake: str, words: Words) -> PreviewLine:
    values = line.values
    roles = line.person.roles if line.person is not None else []
    named = ", ".join(words(ROLE_NAMES[role]) for role in roles) or values.get("roles", "")
    field = line.field if line.field in COLUMNS else ""
    return PreviewLine(line.number, values.get("name", ""), values.get("email", ""), named, field, mistake)


@router.post(FILE + "/confirm")
async def confirm(
    request: Request, here: Invites, sent: ConfirmSent, accounts: AccountActor, db: Db, outbox: Outbox
) -> Response:
    """Invite the users of a preview, each in a transaction of its own."""
    async with db.read() as session:
        flow = await pending_flows.recall(session, accounts.box, "invite", sent.form.c, read_cookie(request, "browser"))
    if flow is None or flow.user_id != here.visit.user.id:
        return failure(request, "expired_interaction", 400)
    people = [InvitedUser.model_validate(values) for values in flow.data["people"]]
    lines = [FileLine(number, _values(person), person) for number, person in enumerate(people, 1)]
    locale = locale_of(request)
    if sent.mistakes:
        shown = await _judged(accounts, here, lines, locale)
        return _preview_page(request, here, shown, sent.form.c, sent.mistakes["note"], 400)
    async with db.write() as session:
        if not await pending_flows.finish(session, flow):
            return failure(request, "expired_interaction", 400)
    words, results = translations(locale).gettext, []
    for line, person in zip(lines, people, strict=True):
        mistake = ""
        try:
            await inviting.invite_user(accounts, person, actor=here.as_actor, rights=here.rights, reason=sent.form.note)
        except (TooPowerful, UserError) as error:
            mistake = refusal_text(str(error), words)
        results.append(_shown(line, mistake, words))
    outbox.nudge()
    return _preview_page(request, here, results, "", done=True)


def _values(person: InvitedUser) -> dict[str, str]:
    return {"name": person.name, "email": person.email, "roles": " ".join(person.roles)}
