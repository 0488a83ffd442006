"""The roles of a unit or group: those given to the unit, and giving the roles that its administrators may give.

The page of a unit includes ``unit_roles.html`` with :func:`unit_roles`. Administrators of a unit need no permission of
the provider: each route checks that they look after the unit.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.role_assignments import (
    GIVES,
    READS,
    RoleError,
    Sight,
    end_role,
    give_roles,
    giver_of,
    seen_by,
    sight_of,
)
from sso.accounts.services import AccountActions
from sso.clients.registry import Client, Registry
from sso.http.admin.csv_download import PART, Downloads, DownloadSent, Row, csv_response, download_of
from sso.http.common.errors import Interrupted
from sso.http.common.field_errors import FieldError
from sso.http.common.forms import read_id
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Accounts, Outbox
from sso.http.common.typed_forms import Sent, cut
from sso.http.common.user_roles import name_of_group
from sso.http.console import roles
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, here_of, to_sign_in_again, token_for
from sso.http.console.lookups import counted
from sso.http.console.role_texts import DONE
from sso.http.console.texts import NOTE_MISSING
from sso.identity.groups import assignments as store
from sso.identity.groups import tree
from sso.identity.groups.assignments import AssignmentFilter, Listed
from sso.identity.groups.models import Group

router = new_router()

UNIT_ROLES = ADMIN + "/unit-roles"
SHOWN = 50
"""How many roles of a unit a page shows."""


class NeedsOrLooksAfter(Needs):
    """That somebody has a permission, or looks after a unit: which one is checked where the unit is read."""

    async def __call__(self, request: Request, services: Accounts) -> Here:
        here = await here_of(request, services)
        if not self.allows(here.permissions):
            async with services.db.read() as session:
                looks_after = await tree.administered_by(session, here.visit.user.id)
            if not looks_after:
                raise Interrupted(failure(request, "no_permission", 403, header=here.visit.header(request)))
        if request.method != "GET" and not here.recent:
            raise Interrupted(to_sign_in_again(request))
        return here


Sees = Annotated[Here, Depends(NeedsOrLooksAfter(READS))]
Gives = Annotated[Here, Depends(NeedsOrLooksAfter(GIVES))]
Takes = Annotated[Here, Depends(Downloads(READS))]
COLUMNS = (
    "application", "role", "user", "user_id", "group", "with_units_below", "unit", "from", "until", "given_by",
    "reason",
)  # fmt: skip


class UnitRoleForm(roles.RoleForm):
    """A role of a unit: the application and the role, or the role that ends."""

    application: Annotated[str, cut(100)] = ""


UnitSent = Annotated[Sent[UnitRoleForm], Depends(OwnForm(UnitRoleForm, "unit roles {group_id}"))]


@dataclass(frozen=True, slots=True)
class UnitRoles:
    """What the page of a unit shows of roles.

    Args:
        group: the unit or group.
        rows: the roles that were given to it, or to its members for this unit only, of the applications that the user
            sees.
        clients: the applications by client_id, for their names and titles.
        givable: (value, text) of the roles that the user may give here; the value is ``client_id role``.
        may_see: whether the user sees the roles at all.
        following: the last role of this part of the list; None: there are no older ones.
    """

    group: Group
    rows: list[Listed]
    clients: dict[str, Client]
    givable: list[tuple[str, str]]
    may_see: bool
    following: uuid.UUID | None = None


async def unit_roles(
    session: AsyncSession,
    accounts: AccountActions,
    here: Here,
    group: Group,
    locale: str,
    before: uuid.UUID | None = None,
) -> UnitRoles:
    """Return the roles of a unit as its page shows them, to this user. ``before``: those older than this one."""
    sight = await sight_of(session, here.as_actor, here.visit.user.id)
    looks_after = bool(sight.units & await store.above(session, group.id))
    if not (sight.everything or looks_after):
        return UnitRoles(group, [], {}, [], may_see=False)
    chosen = await _filter_of(session, accounts, sight, group)
    page = await store.page_of(session, chosen, before, clock.now(), SHOWN + 1)
    rows = page[:SHOWN]
    clients = {row.assignment.client_id: accounts.registry.get(row.assignment.client_id) for row in rows}
    return UnitRoles(
        group,
        [row for row in rows if clients[row.assignment.client_id] is not None],
        {client_id: client for client_id, client in clients.items() if client is not None},
        _givable(accounts.registry, gives_all=here.may(GIVES), looks_after=looks_after, locale=locale),
        may_see=True,
        following=rows[-1].assignment.id if len(page) > SHOWN else None,
    )


async def _filter_of(session: AsyncSession, accounts: AccountActions, sight: Sight, group: Group) -> AssignmentFilter:
    """Return the filter of the roles of a unit that somebody sees."""
    chosen = await seen_by(session, accounts, sight, AssignmentFilter(group_id=group.id))
    return replace(chosen, group_id=None, at_unit=group.id)


def _givable(registry: Registry, *, gives_all: bool, looks_after: bool, locale: str) -> list[tuple[str, str]]:
    return [
        (f"{client.client_id} {name}", f"{client.name(locale)}: {role.title_in(locale)} ({name})")
        for client in sorted(registry.with_access(), key=lambda client: client.meta.client_name.casefold())
        if not client.sandbox
        for name, role in client.meta.application_roles.items()
        if gives_all or (looks_after and role.units_give != "no")
    ]


@router.get(UNIT_ROLES + "/{group_id}")
async def unit_roles_page(request: Request, group_id: str, here: Sees, accounts: AccountActor) -> Response:
    """Show the roles of a unit, with the form to give one."""
    return await _unit_page(request, group_id, here, accounts)


async def _unit_page(
    request: Request,
    group_id: str,
    here: Here,
    accounts: AccountActions,
    errors: Sequence[FieldError] = (),
    typed: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    locale, before = locale_of(request), read_id(request.query_params.get("before", ""))
    async with accounts.db.read() as session:
        roles_of_unit = await _seen(session, request, group_id, here, accounts, locale)
    return admin_page(
        request,
        here,
        "groups",
        "admin_unit_roles.html",
        status,
        roles_of_unit=roles_of_unit,
        query=f"?before={before}" if before is not None else "",
        download=download_of(request, here, f"{UNIT_ROLES}/{roles_of_unit.group.id}", {}) if here.may(READS) else None,
        name=name_of_group(roles_of_unit.group, locale),
        errors=errors,
        typed=typed or {},
        now_at=clock.now(),
        done=DONE.get(request.query_params.get("done", ""), "") if status == 200 else "",
        csrf_token=token_for(request, f"unit roles {group_id}"),
    )


@router.post(UNIT_ROLES + "/{group_id}/download")
async def download(
    request: Request, group_id: str, here: Takes, sent: DownloadSent, accounts: AccountActor
) -> Response:
    """Download the roles of a unit that the administrator sees."""
    locale = locale_of(request)
    async with accounts.db.read() as session:
        roles_of_unit = await _seen(session, request, group_id, here, accounts, locale)
        sight = await sight_of(session, here.as_actor, here.visit.user.id)
        chosen = await _filter_of(session, accounts, sight, roles_of_unit.group)
    rows, about = _csv_rows(accounts, chosen), [f"unit {roles_of_unit.group.code}"]
    page = ("groups", f"{UNIT_ROLES}/{roles_of_unit.group.id}")
    return await csv_response(request, accounts.db, here, "unit-roles", COLUMNS, rows, about, sent, page=page)


async def _csv_rows(accounts: AccountActions, chosen: AssignmentFilter) -> AsyncIterator[Sequence[Row]]:
    before = None
    while True:
        async with accounts.db.read() as session:
            page = await store.page_of(session, chosen, before, clock.now(), PART)
        yield [
            (
                row.assignment.client_id, row.assignment.role, row.user_name, row.assignment.user_id,
                row.group.code if row.group is not None else None, row.assignment.with_units_below,
                row.unit.code if row.unit is not None else None, row.assignment.valid_from,
                row.assignment.valid_until, row.assignment.given_by, row.assignment.reason,
            )
            for row in page
            if accounts.registry.get(row.assignment.client_id) is not None
        ]  # fmt: skip
        if len(page) < PART:
            return
        before = page[-1].assignment.id


async def _seen(
    session: AsyncSession, request: Request, group_id: str, here: Here, accounts: AccountActions, locale: str
) -> UnitRoles:
    """Return the roles of a unit.

    Raises:
        Interrupted: when there is no such unit, or the user does not look after it.
    """
    chosen = read_id(group_id)
    group = await session.get(Group, chosen) if chosen is not None else None
    before = read_id(request.query_params.get("before", ""))
    roles_of_unit = await unit_roles(session, accounts, here, group, locale, before) if group is not None else None
    if roles_of_unit is None or not roles_of_unit.may_see:
        raise Interrupted(failure(request, "not_found", 404, header=here.visit.header(request)))
    return roles_of_unit


@router.post(UNIT_ROLES + "/{group_id}")
async def change_unit_roles(
    request: Request, group_id: str, here: Gives, sent: UnitSent, accounts: AccountActor, outbox: Outbox
) -> Response:
    """Give a role to the unit, or to one of its people; or end one."""
    try:
        async with counted(request, here, sent.form.user, GIVES), accounts.db.write() as session:
            roles_of_unit = await _seen(session, request, group_id, here, accounts, locale_of(request))
            done = await _change(session, accounts, here, roles_of_unit, sent)
    except (roles.RoleFormRefused, RoleError) as error:
        refused = (
            error.error if isinstance(error, roles.RoleFormRefused) else roles.refusal(error, sent.form.choice.act)
        )
        typed = {**sent.typed, "choice": sent.form.choice.act}
        return await _unit_page(request, group_id, here, accounts, [refused], typed, error.status)
    outbox.nudge()
    return RedirectResponse(f"{UNIT_ROLES}/{group_id}?done={done}", 303)


async def _change(
    session: AsyncSession, accounts: AccountActions, here: Here, roles_of_unit: UnitRoles, sent: Sent[UnitRoleForm]
) -> Literal["give", "end"]:
    form = sent.form
    if not form.note:
        raise roles.RoleFormRefused(FieldError(f"{form.choice.act}-note", NOTE_MISSING))
    if form.choice.act == "end":
        assignment_id = read_id(form.choice.target)
        sight = await sight_of(session, here.as_actor, here.visit.user.id)
        filter_ = await _filter_of(session, accounts, sight, roles_of_unit.group)
        chosen = replace(filter_, only=assignment_id or roles_of_unit.group.id)
        row = next(iter(await store.page_of(session, chosen, None, clock.now(), 1)), None)
        if row is None:
            raise RoleError("not_found", "this role has ended already")
        giver = await giver_of(session, here.as_actor, row.assignment.client_id, here.visit.user.id)
        await end_role(session, accounts, row.assignment.id, giver=giver, actor=here.as_actor, reason=form.note)
        return "end"
    client_id, _, role = form.role.partition(" ")
    giver = await giver_of(session, here.as_actor, client_id, here.visit.user.id)
    target = {"role": role, "group": "" if form.user else roles_of_unit.group.code}
    new = await roles.read_assignment(session, accounts, client_id, giver, form.model_copy(update=target))
    await give_roles(session, accounts, client_id, [new], giver=giver, actor=here.as_actor)
    return "give"
