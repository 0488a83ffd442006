"""Pages of administrators who import units from a CSV file: the file, a preview of each change, and the confirmation.

For an hour the file is kept encrypted for this browser and this administrator. The confirmation compares it once more
with what is there, and applies it whole or not at all.
"""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.group_files import (
    MAX_BYTES,
    MAX_UNITS,
    Entry,
    Mistake,
    UnitFileRefused,
    UnitPlan,
    apply_plan,
    make_plan,
    read_units_csv,
)
from sso.accounts.groups import NO_REASON, GroupRefused
from sso.accounts.refusal_texts import Words, refusal_text
from sso.accounts.services import AccountActions
from sso.errors import Refusal
from sso.http.admin.groups import Writes
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import has_valid_csrf_token
from sso.http.common.forms import upload
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Db, Outbox
from sso.http.common.typed_forms import FormModel, Note, Sent, cut, required
from sso.http.console.access import GROUPS, Here, OwnForm, admin_page, token_for
from sso.identity.authn import pending_flows
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.groups import tree

router = new_router()

FILE = GROUPS + "/import"
PURPOSE = "unit file"
FLOW_SECONDS = 3600
SHOWN = 200
"""How many changes or errors of a file a page shows."""
COLUMN_TEXTS = {
    "code": N_("Code"),
    "name_id": N_("Name in Indonesian"),
    "name_en": N_("Name in English"),
    "parent_code": N_("Code of the parent unit"),
    "valid_from": N_("First day"),
    "valid_until": N_("Last day"),
}
TOO_LARGE = N_("The file is too large. It may have at most 3 MB.")
NO_FILE = N_("Choose a file.")
NOT_TEXT = N_("The file is an Excel workbook or another binary file. Save it as “CSV UTF-8”.")
NOT_UTF8 = N_("The file is not UTF-8 text. Save it as “CSV UTF-8”.")
NOT_CSV = N_("The file is not a CSV file. The first line names the columns.")
ACTIONS = {"create": N_("new"), "update": N_("changed"), "move": N_("moved")}


class ConfirmForm(FormModel):
    """The confirmation of a preview."""

    c: Annotated[str, cut(200)] = ""
    note: Annotated[Note, required(NO_REASON)] = ""


ConfirmSent = Annotated[Sent[ConfirmForm], Depends(OwnForm(ConfirmForm, PURPOSE))]


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A file as it was read."""

    name: str
    entries: list[Entry]
    mistakes: list[Mistake]


class _Unreadable(Exception):
    """The file cannot be read at all. ``text``: why."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.text, self.detail = text, detail


@router.get(FILE)
async def file_page(request: Request, here: Writes) -> Response:
    """Ask for the file."""
    return _file_page(request, here)


def _file_page(request: Request, here: Here, problem: str = "", detail: str = "", status: int = 200) -> Response:
    return admin_page(
        request,
        here,
        "groups",
        "admin_group_file.html",
        status,
        problem=problem,
        field="file" if problem else "",
        values={"detail": detail},
        maximum=MAX_UNITS,
        csrf_token=token_for(request, PURPOSE),
    )


@router.post(FILE)
async def preview(request: Request, here: Writes, accounts: AccountActor) -> Response:
    """Read the file, and show what would change. Nothing is changed."""
    fields, body = await upload(request, "file")
    if not has_valid_csrf_token(request, fields, PURPOSE, own_cookies(request).session_token):
        return failure(request, "stale_form", 400, fields=fields)
    try:
        file = await run_in_threadpool(_read, body, accounts.settings.time_zone)
    except _Unreadable as error:
        return _file_page(request, here, error.text, error.detail, 400)
    async with accounts.db.read() as session:
        plan = await make_plan(session, file.entries, file.mistakes)
    token = ""
    if plan.changes:
        async with accounts.db.write() as session:
            flow = await pending_flows.begin(
                session,
                accounts.box,
                "units",
                own_cookies(request).browser,
                {"file": base64.b64encode(body).decode()},
                user_id=here.visit.user.id,
                seconds=FLOW_SECONDS,
            )
        token = flow.token
    return _preview_page(request, here, plan, token, status=400 if plan.mistakes else 200)


