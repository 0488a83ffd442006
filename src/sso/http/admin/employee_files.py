"""Pages of administrators who import employees from a file: the file, a preview of each line, and the result.

For an hour the file is kept encrypted for this browser and this administrator. Large files are for the command line.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, TypedDict, cast

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.employee_import import (
    HAS_ENDED,
    WITHDRAWN,
    EmployeeBytes,
    LineResult,
    Outcome,
    TooManyEnd,
    import_bytes,
)
from sso.accounts.refusal_texts import refusal_text
from sso.accounts.services import AccountActions
from sso.errors import Refusal
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import has_valid_csrf_token
from sso.http.common.forms import upload
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, Ticked, cut, required
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.texts import NOTE_MISSING
from sso.identity.authn import pending_flows
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.employees.rules import MAX_FILE_BYTES
from sso.identity.employees.store import open_of_users
from sso.identity.users import store as users
from sso.identity.users.nip import printed_nip

router = new_router()

FILE = ADMIN + "/employees"
FLOW_SECONDS = 3600
MAX_ROWS = 1000
ALSO_NEEDED = ("groups:write", "users:check_identity")
NO_FILE = N_("Choose a file.")
TOO_LARGE = N_("The file is too large for this page. Import it with the command sso employees import.")
NOT_READ = N_("The file cannot be read. %(detail)s")
NOT_IMPORTED = N_("Nothing was imported. %(detail)s")
TOO_MANY_END = N_("More than 5 percent of the employments would end. Check that the file is complete, then confirm it.")
OTHERS_END = N_("Since the preview, the employments that end have changed. Check the new preview, then confirm it.")
NAMED = 1000
"""How many users whose employment ends the preview names."""
RESULTS = {
    "created": N_("new account"),
    "linked": N_("linked to an account"),
    "proposed": N_("waits for a decision"),
    "changed": N_("changed"),
    "unchanged": N_("unchanged"),
    "rejected": N_("rejected"),
}
LINE_TEXTS = {
    WITHDRAWN: N_("The employment is over. The proposal was withdrawn."),
    HAS_ENDED: N_("The employment is over. Nothing was changed."),
    "waits for a decision": N_("Proposed before. Decide under Imports."),
    "an account may belong to this employee": N_("An account may belong to this employee. Decide under Imports."),
    "somebody decided about this row before": N_("Somebody decided about this row before."),
}
Imports = Annotated[Here, Depends(Needs("users:write"))]


class ConfirmForm(FormModel):
    """The confirmation of a preview."""

    c: Annotated[str, cut(200)] = ""
    note: Annotated[Note, required(NOTE_MISSING)] = ""
    sure: Ticked = False


ConfirmSent = Annotated[Sent[ConfirmForm], Depends(OwnForm(ConfirmForm, "employee file"))]


def _may(here: Here) -> bool:
    return all(here.may(name) for name in ALSO_NEEDED)


@router.get(FILE)
async def file_page(request: Request, here: Imports) -> Response:
    """Ask for the file."""
    return _file_page(request, here) if _may(here) else failure(request, "no_permission", 403)


def _file_page(request: Request, here: Here, problem: str = "", detail: str = "", status: int = 200) -> Response:
    token = token_for(request, "employee file")
    values = {"detail": detail}
    return admin_page(
        request, here, "people", "admin_employee_file.html", status, problem=problem, values=values, csrf_token=token
    )


@router.post(FILE)
async def preview(request: Request, here: Imports, accounts: AccountActor) -> Response:
    """Read the file, and show what would happen with each line. Nothing is changed."""
    fields, body = await upload(request, "file")
    if not has_valid_csrf_token(request, fields, "employee file", own_cookies(request).session_token):
        return failure(request, "stale_form", 400, fields=fields)
    if not _may(here):
        return failure(request, "no_permission", 403)
    if not body or len(body) > MAX_FILE_BYTES or body.count(b"\n") > MAX_ROWS:
        return _file_page(request, here, NO_FILE if not body else TOO_LARGE, status=400)
    verified = sorted(name for name in ("nik", "email", "phone") if fields.get(f"verified {name}") == "1")
    complete = fields.get("complete") == "1"
    try:
        outcome, lines = await _run(accounts, here, body, verified, "preview", complete=complete, dry_run=True)
    except Refusal as error:
        return _file_page(
            request, here, NOT_READ, refusal_text(str(error), translations(locale_of(request)).gettext), 400
        )
    token = await _keep(accounts, request, here, body, verified, outcome, complete=complete)
    return await _preview_page(request, here, accounts, outcome, lines, token)


class StoredFile(TypedDict):
    """A file that waits to be confirmed: in base64; ``ends`` is a digest of the employments that its preview ends."""

    file: str
    verified: list[str]
    complete: bool
    ends: str


async def _keep(
    accounts: AccountActions,
    request: Request,
    here: Here,
    body: bytes,
    verified: Sequence[str],
    outcome: Outcome,
    *,
    complete: bool,
) -> str:
    """Keep a file with the employments that its preview ends; return the token of the preview."""
    data: dict[str, object] = {"file": base64.b64encode(body).decode(), "verified": verified}
    data |= {"complete": complete, "ends": _digest(outcome)}
    async with accounts.db.write() as session:
        flow = await pending_flows.begin(
            session,
            accounts.box,
            "employees",
            own_cookies(request).browser,
            data,
            user_id=here.visit.user.id,
            seconds=FLOW_SECONDS,
        )
    return flow.token


def _digest(outcome: Outcome) -> str:
    """Return what tells whether the same employments end."""
    return sha256(b"".join(sorted(user_id.bytes for user_id in outcome.missing))).hexdigest()


async def _run(
    accounts: AccountActions,
    here: Here,
    body: bytes,
    verified: Sequence[str],
    reason: str,
    *,
    complete: bool = False,
    confirmed: bool = False,
    dry_run: bool = False,
) -> tuple[Outcome, list[LineResult]]:
    given = EmployeeBytes(body, "auto", frozenset(verified))
    return await import_bytes(
        accounts,
        given,
        reason=reason,
        actor=here.as_actor,
        complete=complete,
        confirmed=confirmed,
        dry_run=dry_run,
    )


async def _preview_page(
    request: Request,
    here: Here,
    accounts: AccountActions,
    outcome: Outcome,
    lines: Sequence[LineResult],
    token: str,
    problem: str = "",
    status: int = 200,
    detail: str = "",
) -> Response:
    """Return the page with the result of each line; without ``token``, they were imported."""
    words = translations(locale_of(request)).gettext
    async with accounts.db.read() as session:
        leaving = await users.users_with_ids(session, outcome.missing[:NAMED])
        employments = await open_of_users(session, list(leaving))
    line_texts = [
        (line, words(LINE_TEXTS[line.text]) if line.text in LINE_TEXTS else refusal_text(line.text, words))
        for line in lines
        if line.result != "unchanged" or line.text
    ]
    return admin_page(
        request,
        here,
        "people",
        "admin_employee_preview.html",
        status,
        outcome=outcome,
        lines=line_texts,
        leaving=sorted(leaving.values(), key=lambda user: (user.name or "").casefold()),
        nips={user_id: employment.nip for user_id, employment in employments.items()},
        too_many=outcome.ends_too_many(),
        results=RESULTS,
        printed_nip=printed_nip,
        c=token,
        problem=problem,
        values={"detail": detail},
        csrf_token=token_for(request, "employee file"),
    )


@router.post(FILE + "/confirm")
async def confirm(
    request: Request, here: Imports, sent: ConfirmSent, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Import the file of a preview. Importing it again changes nothing more."""
    flow = await _stored_flow(accounts, request, here, sent.form.c)
    if flow is None or not _may(here):
        return failure(request, "expired_interaction", 400)
    file = cast(StoredFile, flow.data)
    body, verified, complete = base64.b64decode(file["file"]), file["verified"], file["complete"]
    problem, detail = sent.mistakes.get("note", ""), ""
    try:
        outcome, lines = await _run(accounts, here, body, verified, "preview", complete=complete, dry_run=True)
        if not problem and _digest(outcome) != file["ends"]:
            problem = OTHERS_END
        if not problem:
            reason, sure = sent.form.note, sent.form.sure
            outcome, lines = await _run(accounts, here, body, verified, reason, complete=complete, confirmed=sure)
            outbox.nudge()
            return await _preview_page(request, here, accounts, outcome, lines, "")
    except TooManyEnd:
        problem = TOO_MANY_END
    except Refusal as error:
        detail = refusal_text(str(error), translations(locale_of(request)).gettext)
        return _file_page(request, here, NOT_IMPORTED, detail, 400)
    token = sent.form.c
    if problem == OTHERS_END:
        token = await _keep(accounts, request, here, body, verified, outcome, complete=complete)
    return await _preview_page(request, here, accounts, outcome, lines, token, problem, 400, detail)


async def _stored_flow(accounts: AccountActions, request: Request, here: Here, token: str) -> RunningFlow | None:
    """Return what is kept of a file for this browser and this administrator."""
    async with accounts.db.read() as session:
        flow = await pending_flows.recall(session, accounts.box, "employees", token, own_cookies(request).browser)
    return flow if flow is not None and flow.user_id == here.visit.user.id else None
