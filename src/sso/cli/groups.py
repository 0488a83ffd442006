"""``sso groups``: units and groups, and their members."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import (
    Json,
    check_choice,
    complain,
    first_of,
    group,
    print_json,
    print_rows,
    print_table,
    refuse,
    run,
    run_loaded,
)
from sso.platform.messages import _

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from sso.accounts.group_files import Entry, Mistake, UnitPlan
    from sso.accounts.services import AccountActions
    from sso.identity.groups.members import ListedMember
    from sso.identity.groups.models import Group
    from sso.identity.groups.tree import ListedGroup
    from sso.platform.services import Storage

app = group()

KINDS = ("unit", "group")
STATES = ("open", "closed", "all")
TIMES = ("current", "planned", "ended", "all")
Code = Annotated[str, typer.Argument(metavar="CODE", help="The code of a unit or group.")]
Who = Annotated[str, typer.Argument(metavar="USER", help="Username, e-mail or user ID.")]
Reason = Annotated[str, typer.Option("--reason", help="The reason, for the audit log.")]
Encoding = Annotated[str | None, typer.Option(help="Character encoding. Default: UTF-8.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]


@app.command("list")
def list_groups(
    q: Annotated[str, typer.Option("--search", help="Parts of the name or code.")] = "",
    kind: Annotated[str, typer.Option(help="unit or group. Default: both.")] = "",
    status: Annotated[str, typer.Option(help=f"{', '.join(STATES)}.")] = "open",
    after: Annotated[str | None, typer.Option(help="Start after this code.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List units and groups in the order of their codes."""
    from sso import clock
    from sso.identity.groups import tree

    check_choice("--status", status, STATES)
    if kind:
        check_choice("--kind", kind, KINDS)
    state: tree.Status = "open" if status == "open" else "closed" if status == "closed" else "all"
    chosen = tree.GroupFilter(words=q, kind=kind or None, status=state)

    async def work(storage: Storage) -> list[ListedGroup]:
        async with storage.db.read() as session:
            now = clock.now()
            return await tree.counted(session, await tree.page_of_groups(session, chosen, after, limit + 1, now), now)

    rows = first_of(run(work), limit, _("Use --after CODE to see the others."))
    if json:
        print_json([{**_as_json(row.group), "units_below": row.units_below, "members": row.members} for row in rows])
        return
    titles = ("code", "kind", "name", "units below", "members", "until")
    print_table(
        titles,
        [
            (row.group.code, row.group.kind, row.group.name_id, row.units_below, row.members, row.group.valid_until)
            for row in rows
        ],
    )


@app.command("show")
def show(code: Code) -> None:
    """Show a unit or group as JSON: its names, the units above it, and its administrators."""
    from sso import clock
    from sso.identity.groups import tree

    async def work(storage: Storage) -> dict[str, object]:
        async with storage.db.read() as session:
            chosen = await _present(session, code)
            way = (await tree.way_to(session, [chosen.id]))[chosen.id][:-1]
            (counts,) = await tree.counted(session, [chosen], clock.now())
            administrators = await tree.administrators_of(session, chosen.id)
        return {
            **_as_json(chosen),
            "path": [upper.code for upper in way],
            "units_below": counts.units_below,
            "members": counts.members,
            "administrators": [
                {"user_id": row.user_id, "name": row.name, "of": row.group.code} for row in administrators
            ],
        }

    print_json(run(work))


@app.command("tree")
def tree_command(
    code: Annotated[str, typer.Argument(metavar="[CODE]", help="Only this unit and those below it.")] = "",
    closed: Annotated[bool, typer.Option("--closed", help="Show closed units too.")] = False,
) -> None:
    """Show the tree of units, indented."""
    from sso import clock
    from sso.identity.groups import tree

    async def work(storage: Storage) -> list[Group]:
        async with storage.db.read() as session:
            if code:
                await _present(session, code)
            return await tree.all_groups(session)

    now = clock.now()
    units = [
        unit
        for unit in run(work)
        if unit.kind == "unit" and (closed or unit.valid_until is None or unit.valid_until > now)
    ]
    below: dict[object, list[Group]] = {}
    for unit in units:
        below.setdefault(unit.parent_id, []).append(unit)
    waiting = [(0, unit) for unit in units if (unit.code == code if code else unit.parent_id is None)]
    while waiting:
        level, unit = waiting.pop(0)
        print(f"{'  ' * level}{unit.code}  {unit.name_id}")
        waiting[:0] = [(level + 1, lower) for lower in below.get(unit.id, [])]


