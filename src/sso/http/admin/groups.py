"""Units and groups, for administrators: the tree, the search, and a new unit or group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.groups import NO_PARENT, NO_REASON, GroupRefused, create_group
from sso.accounts.refusal_texts import refusal_text
from sso.clients.access_policy import codes_named
from sso.clients.registry import Client
from sso.errors import validation_field, validation_message
from sso.http.admin.csv_download import PART, Downloads, DownloadSent, Row, csv_response
from sso.http.admin.list_tools import list_tools
from sso.http.common.field_errors import FieldError, errors_in_order, field_error
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import Clients, CurrentSettings, Db
from sso.http.common.typed_forms import FormModel, Note, Sent, Ticked, cut, required
from sso.http.console.access import GROUPS, Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.units import Units
from sso.identity.groups import tree
from sso.identity.groups.models import Group
from sso.identity.groups.schemas import NewGroup
from sso.identity.groups.tree import GroupFilter, ListedGroup
from sso.platform.db import Database
from sso.platform.security.numbers import read_day
from sso.settings import Settings

router = new_router()

PAGE = 50
WHOLE = 300
"""Up to so many units, the whole tree is one page; of a larger one each page has one level."""
NEW = "group new"
NO_DAY = N_("Write the day as 2026-01-31.")
CODE_NAMED = N_(
    "Applications name the code %(code)s: %(names)s. They treat members of this unit as those of the earlier one. "
    "Choose another code, or tick the box below the code."
)
INVALID = N_("The value was not saved. %(detail)s")
IMPORTED = N_("The file was imported.")
KINDS = {"unit": N_("unit"), "group": N_("group")}
SOURCES = {
    "manual": N_("added by hand"),
    "import": N_("import"),
    "upstream": N_("another sign-in service"),
    "scim": N_("SCIM"),
}
"""Where a membership comes from."""
STATES = {"open": N_("open"), "closed": N_("closed"), "all": N_("open and closed")}

Sees = Annotated[Here, Depends(Units("groups:read"))]
Writes = Annotated[Here, Depends(Needs("groups:write"))]
Exports = Annotated[Here, Depends(Downloads("groups:read", personal=False))]
COLUMNS = ("code", "kind", "name_id", "name_en", "above", "from", "until", "units_below", "members")


class NewForm(FormModel):
    """A new unit or group."""

    kind: Annotated[str, cut(8)] = "unit"
    code: Annotated[str, cut(100)] = ""
    name_id: Annotated[str, cut(300)] = ""
    name_en: Annotated[str, cut(300)] = ""
    parent: Annotated[str, cut(100)] = ""
    valid_from: Annotated[str, cut(20)] = ""
    note: Annotated[Note, required(NO_REASON)] = ""
    named: Ticked = False


NewSent = Annotated[Sent[NewForm], Depends(OwnForm(NewForm, NEW))]
FIELDS = ("kind", "code", "name_id", "name_en", "parent", "valid_from", "note")


@dataclass(slots=True)
class Branch:
    """A unit of the tree with those below it."""

    row: ListedGroup
    below: list[Branch] = field(default_factory=list)


@router.get(GROUPS)
async def groups_page(request: Request, here: Sees, db: Db) -> Response:
    """Show the tree of units and the groups, or what a search finds."""
    query, now = request.query_params, clock.now()
    chosen, filters = _read_filter(request, here)
    searched = any(filters.values())
    async with db.read() as session:
        if searched:
            after = query.get("after", "")[:64] or None
            page = await tree.page_of_groups(session, chosen, after, PAGE + 1, now)
            rows = await tree.counted(session, page[:PAGE], now)
            ways = await tree.way_to(session, [row.group.id for row in rows]) if rows else {}
            branches, loose, whole = list[Branch](), list[ListedGroup](), True
            following = page[PAGE - 1].code if len(page) > PAGE else ""
        else:
            rows, ways, following = [], {}, ""
            branches, whole = await _tree(session, here)
            loose = await _loose(session, here)
    return admin_page(
        request,
        here,
        "groups",
        "admin_groups.html",
        rows=rows,
        ways=ways,
        branches=branches,
        whole=whole,
        loose=loose,
        filters=filters,
        searched=searched,
        kinds=KINDS,
        states=STATES,
        done=IMPORTED if query.get("done") == "import" else "",
        tools=await list_tools(request, here, db, "groups", GROUPS, filters) if here.may("groups:read") else None,
        following=f"{GROUPS}?{urlencode({**filters, 'after': following})}" if following else "",
    )


def _read_filter(request: Request, here: Here) -> tuple[GroupFilter, dict[str, str]]:
    """Return the filter of the list, and its fields as they were typed."""
    query = request.query_params
    kind, state, typed = query.get("kind", ""), query.get("state", ""), query.get("q", "").strip()[:200]
    status: tree.Status = "closed" if state == "closed" else "all" if state == "all" else "open"
    chosen = GroupFilter(typed, kind if kind in KINDS else None, within=here.units_seen, status=status)
    return chosen, {"q": typed, "kind": chosen.kind or "", "state": state if state in STATES else ""}


@router.post(GROUPS + "/download")
async def download(request: Request, here: Exports, sent: DownloadSent, db: Db) -> Response:
    """Download the units and groups that the filter shows; without one, all that are open."""
    chosen, filters = _read_filter(request, here)
    in_effect = [name for name, value in filters.items() if value]
    return await csv_response(request, db, here, "units", COLUMNS, _csv_rows(db, chosen), in_effect, sent)


async def _csv_rows(db: Database, chosen: GroupFilter) -> AsyncIterator[Sequence[Row]]:
    after, now = None, clock.now()
    while True:
        async with db.read() as session:
            page = await tree.page_of_groups(session, chosen, after, PART, now)
            rows = await tree.counted(session, page, now)
            ways = await tree.way_to(session, [row.group.id for row in rows]) if rows else {}
        yield [
            (
                row.group.code, row.group.kind, row.group.name_id, row.group.name_en,
                "/".join(upper.code for upper in ways[row.group.id][:-1]), row.group.valid_from,
                row.group.valid_until, row.units_below, row.members,
            )
            for row in rows
        ]  # fmt: skip
        if len(page) < PART:
            return
        after = page[-1].code


async def _tree(session: AsyncSession, here: Here) -> tuple[list[Branch], bool]:
    """Return the units that somebody sees as a tree, and whether all levels are in it. At most five statements."""
    now, within = clock.now(), here.units_seen
    units = await tree.page_of_groups(session, GroupFilter(kind="unit", within=within), None, WHOLE + 1, now)
    whole = len(units) <= WHOLE
    if not whole:
        first = GroupFilter(kind="unit", top=within is None, ids=within)
        units = await tree.page_of_groups(session, first, None, WHOLE, now)
    branches = {row.group.id: Branch(row) for row in await tree.counted(session, units, now)}
    tops: list[Branch] = []
    for branch in branches.values():
        above = branches.get(branch.row.group.parent_id) if branch.row.group.parent_id else None
        (above.below if above is not None else tops).append(branch)
    return tops, whole


async def _loose(session: AsyncSession, here: Here) -> list[ListedGroup]:
    """Return the groups, which stand in no tree."""
    if here.units_seen is not None:
        return []
    now = clock.now()
    return await tree.counted(
        session, await tree.page_of_groups(session, GroupFilter(kind="group"), None, PAGE, now), now
    )


@router.get(GROUPS + "/new")
async def new_page(request: Request, here: Writes) -> Response:
    """Ask for a new unit or group."""
    parent = request.query_params.get("parent", "")[:64]
    return _new_page(request, here, {"kind": "unit", "parent": parent}, ())


def _new_page(
    request: Request, here: Here, typed: dict[str, str], errors: Sequence[FieldError], status: int = 200
) -> Response:
    return admin_page(
        request,
        here,
        "groups",
        "admin_group_new.html",
        status,
        typed=typed,
        errors=errors,
        kinds=KINDS,
        csrf_token=token_for(request, NEW),
    )


@router.post(GROUPS + "/new")
async def create(
    request: Request, here: Writes, sent: NewSent, db: Db, settings: CurrentSettings, known: Clients
) -> Response:
    """Create a unit or group."""
    typed = dict(sent.typed)
    if sent.mistakes:
        return _new_page(request, here, typed, errors_in_order(sent.mistakes, FIELDS), 400)
    try:
        group = await _create(db, settings, here, sent.form, known.registry)
    except GroupRefused as error:
        field_name = {"parent_id": "parent"}.get(error.field, error.field)
        return _new_page(request, here, typed, [FieldError(field_name, error.text, error.named)], error.status)
    except ValidationError as error:
        return _new_page(request, here, typed, [invalid_field(request, error)], 400)
    return RedirectResponse(f"{GROUPS}/{group.id}?done=create", 303)


def clients_naming(registry: Iterable[Client], code: str) -> list[str]:
    """Return the applications that name a unit or group by its code, in ``groups_of_interest`` or ``allowed_roles``."""
    return sorted(
        client.client_id
        for client in registry
        if code in codes_named(client.meta.allowed_roles, client.meta.groups_of_interest)
    )


async def check_not_named(session: AsyncSession, registry: Iterable[Client], code: str) -> None:
    """Check that no application names the new code of a unit or group: it meant another unit.

    Raises:
        GroupRefused: naming the applications.
    """
    names = clients_naming(registry, code)
    if names and await tree.of_code(session, code) is None:
        listed = ", ".join(names[:10]) + ("…" if len(names) > 10 else "")
        raise GroupRefused(CODE_NAMED, "code", code=code, names=listed)


def read_form_day(text: str, zone: str, field: str, *, end: bool = False) -> datetime | None:
    """Return the beginning or the end of a day of a form, in UTC; None: the field is empty.

    Raises:
        GroupRefused: when it is no day.
    """
    if not text:
        return None
    try:
        return read_day(text, zone, end=end)
    except (ValueError, OverflowError):
        raise GroupRefused(NO_DAY, field) from None


async def _create(db: Database, settings: Settings, here: Here, form: NewForm, registry: Iterable[Client]) -> Group:
    first_day = read_form_day(form.valid_from, settings.time_zone, "valid_from")
    async with db.write() as session:
        if not form.named:
            await check_not_named(session, registry, form.code)
        parent = await tree.of_code(session, form.parent) if form.parent else None
        if form.parent and parent is None:
            raise GroupRefused(NO_PARENT, "parent")
        new = NewGroup.model_validate(
            {
                "kind": form.kind,
                "code": form.code,
                "name_id": form.name_id,
                "name_en": form.name_en or None,
                "parent_id": parent.id if parent else None,
                "valid_from": first_day,
            }
        )
        return await create_group(session, new, actor=here.as_actor, reason=form.note)


def invalid_field(request: Request, error: ValidationError) -> FieldError:
    """Return the error of the first value that is not valid, in the language of the page."""
    problem = error.errors()[0]
    detail = refusal_text(validation_message(problem), translations(locale_of(request)).gettext)
    (problem_of_field,) = field_error(validation_field(problem), INVALID, detail=detail)
    return problem_of_field
