"""Pages of administrators who invite many users from a CSV file: the file, a preview of each line, and the result.

For an hour the lines, and after the confirmation their results, are kept encrypted for this browser and this
administrator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NotRequired, TypedDict, cast
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts import user_invitations as inviting
from sso.accounts.power import TooPowerful
from sso.accounts.refusal_texts import Words, refusal_text
from sso.accounts.services import AccountActions
from sso.accounts.user_files import COLUMNS, MAX_LINES, FileLine, FileRefused, read_file
from sso.accounts.user_invitations import InvitedUser
from sso.http.admin.invitations import INVITATIONS
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import has_valid_csrf_token
from sso.http.common.forms import upload
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import ROLE_NAMES
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Db, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, cut, required
from sso.http.console.access import Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.texts import NOTE_MISSING
from sso.identity.authn import pending_flows
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.users.service import UserError
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.settings import whole_days

router = new_router()

FILE = INVITATIONS + "/file"
FLOW_SECONDS = 3600
KEPT_AT_ONCE = 20
"""After how many lines their results are kept: a cut connection or a stopped server loses no more."""
NOT_SENT = N_("No invitation was sent to this address yet. Reload this page in a minute, or upload the file again.")
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
    if not has_valid_csrf_token(request, fields, "invitation file", own_cookies(request).session_token):
        return failure(request, "stale_form", 400, fields=fields)
    try:
        if not body:
            raise FileRefused("no_file")
        lines = read_file(body)
    except FileRefused as error:
        return _file_page(request, here, accounts, REFUSED[error.code], error.detail, 400)
    locale = locale_of(request)
    previews = await _judged(accounts, here, lines, locale)
    valid = [line for line, view in zip(lines, previews, strict=True) if line.person and not view.mistake]
    token = await _keep(db, accounts.box, request, here, valid)
    return _preview_page(request, here, previews, token)


class StoredPeople(TypedDict):
    """The valid lines of a file that wait to be confirmed, with their numbers in the file, and what became of each."""

    people: list[dict[str, object]]
    numbers: list[int]
    results: NotRequired[list[str]]


async def _keep(db: Database, box: SecretBox, request: Request, here: Here, lines: Sequence[FileLine]) -> str:
    """Keep the valid lines of a preview, encrypted, for this browser; return their token."""
    people = [line.person.model_dump() for line in lines if line.person is not None]
    async with db.write() as session:
        flow = await pending_flows.begin(
            session,
            box,
            "invite",
            own_cookies(request).browser,
            {"people": people, "numbers": [line.number for line in lines if line.person is not None]},
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
    previews = []
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
            previews.append(_preview_line(line, mistake, words))
    return previews


def _mistake(line: FileLine, words: Words) -> str:
    text = LINE_MISTAKES.get(line.mistake)
    return words(text) % {"line": line.field} if text is not None else refusal_text(line.mistake, words)


def _preview_line(line: FileLine, mistake: str, words: Words) -> PreviewLine:
    values = line.values
    roles = line.person.roles if line.person is not None else []
    named = ", ".join(words(ROLE_NAMES[role]) for role in roles) or values.get("roles", "")
    field = line.field if line.field in COLUMNS else ""
    return PreviewLine(line.number, values.get("name", ""), values.get("email", ""), named, field, mistake)


@router.post(FILE + "/confirm")
async def confirm(
    request: Request, here: Invites, sent: ConfirmSent, accounts: AccountActor, db: Db, outbox: Outbox
) -> Response:
    """Invite the users of a preview, each in a transaction of its own, and go to the result. A preview is confirmed
    once; whoever confirms it again sees its result."""
    flow = await _stored_flow(db, accounts.box, request, here, sent.form.c)
    if flow is None:
        return failure(request, "expired_interaction", 400)
    if sent.mistakes:
        previews = await _judged(accounts, here, _lines_of(flow), locale_of(request))
        return _preview_page(request, here, previews, sent.form.c, sent.mistakes["note"], 400)
    async with db.write() as session:
        is_first = await pending_flows.count_attempt(session, flow, 1)
    if is_first:
        await _invite(accounts, here, flow, sent.form.note)
        outbox.nudge()
    return RedirectResponse(f"{FILE}/result?{urlencode({'c': flow.token})}", 303)


async def _invite(accounts: AccountActions, here: Here, flow: RunningFlow, reason: str) -> None:
    """Invite the users of a preview, and keep the result of each line: empty, or why nobody is invited."""
    results: list[str] = []
    flow.data["results"] = results
    lines = _lines_of(flow)
    for line in lines:
        mistake = ""
        if line.person is not None:
            try:
                await inviting.invite_user(
                    accounts, line.person, actor=here.as_actor, rights=here.rights, reason=reason
                )
            except (TooPowerful, UserError) as error:
                mistake = str(error)
        results.append(mistake)
        if len(results) % KEPT_AT_ONCE == 0 or len(results) == len(lines):
            async with accounts.db.write() as session:
                await pending_flows.keep(session, accounts.box, flow)


@router.get(FILE + "/result")
async def result_page(request: Request, here: Invites, accounts: AccountActor, db: Db) -> Response:
    """Show the result of a file, also after the connection was cut while the users were invited."""
    flow = await _stored_flow(db, accounts.box, request, here, request.query_params.get("c", ""))
    if flow is None or not flow.row.attempts:
        return failure(request, "expired_interaction", 400)
    words, lines = translations(locale_of(request)).gettext, _lines_of(flow)
    results = cast(StoredPeople, flow.data).get("results", [])
    rest = [line.person for line in lines[len(results) :] if line.person is not None]
    async with db.read() as session:
        invited = (await inviting.used_of(session, rest)).invited
    left = ["" if person.email in invited else NOT_SENT for person in rest]
    previews = [
        _preview_line(line, refusal_text(mistake, words) if mistake != NOT_SENT else words(NOT_SENT), words)
        for line, mistake in zip(lines, [*results, *left], strict=True)
    ]
    return _preview_page(request, here, previews, "", done=True)


async def _stored_flow(db: Database, box: SecretBox, request: Request, here: Here, token: str) -> RunningFlow | None:
    """Return what is kept of a file for this browser and this administrator."""
    async with db.read() as session:
        flow = await pending_flows.recall(session, box, "invite", token, own_cookies(request).browser)
    return flow if flow is not None and flow.user_id == here.visit.user.id else None


def _lines_of(flow: RunningFlow) -> list[FileLine]:
    """Return the valid lines of a file, with their numbers in the file."""
    lines = cast(StoredPeople, flow.data)
    people = [InvitedUser.model_validate(values) for values in lines["people"]]
    return [FileLine(number, _values(person), person) for number, person in zip(lines["numbers"], people, strict=True)]


def _values(person: InvitedUser) -> dict[str, str]:
    return {"name": person.name, "email": person.email, "roles": " ".join(person.roles)}
