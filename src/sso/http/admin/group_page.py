"""The page of one unit or group, for administrators: names, place in the tree, members and administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.group_files import day_text
from sso.accounts.groups import GroupRefused
from sso.accounts.refusal_texts import refusal_text
from sso.accounts.services import AccountActions
from sso.http.admin.csv_download import PART, Downloads, DownloadSent, Row, csv_response, download_of
from sso.http.admin.group_actions import (
    CHANGES,
    MEMBER_ACTS,
    GroupForm,
    GroupSent,
    act_on_group,
    act_on_members,
)
from sso.http.admin.groups import PAGE, SOURCES, Sees, Writes, clients_naming, invalid_field
from sso.http.admin.refused import NOT_REFUSED, RefusedAction
from sso.http.admin.unit_roles import unit_roles
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Db, Outbox
from sso.http.console.access import GROUPS, Here, admin_page, token_for
from sso.http.console.lookups import counted
from sso.http.console.roles import RoleFormRefused
from sso.http.console.texts import CANNOT
from sso.http.console.units import Units
from sso.identity.groups import members, tree
from sso.identity.groups.members import ListedMember, MemberFilter
from sso.identity.groups.models import Group
from sso.identity.groups.tree import GroupFilter
from sso.identity.users.service import UserError
from sso.platform.db import Database

router = new_router()

BELOW = 100
"""How many units below a unit its page shows."""
TIMES = {
    "current": N_("current"),
    "planned": N_("not begun"),
    "ended": N_("ended"),
    "all": N_("all"),
}
DONE = {
    "create": N_("Created."),
    "names": N_("The names were saved."),
    "code": N_("The code was changed."),
    "move": N_("The unit was moved."),
    "close": N_("Closed."),
    "reopen": N_("Opened again."),
    "administrators": N_("The administrators were changed."),
    "add": N_("The member was added."),
    "end": N_("The memberships were ended."),
}
"""What a page says after an action."""
COLUMNS = ("user_id", "name", "unit", "position", "from", "until", "source")

Manages = Annotated[Here, Depends(Units("groups:write"))]
Exports = Annotated[Here, Depends(Downloads("groups:read"))]


def member_filter(request: Request) -> tuple[MemberFilter, dict[str, str]]:
    """Return which members a page lists, and the filters in effect as parameters of the address."""
    query = request.query_params
    status: members.Status = next((known for known in members.STATUSES if known == query.get("time")), "current")
    words, below = query.get("q", "").strip()[:200], query.get("below") == "1"
    filters = {"q": words, "time": status if status != "current" else "", "below": "1" if below else ""}
    return MemberFilter(below, words, status), {name: value for name, value in filters.items() if value}


@router.get(GROUPS + "/{group_id}")
async def group_page(request: Request, group_id: str, here: Sees, accounts: AccountActor) -> Response:
    """Show a unit or group."""
    return await _group_page(request, accounts, group_id, here)


async def _group_page(
    request: Request,
    accounts: AccountActions,
    group_id: str,
    here: Here,
    status: int = 200,
    refused: RefusedAction = NOT_REFUSED,
) -> Response:
    chosen, now, zone, read = read_id(group_id), clock.now(), accounts.settings.time_zone, None
    filter_, filters = member_filter(request)
    after = read_id(request.query_params.get("after", ""))
    if chosen is not None:
        read = await _read(accounts.db, chosen, filter_, after)
    if chosen is None or read is None:
        return failure(request, "not_found", 404, header=here.visit.header(request))
    group, way, below, administrators, rows = read
    async with accounts.db.read() as session:
        shown_roles = await unit_roles(session, accounts, here, group, locale_of(request))
    following = {**filters, "after": str(rows[PAGE - 1].membership.id)} if len(rows) > PAGE else {}
    path = f"{GROUPS}/{chosen}"
    return admin_page(
        request,
        here,
        "groups",
        "admin_group.html",
        status,
        group=group,
        way=_visible(way, here),
        below=below,
        below_max=BELOW,
        named_by=clients_naming(accounts.registry, group.code),
        administrators=administrators,
        unit_role_views=shown_roles,
        members=rows[:PAGE],
        states=[members.status_of(row.membership, now) for row in rows[:PAGE]],
        member_filter=filter_,
        filters=filters,
        following=f"{path}?{urlencode(following)}" if following else "",
        is_open=group.valid_until is None or group.valid_until > now,
        first_day=day_text(group.valid_from, zone),
        may_write=here.may("groups:write"),
        may_manage=here.may("groups:write") or bool(here.units),
        times=TIMES,
        sources=SOURCES,
        done=DONE.get(request.query_params.get("done", ""), ""),
        **refused.context,
        download=download_of(request, here, path, filters) if here.may("groups:read") else None,
        csrf_token=token_for(request, f"group {chosen}"),
    )


async def _read(
    db: Database, group_id: UUID, filter_: MemberFilter, after: UUID | None
) -> tuple[Group, list[Group], list[tree.ListedGroup], list[tree.ListedAdministrator], list[ListedMember]] | None:
    """Return what the page shows of a unit or group. Seven statements."""
    now = clock.now()
    async with db.read() as session:
        group = await tree.get(session, group_id)
        if group is None:
            return None
        way = (await tree.way_to(session, [group_id]))[group_id]
        directly = GroupFilter(parent_id=group_id, status="all")
        below = await tree.page_of_groups(session, directly, None, BELOW + 1, now)
        listed = await tree.counted(session, below[:BELOW], now)
        administrators = await tree.administrators_of(session, group_id)
        rows = await members.page_of_members(session, group_id, filter_, after, PAGE + 1, now)
    return group, way, listed, administrators, rows


def _visible(way: Sequence[Group], here: Here) -> list[tuple[Group, bool]]:
    """Return the units above a unit and the unit itself, each with whether the user may open its page."""
    opens, result = here.units_seen is None, []
    for group in way:
        opens = opens or group.id in here.units
        result.append((group, opens))
    return result


@router.post(GROUPS + "/{group_id}/change")
async def change(
    request: Request, group_id: str, here: Writes, sent: GroupSent, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Change, move, close, open, or delete a unit or group, or set its administrators."""
    return await _act(request, group_id, here, sent, accounts, outbox, CHANGES)