@app.command("members")
def members_command(
    code: Code,
    below: Annotated[bool, typer.Option("--below", help="Also the members of the units below it.")] = False,
    status: Annotated[str, typer.Option(help=f"{', '.join(TIMES)}.")] = "current",
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=10_000)] = 1000,
    json: Json = False,
) -> None:
    """List the members of a unit or group, the oldest membership first."""
    from sso import clock
    from sso.identity.groups import members

    check_choice("--status", status, TIMES)
    time = next(known for known in members.STATUSES if known == status)

    async def work(storage: Storage) -> list[ListedMember]:
        async with storage.db.read() as session:
            chosen = await _present(session, code)
            narrowed = members.MemberFilter(below=below, status=time)
            return await members.page_of_members(session, chosen.id, narrowed, None, limit + 1, clock.now())

    rows = first_of(run(work), limit, _("Use --limit to see more."))
    entries = [
        {
            "membership_id": row.membership.id,
            "user_id": row.membership.user_id,
            "name": row.name,
            "unit": row.group.code,
            "position": row.membership.position,
            "from": row.membership.valid_from,
            "until": row.membership.valid_until,
            "source": row.membership.source,
        }
        for row in rows
    ]
    titles = ("name", "unit", "position", "from", "until", "source", "user_id")
    print_rows(titles, entries, json=json)


@app.command("add-member")
def add_member_command(
    code: Code,
    user: Who,
    position: Annotated[str | None, typer.Option(help="The position of the user there.")] = None,
    begin: Annotated[str, typer.Option("--from", help="The first day, such as 2026-01-31. Default: now.")] = "",
    end: Annotated[str, typer.Option("--until", help="The last day.")] = "",
    reason: Reason = "",
) -> None:
    """Add a user to a unit or group."""
    from sso.accounts.groups import add_member
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> None:
        zone = services.settings.time_zone
        async with services.db.write() as session:
            chosen, person = await _present(session, code), await find(session, user, services.box)
            await add_member(
                session,
                services,
                user_id=person.id,
                group_id=chosen.id,
                position=position,
                valid_from=_day("--from", begin, zone),
                valid_until=_day("--until", end, zone, end=True),
                actor=CLI,
                reason=reason,
            )

    run_loaded(work)
    print(_("added"))


@app.command("end-member")
def end_member_command(
    code: Code,
    user: Who,
    end: Annotated[str, typer.Option("--until", help="The last day, such as 2026-01-31. Default: now.")] = "",
    reason: Reason = "",
) -> None:
    """End the memberships of a user in a unit or group that are valid now or begin later."""
    from sso import clock
    from sso.accounts.groups import end_membership
    from sso.identity.groups import members
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> int:
        at, now = _day("--until", end, services.settings.time_zone, end=True), clock.now()
        async with services.db.write() as session:
            chosen, person = await _present(session, code), await find(session, user, services.box)
            rows = [
                row
                for row, unit in await members.memberships_of(session, person.id)
                if unit.id == chosen.id and members.status_of(row, now) != "ended"
            ]
            for row in rows:
                await end_membership(session, services, membership_id=row.id, at=at, actor=CLI, reason=reason)
            return len(rows)

    if not run_loaded(work):
        refuse(_("the user is not a member of %(code)s") % {"code": repr(code)})
    print(_("ended"))


@app.command("administrators")
def administrators_command(
    code: Code,
    users: Annotated[list[str], typer.Argument(metavar="[USER]...", help="Everyone who manages the unit from now on.")],
    reason: Reason = "",
) -> None:
    """Set who manages a unit and every unit below it. These users replace all others."""
    from sso.accounts.groups import set_unit_administrators
    from sso.identity.users.service import find
    from sso.platform.actor import CLI

    async def work(services: AccountActions) -> None:
        async with services.db.write() as session:
            chosen = await _present(session, code)
            ids = [(await find(session, user, services.box)).id for user in users]
            await set_unit_administrators(session, chosen.id, ids, actor=CLI, reason=reason)

    run_loaded(work)
    print(_("%(count)s administrators") % {"count": len(users)})


