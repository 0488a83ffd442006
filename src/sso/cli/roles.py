"""``sso roles``: who has which role of which application."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from sso import clock
from sso.cli.common import Json, an_id, first_of, group, print_rows, refuse, run_loaded
from sso.platform.messages import N_, _

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from sso.accounts.role_assignments import NewAssignment
    from sso.accounts.role_files import FileRow, Step
    from sso.accounts.services import AccountActions
    from sso.identity.groups.assignments import Listed
    from sso.identity.groups.models import RoleAssignment

app = group()

Reason = Annotated[str, typer.Option(help="Why, for the audit log.")]
COLUMNS = ("id", "client_id", "role", "user", "group", "unit", "until")


def _row(listed: Listed) -> dict[str, object]:
    given = listed.assignment
    return {
        "id": given.id,
        "client_id": given.client_id,
        "role": given.role,
        "user": f"{listed.user_name} ({given.user_id})" if given.user_id is not None else None,
        "group": (listed.group.code + ("/*" if given.with_units_below else "")) if listed.group is not None else None,
        "unit": listed.unit.code if listed.unit is not None else None,
        "from": given.valid_from,
        "until": given.valid_until,
        "reason": given.reason,
        "given_by": given.given_by,
        "created_at": given.created_at,
        "confirmed_at": given.confirmed_at,
        "ended_by": given.ended_by,
        "end_reason": given.end_reason,
    }


@app.command("list")
def list_command(
    client: Annotated[str | None, typer.Option("--client", help="Only roles of this application.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only roles that were given to this user.")] = None,
    of_group: Annotated[str | None, typer.Option("--group", help="Only roles of this unit or group (code).")] = None,
    role: Annotated[str | None, typer.Option("--role", help="Only this role, by its name in tokens.")] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="Only roles of, or limited to, this unit or group (code).")
    ] = None,
    unconfirmed: Annotated[
        bool, typer.Option("--unconfirmed", help="Only roles that a running access review has yet to confirm.")
    ] = False,
    ended: Annotated[bool, typer.Option("--ended", help="List ended roles instead.")] = False,
    before: Annotated[str | None, typer.Option(help="Start after this role assignment of the list.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List role assignments, the newest first."""
    from sso.identity.groups import assignments as store
    from sso.identity.users.service import find

    start = an_id(before, N_("role assignment")) if before else None

    async def work(provider: AccountActions) -> list[dict[str, object]]:
        async with provider.db.read() as session:
            user_id = (await find(session, user, provider.box)).id if user else None
            group_id, unit_id = await _id_of(session, of_group), await _id_of(session, unit)
            state: store.State = "ended" if ended else "current"
            chosen = store.AssignmentFilter(
                client, user_id, group_id, role, state, unit_id=unit_id, unconfirmed=unconfirmed
            )
            return [_row(row) for row in await store.page_of(session, chosen, start, clock.now(), limit + 1)]

    more = _("For more, give the ID of the last one with --before, or a higher --limit.")
    rows = first_of(run_loaded(work), limit, more)
    print_rows(COLUMNS, rows, json=json)


async def _id_of(session: AsyncSession, code: str | None) -> UUID | None:
    """Return the id of the unit or group with a code; None: no code was given."""
    from sso.identity.groups import tree

    unit = await tree.of_code(session, code) if code else None
    if code and unit is None:
        refuse(_("there is no unit or group %(code)s") % {"code": code})
    return unit.id if unit is not None else None


@app.command("show")
def show_command(
    client: Annotated[str, typer.Argument(metavar="CLIENT_ID")],
    json: Json = False,
) -> None:
    """Show the roles that an application defines."""

    async def work(provider: AccountActions) -> list[dict[str, object]]:
        registered = provider.registry.get(client)
        if registered is None:
            refuse(_("there is no application %(client_id)s") % {"client_id": client})
        return [
            {"name": name, **role.model_dump(by_alias=True)}
            for name, role in sorted(registered.meta.application_roles.items())
        ]

    rows = run_loaded(work)
    titles = ("name", "title", "title#en", "units_give")
    print_rows(titles, rows, json=json)


@app.command("give")
def give_command(
    client: Annotated[str, typer.Argument(metavar="CLIENT_ID")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="See: sso roles show")],
    reason: Reason,
    user: Annotated[str | None, typer.Option("--user", help="The user: an identifier or the user id.")] = None,
    of_group: Annotated[str | None, typer.Option("--group", help="The unit or group (code).")] = None,
    below: Annotated[bool, typer.Option("--below", help="For the units below the unit too.")] = False,
    unit: Annotated[str | None, typer.Option("--unit", help="Only for this unit (code).")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="The first day, such as 2027-01-31. Default: now.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="The last day, such as 2027-12-31. Default: no end.")] = None,
) -> None:
    """Give a role to a user, or to the members of a unit or group."""
    from pydantic import ValidationError

    from sso.accounts.role_files import FileRow
    from sso.errors import validation_line

    values = {
        "client_id": client,
        "role": role,
        "user": user,
        "group": of_group,
        "with_units_below": below,
        "unit": unit,
    }
    try:
        row = FileRow.model_validate({**values, "valid_from": begin, "valid_until": until, "reason": reason})
    except ValidationError as error:
        refuse(validation_line(error.errors()[0]))
    steps = run_loaded(lambda provider: _apply(provider, [row], only_new=True, reason=reason))
    print(_("The role was given.") if steps else _("The role was given already."))