@router.post(GROUPS + "/{group_id}/members")
async def change_members(
    request: Request, group_id: str, here: Manages, sent: GroupSent, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Add a member, or end memberships."""
    return await _act(request, group_id, here, sent, accounts, outbox, MEMBER_ACTS)


async def _act(
    request: Request,
    group_id: str,
    here: Here,
    sent: GroupSent,
    accounts: AccountActor,
    outbox: Outbox,
    allowed: Mapping[str, str],
) -> Response:
    act, chosen = sent.form.act, read_id(group_id)
    if chosen is None or act not in allowed:
        return failure(request, "not_found", 404, header=here.visit.header(request))
    try:
        if sent.mistakes:
            raise GroupRefused(sent.mistakes["note"], "note")
        perform = act_on_members if allowed is MEMBER_ACTS else act_on_group
        async with counted(request, here, sent.form.user if act == "add" else "", "groups:write"):
            target = await perform(accounts, chosen, sent, here.as_actor)
    except RoleFormRefused as error:
        refused = RefusedAction(act, sent.typed, error.error.text, f"{act}-user")
        return await _group_page(request, accounts, group_id, here, error.status, refused)
    except (GroupRefused, UserError, ValidationError) as error:
        refused, status = _refusal(request, act, sent.typed, error)
        return await _group_page(request, accounts, group_id, here, status, refused)
    outbox.nudge()
    return RedirectResponse(f"{GROUPS}/{target}?done={allowed[act]}" if target else GROUPS, 303)


def _refusal(
    request: Request, act: str, typed: Mapping[str, str], error: GroupRefused | UserError | ValidationError
) -> tuple[RefusedAction, int]:
    """Return what the page shows of a refusal, and its status."""
    if isinstance(error, ValidationError):
        invalid = invalid_field(request, error)
        name = f"{act}-{invalid.field}" if invalid.field in GroupForm.model_fields else f"act-{act}"
        return RefusedAction(act, typed, invalid.text, name, {k: str(v) for k, v in invalid.values.items()}), 400
    if isinstance(error, GroupRefused):
        field_name = {"parent_id": "parent", "user": "user"}.get(error.field, error.field)
        name = f"{act}-{field_name}" if field_name in GroupForm.model_fields else f"act-{act}"
        named = {key: str(value) for key, value in error.named.items()}
        return RefusedAction(act, typed, error.text, name, named), 400 if error.field == "note" else error.status
    detail = refusal_text(str(error), translations(locale_of(request)).gettext)
    return RefusedAction(act, typed, CANNOT, f"act-{act}", {"detail": detail}), error.status


@router.post(GROUPS + "/{group_id}/download")
async def download(request: Request, group_id: str, here: Exports, sent: DownloadSent, db: Db) -> Response:
    """Download the members that the page lists."""
    chosen = read_id(group_id)
    async with db.read() as session:
        group = await tree.get(session, chosen) if chosen is not None else None
    if group is None:
        return failure(request, "not_found", 404, header=here.visit.header(request))
    filter_, filters = member_filter(request)
    rows = _csv_rows(db, group.id, filter_)
    about = [f"unit {group.code}", *filters]
    return await csv_response(
        request, db, here, "members", COLUMNS, rows, about, sent, page=("groups", f"{GROUPS}/{group.id}")
    )


async def _csv_rows(db: Database, group_id: UUID, filter_: MemberFilter) -> AsyncIterator[Sequence[Row]]:
    after: UUID | None = None
    while True:
        async with db.read() as session:
            page = await members.page_of_members(session, group_id, filter_, after, PART, clock.now())
        yield [
            (
                row.membership.user_id,
                row.name,
                row.group.code,
                row.membership.position,
                row.membership.valid_from,
                row.membership.valid_until,
                row.membership.source,
            )
            for row in page
        ]
        if len(page) < PART:
            return
        after = page[-1].membership.id
