"""Actions on selected rows of a list: a page that lists what will happen, and after the confirmation the result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts import bulk_actions
from sso.accounts.bulk_actions import MAX_SELECTED, Selected
from sso.accounts.refusal_texts import refusal_text
from sso.accounts.user_actions import ACTIONS
from sso.http.admin.selected_rows import SelectedApplications, end_sessions, plan_sessions, retry_deliveries
from sso.http.admin.selected_rows import plan_deliveries as plan_of_deliveries
from sso.http.common.errors import Interrupted
from sso.http.common.forms import form_pairs, read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Db, Outbox, Registration
from sso.http.common.typed_forms import one_line
from sso.http.console.access import ADMIN, Here, Needs, admin_page, own_form, to_sign_in_again, token_for
from sso.http.console.texts import NOTE_MISSING
from sso.platform.permissions import PERMISSIONS

router = new_router()

NOTHING_SELECTED = N_("Select at least one row.")
TOO_MANY = N_("Select at most %(maximum)s rows.")


@dataclass(frozen=True, slots=True)
class BulkText:
    """What the pages of an action say.

    Args:
        title: the heading, and the button that confirms it.
        text: what happens to each row.
        done: the heading of the result.
        harms: whether it takes something away.
    """

    title: str
    text: str
    done: str
    harms: bool = True


TEXTS: dict[str, dict[str, BulkText]] = {
    "people": {
        "disable": BulkText(
            N_("Disable accounts"),
            N_("The users cannot sign in. Their sessions end, and applications are notified."),
            N_("Accounts disabled"),
        ),
        "enable": BulkText(
            N_("Enable accounts"),
            N_("The users can sign in again."),
            N_("Accounts enabled"),
            harms=False,
        ),
        "new_password": BulkText(
            N_("Require new passwords"),
            N_("The current passwords stop working and sessions end. Each user chooses a new password with a code that "
            "is sent to a verified contact."),
            N_("New passwords required"),
        ),
        "end_sessions": BulkText(
            N_("End sessions of users"),
            N_("The users are signed out everywhere, and applications are notified."),
            N_("Sessions of users ended"),
        ),
    },
    "sessions": {
        "end": BulkText(
            N_("End sessions"),
            N_("Each session ends in every application, and the user is notified."),
            N_("Sessions ended"),
        ),
    },
    "applications": {
        "suspend": BulkText(
            N_("Suspend applications"),
            N_("Users cannot sign in with the applications. Their tokens and consents are revoked at once."),
            N_("Applications suspended"),
        ),
        "resume": BulkText(
            N_("Resume applications"),
            N_("Users can sign in with the applications again. Earlier tokens stay revoked."),
            N_("Applications resumed"),
            harms=False,
        ),
    },
    "deliveries": {
        "retry": BulkText(
            N_("Send deliveries again"),
            N_("Each delivery that failed or waits is sent now."),
            N_("Deliveries sent again"),
            harms=False,
        ),
    },
}  # fmt: skip
"""The actions on selected rows, by list and name."""

Planner = Callable[[str, Sequence[str]], Awaitable[list[Selected]]]
Worker = Callable[[str, Sequence[str], str], Awaitable[list[Selected]]]
SeesPeople = Annotated[Here, Depends(Needs("users:read"))]
EndsSessions = Annotated[Here, Depends(Needs("sessions:end"))]
ChangesApplications = Annotated[Here, Depends(Needs("clients:write"))]
Retries = Annotated[Here, Depends(Needs("deliveries:retry"))]


@router.post(ADMIN + "/people/selected")
async def selected_people(request: Request, here: SeesPeople, accounts: AccountActor, outbox: Outbox) -> Response:
    """Disable or enable accounts, require new passwords, or end the sessions of users."""

    async def plan(act: str, ids: Sequence[str]) -> list[Selected]:
        return await bulk_actions.plan_action(accounts, act, _ids(ids), actor=here.as_actor, rights=here.rights)

    async def work(act: str, ids: Sequence[str], reason: str) -> list[Selected]:
        return await bulk_actions.carry_out(
            accounts, act, _ids(ids), reason=reason, actor=here.as_actor, rights=here.rights
        )

    def permission(act: str) -> str:
        return ACTIONS[act][0]

    response = await _selected(request, here, "people", plan, work, permission)
    outbox.nudge()
    return response


@router.post(ADMIN + "/sessions/selected")
async def selected_sessions(request: Request, here: EndsSessions, accounts: AccountActor, outbox: Outbox) -> Response:
    """End sessions."""

    async def plan(_: str, ids: Sequence[str]) -> list[Selected]:
        return await plan_sessions(accounts, here, _ids(ids), locale_of(request))

    async def work(_: str, ids: Sequence[str], reason: str) -> list[Selected]:
        return await end_sessions(accounts, here, _ids(ids), reason, locale_of(request))

    response = await _selected(request, here, "sessions", plan, work)
    outbox.nudge()
    return response


@router.post(ADMIN + "/applications/selected")
async def selected_applications(
    request: Request, here: ChangesApplications, registered: Registration, db: Db
) -> Response:
    """Suspend or resume applications."""
    applications = SelectedApplications(db, registered.changes, here)
    response = await _selected(request, here, "applications", applications.plan, applications.carry_out)
    await registered.follow()
    return response


@router.post(ADMIN + "/deliveries/selected")
async def selected_deliveries(request: Request, here: Retries, db: Db, outbox: Outbox) -> Response:
    """Send deliveries again."""

    async def plan(_: str, ids: Sequence[str]) -> list[Selected]:
        return await plan_of_deliveries(db, _ids(ids), locale_of(request))

    async def work(_: str, ids: Sequence[str], reason: str) -> list[Selected]:
        return await retry_deliveries(db, here, _ids(ids), reason, locale_of(request))

    response = await _selected(request, here, "deliveries", plan, work)
    outbox.nudge()
    return response


def _ids(ids: Sequence[str]) -> list[UUID]:
    return [chosen for chosen in map(read_id, ids) if chosen is not None]


async def _selected(
    request: Request,
    here: Here,
    name: str,
    plan: Planner,
    work: Worker,
    permission: Callable[[str], str] = lambda _: "",
) -> Response:
    """Show what an action will do to the selected rows; after the confirmation, carry it out and show the result.

    Args:
        request: the form of the list, or of the page that confirms.
        here: the administrator.
        name: of the list.
        plan: tells what would happen.
        work: carries the action out.
        permission: returns the permission that an action needs besides that of the route; empty: none.
    """
    path = f"{ADMIN}/{name}"
    fields = await own_form(request, f"{name} selected")
    act = fields.get("act", "")
    text = TEXTS[name].get(act)
    if text is None:
        return failure(request, "not_found", 404)
    needed = permission(act)
    if needed and not here.may(needed):
        return failure(request, "no_permission", 403)
    if needed and PERMISSIONS[needed].dangerous and not here.recent:
        raise Interrupted(to_sign_in_again(request, path))
    ids = list(dict.fromkeys(value[:100] for key, value in await form_pairs(request) if key == "id"))
    note, sure = one_line(fields.get("note", "")), fields.get("sure") == "1"
    problem = NOTHING_SELECTED if not ids else TOO_MANY if len(ids) > MAX_SELECTED else ""
    if not problem and sure and not note:
        problem = NOTE_MISSING
    if problem or not sure:
        rows = await plan(act, ids[:MAX_SELECTED]) if ids else []
        return _page(request, here, name, act, rows, problem=problem, note=note, status=400 if problem else 200)
    results = await work(act, ids, note)
    status = 200 if any(not row.refusal for row in results) else 403 if any(map(_lacks_power, results)) else 409
    return _page(request, here, name, act, results, done=True, status=status)


def _lacks_power(row: Selected) -> bool:
    """Tell whether an action was refused because the account may do more than the administrator."""
    return "you need the permission" in row.refusal


def _page(
    request: Request,
    here: Here,
    name: str,
    act: str,
    rows: Sequence[Selected],
    *,
    problem: str = "",
    note: str = "",
    status: int = 200,
    done: bool = False,
) -> Response:
    words = translations(locale_of(request)).gettext
    row_texts = [(row, refusal_text(row.refusal, words) if row.refusal else "") for row in rows]
    return admin_page(
        request,
        here,
        name,
        "admin_selected.html",
        status,
        list_name=name,
        act=act,
        text=TEXTS[name][act],
        rows=row_texts,
        count=sum(1 for row in rows if not row.refusal),
        refused=sum(1 for row in rows if row.refusal),
        done=done,
        problem=problem,
        values={"maximum": MAX_SELECTED},
        note=note,
        path=f"{ADMIN}/{name}",
        links=name in ("people", "sessions", "applications"),
        csrf_token=token_for(request, f"{name} selected"),
    )