@app.command("end")
def end_command(
    assignment_id: Annotated[str, typer.Argument(metavar="ID", help="See: sso roles list")], reason: Reason
) -> None:
    """End a role assignment now."""
    from sso.accounts.role_assignments import end_role
    from sso.accounts.role_files import EVERYTHING
    from sso.platform.actor import CLI

    chosen = an_id(assignment_id, N_("role assignment"))

    async def work(provider: AccountActions) -> None:
        async with provider.db.write() as session:
            await end_role(session, provider, chosen, giver=EVERYTHING, actor=CLI, reason=reason)

    run_loaded(work)
    print(_("The role has ended."))


@app.command("apply")
def apply_command(
    file: Annotated[Path, typer.Argument(help="YAML file with assignments; see docs/how-to/roles.md", metavar="FILE")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    end_others: Annotated[
        bool, typer.Option("--end-others", help="End roles of the applications of the file that it does not have.")
    ] = False,
    reason: Reason = "sso roles apply",
) -> None:
    """Give the roles of a file: all of them, or none."""
    from sso.accounts.role_files import read_file
    from sso.settings import load_settings

    rows = read_file(file.read_text())
    steps = run_loaded(lambda provider: _apply(provider, rows, dry_run=dry_run, end_others=end_others, reason=reason))
    zone = load_settings().time_zone
    for step in steps:
        print(_line_of(step, zone))
    counts = {act: sum(step.act == act for step in steps) for act in ("give", "change", "end")}
    if dry_run:
        print(_("would give: %(give)d, would change: %(change)d, would end: %(end)d") % counts)
    else:
        print(_("given: %(give)d, changed: %(change)d, ended: %(end)d") % counts)


def _line_of(step: Step, zone: str) -> str:
    """Return a step as one line: ``give: antrean: operator@PKM-1, user siti, until 2028-01-01T00:00+07:00``."""
    acts = {"give": _("give"), "change": _("change times"), "end": _("end")}
    receiver = (_("group %(code)s") if step.to_group else _("user %(user)s")) % {
        "code": step.receiver,
        "user": step.receiver,
    }
    before = _times_of(step.old.assignment, zone) if step.act == "change" and step.old is not None else ""
    after = _times_of(step.new, zone) if step.new is not None else ""
    times = f"{before} -> {after}" if before else after
    return f"{acts[step.act]}: {step.client_id}: {step.role}, {receiver}{f', {times}' if times else ''}"


def _times_of(given: NewAssignment | RoleAssignment, zone: str) -> str:
    """Return the times of an assignment, in the time zone of the city."""
    times = {"begin": _time(given.valid_from, zone), "end": _time(given.valid_until, zone)}
    if given.valid_from is not None and given.valid_until is not None:
        return _("from %(begin)s until %(end)s") % times
    if given.valid_from is not None:
        return _("from %(begin)s") % times
    return _("until %(end)s") % times if given.valid_until is not None else _("without an end")


def _time(moment: datetime | None, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") if moment is not None else ""


@app.command("export")
def export_command(
    client: Annotated[str | None, typer.Option("--client", help="Only roles of this application.")] = None,
) -> None:
    """Print the roles that have not ended as a file for "sso roles apply"."""
    import yaml

    from sso.accounts.role_files import export_rows

    async def work(provider: AccountActions) -> list[dict[str, object]]:
        async with provider.db.read() as session:
            return await export_rows(session, client)

    print(yaml.safe_dump({"assignments": run_loaded(work)}, sort_keys=False, allow_unicode=True), end="")


async def _apply(
    provider: AccountActions,
    rows: list[FileRow],
    *,
    reason: str,
    dry_run: bool = False,
    end_others: bool = False,
    only_new: bool = False,
) -> list[Step]:
    """Plan and carry out. ``only_new``: refuse to change the times of a role that was given."""
    from sso.accounts.role_files import carry_out, plan_file
    from sso.platform.actor import CLI

    async with provider.db.read() if dry_run else provider.db.write() as session:
        steps = await plan_file(session, provider, rows, end_others=end_others)
        if only_new and any(step.act == "change" for step in steps):
            refuse(_("the role was given already, with other times; see: sso roles list, sso roles apply"))
        if not dry_run:
            await carry_out(session, provider, steps, actor=CLI, reason=reason)
        return steps