@app.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="YAML with units: and groups:; see docs/how-to/groups.md.")],
    reason: Reason = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Create, change and move the units and groups of FILE, all of them or none. What FILE does not name stays."""
    from sso.accounts.group_files import read_units_yaml

    _apply(file, lambda zone: read_units_yaml(file, zone), reason, dry_run, json)


@app.command("import-csv")
def import_csv(
    file: Annotated[Path, typer.Argument(help="CSV of a personnel system; see docs/how-to/groups.md.")],
    encoding: Encoding = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Create, change and move the units of a CSV file, all of them or none.

    Columns: code, name_id, name_en, parent_code, valid_from, valid_until. The lines may stand in any order.
    """
    from sso.accounts.group_files import read_units_csv

    _apply(file, lambda zone: read_units_csv(file, zone, encoding), reason, dry_run, json)


@app.command("export")
def export() -> None:
    """Print all units and groups as YAML, which "sso groups apply" reads. Members are not in it."""
    from sso.accounts.group_files import as_yaml
    from sso.identity.groups import tree

    async def work(storage: Storage) -> str:
        async with storage.db.read() as session:
            return as_yaml(await tree.all_groups(session), storage.settings.time_zone)

    print(run(work), end="")


def _apply(
    file: Path, read: Callable[[str], tuple[list[Entry], list[Mistake]]], reason: str, dry_run: bool, json: bool
) -> None:
    from sso.accounts.group_files import apply_plan, make_plan
    from sso.identity.groups import tree
    from sso.platform.actor import CLI
    from sso.settings import load_settings

    entries, mistakes = read(load_settings().time_zone)

    async def only_plan(storage: Storage) -> UnitPlan:
        async with storage.db.read() as session:
            return await make_plan(session, entries, mistakes)

    async def change(services: AccountActions) -> UnitPlan:
        async with services.db.write() as session:
            await tree.lock_tree(session)
            plan = await make_plan(session, entries, mistakes)
            if not plan.mistakes and plan.changes:
                why = reason or file.name
                await apply_plan(session, services, plan, name=file.name, actor=CLI, reason=why)
            return plan

    plan = run(only_plan) if dry_run else run_loaded(change)
    _show_plan(plan, dry_run, json)


def _show_plan(plan: UnitPlan, dry_run: bool, json: bool) -> None:
    applied = not dry_run and not plan.mistakes
    if json:
        changes = [
            {"action": change.action, "code": change.entry.new.code, "line": change.entry.line, "fields": change.fields}
            for change in plan.changes
        ]
        mistakes = [
            {"line": mistake.line, "column": mistake.column, "detail": mistake.text % mistake.named}
            for mistake in plan.mistakes
        ]
        print_json({"applied": applied, **plan.counted(), "changes": changes, "errors": mistakes})
    else:
        signs = {"create": "+", "update": "~", "move": ">"}
        for change in plan.changes:
            details = ", ".join(f"{name}: {_short(old)} → {_short(new)}" for name, (old, new) in change.fields.items())
            print(f"  {signs[change.action]} {change.entry.new.code}  {details or change.entry.new.name_id}")
        counts = plan.counted()
        text = _("%(create)s new, %(update)s changed, %(move)s moved, %(unchanged)s unchanged")
        print(text % counts + "; " + (_("applied") if applied else _("nothing was changed")))
    if plan.mistakes:
        for mistake in plan.mistakes:
            column = f"{mistake.column}: " if mistake.column else ""
            text = column + _(mistake.text) % mistake.named
            complain(_("line %(line)s: %(text)s") % {"line": mistake.line, "text": text})
        refuse(_("%(count)s errors; nothing was changed") % {"count": len(plan.mistakes)})


def _short(value: object) -> str:
    return "–" if value in (None, "") else str(value)


def _day(option: str, text: str, zone: str, *, end: bool = False) -> datetime | None:
    from sso.platform.security.numbers import read_day

    try:
        return read_day(text, zone, end=end) if text else None
    except ValueError as error:
        refuse(f"{option} {error}")


def _as_json(chosen: Group) -> dict[str, object]:
    names = ("id", "kind", "code", "name_id", "name_en", "parent_id", "valid_from", "valid_until")
    return {name: getattr(chosen, name) for name in names}


async def _present(session: AsyncSession, code: str) -> Group:
    from sso.identity.groups import tree

    chosen = await tree.of_code(session, code)
    if chosen is None:
        refuse(_("there is no unit or group %(code)s; see: sso groups list") % {"code": repr(code)})
    return chosen
