"""Pages of administrators who import employees from a file: the file, a preview of each line, and the result.

For an hour the file is kept encrypted for this browser and this administrator. Large files are for the command line.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.employee_import import (
    IS_OVER,
    WITHDRAWN,
    ImportRequest,
    LineResult,
    Outcome,
    TooManyEnd,
    import_employees,
)
from sso.accounts.services import AccountActions
from sso.errors import Refusal
from sso.http.admin.refusal_texts import refusal_text
from sso.http.common.cookies import read_cookie
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
from sso.identity.employees.rows import EmployeeFile, check_columns
from sso.identity.users.nip import printed_nip

router = new_router()

FILE = ADMIN + "/employees"
FLOW_SECONDS = 3600
MAX_BYTES = 256 * 1024
MAX_ROWS = 1000
ALSO_NEEDED = ("groups:write", "users:check_identity")
NO_FILE = N_("Choose a file.")
TOO_LARGE = N_("The file is too large for this page. Import it with the command sso employees import.")
NOT_READ = N_("The file cannot be read. %(detail)s")
NOT_IMPORTED = N_("Nothing was imported. %(detail)s")
TOO_MANY_END = N_("More than 5 percent of the employments would end. Check that the file is complete, then confirm it.")
RESULTS = {
    "made": N_("new account"),
    "linked": N_("linked to an account"),
    "proposed": N_("waits for a decision"),
    "changed": N_("changed"),
    "unchanged": N_("unchanged"),
    "rejected": N_("rejected"),
}
LINE_TEXTS = {
    WITHDRAWN: N_("The employment is over. The proposal was withdrawn."),
    IS_OVER: N_("The employment is over. Nothing was changed."),
    "waits for a decision": N_("Proposed before. Decide under Imports."),
    "an account may belong to this employee": N_("An account may belong to this employee. Decide under Imports."),
    "somebody decided about this row before": N_("Somebody decided about this row before."),
}
Imports = Annotated[Here, Depends(Needs("users:write"))]


class ConfirmForm(FormModel):
    """The confirmation of a preview."""

    c: Annotated[str, cut(200)] = ""
    note: Annotated[Note, required(NOTE_MISSING)] = ""
    complete: Ticked = False
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
    if not has_valid_csrf_token(request, fields, "employee file", read_cookie(request, "session")):
        return failure(request, "stale_form", 400, fields=fields)
    if not _may(here):
        return failure(request, "no_permission", 403)
    if not body or len(body) > MAX_BYTES or body.count(b"\n") > MAX_ROWS:
        return _file_page(request, here, NO_FILE if not body else TOO_LARGE, status=400)
    verified = sorted(name for name in ("nik", "email", "phone") if fields.get(f"verified {name}") == "1")
    try:
        outcome, lines = await _run(accounts, here, body, verified, "preview", dry_run=True)
    except Refusal as error:
        return _file_page(
            request, here, NOT_READ, refusal_text(str(error), translations(locale_of(request)).gettext), 400
        )
    data: dict[str, object] = {"file": base64.b64encode(body).decode(), "verified": verified}
    async with accounts.db.write() as session:
        flow = await pending_flows.begin(
            session,
            accounts.box,
            "employees",
            read_cookie(request, "browser"),
            data,
            user_id=here.visit.user.id,
            seconds=FLOW_SECONDS,
        )
    return _preview_page(request, here, outcome, lines, flow.token)


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
    lines: list[LineResult] = []
    with _written(body) as path:
        file = EmployeeFile(path, verified=frozenset(verified), time_zone=accounts.settings.time_zone)
        checked, _ = check_columns(file)
        import_request = ImportRequest(checked, reason, here.as_actor, complete, confirmed=confirmed, dry_run=dry_run)
        outcome = await import_employees(accounts, import_request, report=lines.append)
    return outcome, lines


@contextmanager
def _written(body: bytes) -> Iterator[Path]:
    """Yield a file with these bytes, which only this process can read, and delete it."""
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(body)
        file.flush()
        yield Path(file.name)


def _preview_page(
    request: Request,
    here: Here,
    outcome: Outcome,
    lines: Sequence[LineResult],
    token: str,
    problem: str = "",
    status: int = 200,
    detail: str = "",
) -> Response:
    """Return the page with the result of each line; without ``token``, they were imported."""
    words = translations(locale_of(request)).gettext
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
    flow = await _kept(accounts, request, here, sent.form.c)
    if flow is None or not _may(here):
        return failure(request, "expired_interaction", 400)
    body, verified, form = base64.b64decode(flow.data["file"]), flow.data["verified"], sent.form
    problem, detail = sent.mistakes.get("note", ""), ""
    if not problem:
        try:
            outcome, lines = await _run(
                accounts, here, body, verified, form.note, complete=form.complete, confirmed=form.sure
            )
        except TooManyEnd:
            problem = TOO_MANY_END
        except Refusal as error:
            problem, detail = NOT_IMPORTED, str(error)
        else:
            outbox.nudge()
            return _preview_page(request, here, outcome, lines, "")
    outcome, lines = await _run(accounts, here, body, verified, "preview", dry_run=True)
    return _preview_page(request, here, outcome, lines, form.c, problem, 400, detail)


async def _kept(accounts: AccountActions, request: Request, here: Here, token: str) -> RunningFlow | None:
    """Return what is kept of a file for this browser and this administrator."""
    async with accounts.db.read() as session:
        flow = await pending_flows.recall(session, accounts.box, "employees", token, read_cookie(request, "browser"))
    return flow if flow is not None and flow.user_id == here.visit.user.id else None