def _read(body: bytes, zone: str) -> UnitFile:
    """Return the units of a file.

    Raises:
        _Unreadable: when there is none, or it cannot be read.
    """
    if not body:
        raise _Unreadable(NO_FILE)
    if len(body) > MAX_BYTES:
        raise _Unreadable(TOO_LARGE)
    with tempfile.NamedTemporaryFile() as copy:
        copy.write(body)
        copy.flush()
        try:
            entries, mistakes = read_units_csv(Path(copy.name), zone)
        except UnitFileRefused as error:
            raise _Unreadable(error.text, error.detail) from None
        except Refusal:
            raise _Unreadable(_why(body)) from None
    return UnitFile("", entries, mistakes)


def _why(body: bytes) -> str:
    """Return why a file is no CSV file."""
    if b"\0" in body[:4096] or body.startswith(b"PK\x03\x04"):
        return NOT_TEXT
    try:
        body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return NOT_UTF8
    return NOT_CSV


def _preview_page(
    request: Request, here: Here, plan: UnitPlan, token: str, problem: str = "", status: int = 200
) -> Response:
    words = translations(locale_of(request)).gettext
    return admin_page(
        request,
        here,
        "groups",
        "admin_group_preview.html",
        status,
        changes=plan.changes[:SHOWN],
        mistakes=[_translated_mistake(mistake, words) for mistake in plan.mistakes[:SHOWN]],
        more=max(len(plan.changes), len(plan.mistakes)) - SHOWN,
        counts=plan.counted(),
        actions=ACTIONS,
        columns=COLUMN_TEXTS,
        c=token,
        problem=problem,
        csrf_token=token_for(request, PURPOSE),
    )


def _translated_mistake(mistake: Mistake, words: Words) -> Mistake:
    """Return an error with its detail in the language of the page."""
    if "detail" not in mistake.named:
        return mistake
    detail = refusal_text(str(mistake.named["detail"]), words)
    return Mistake(mistake.line, mistake.column, mistake.text, {**mistake.named, "detail": detail})


@router.post(FILE + "/confirm")
async def confirm(
    request: Request, here: Writes, sent: ConfirmSent, accounts: AccountActor, db: Db, outbox: Outbox
) -> Response:
    """Apply a file whose preview was shown, as it fits what is there now."""
    async with db.read() as session:
        flow = await pending_flows.recall(session, accounts.box, "units", sent.form.c, own_cookies(request).browser)
    if flow is None or flow.user_id != here.visit.user.id:
        return failure(request, "expired_interaction", 400, header=here.visit.header(request))
    file = await run_in_threadpool(_read, base64.b64decode(str(flow.data["file"])), accounts.settings.time_zone)
    problem = sent.mistakes.get("note", "")
    try:
        plan = await _apply(accounts, here, file, flow, sent.form.note, dry=bool(problem))
    except GroupRefused as error:
        return _file_page(request, here, error.text, str(error.named.get("count", "")), error.status)
    if problem or plan.mistakes:
        return _preview_page(request, here, plan, sent.form.c, problem, 400)
    outbox.nudge()
    return RedirectResponse(f"{GROUPS}?done=import", 303)


async def _apply(
    accounts: AccountActions, here: Here, file: UnitFile, flow: RunningFlow, reason: str, *, dry: bool
) -> UnitPlan:
    async with accounts.db.write() as session:
        await tree.lock_tree(session)
        plan = await make_plan(session, file.entries, file.mistakes)
        if not dry and not plan.mistakes and plan.changes:
            await apply_plan(session, accounts, plan, name="csv", actor=here.as_actor, reason=reason)
            await pending_flows.finish(session, flow)
    return plan
