"""``sso roles``: who has which role of which application."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sso import clock
from sso.cli.common import Json, an_id, first_of, group, print_json, print_table, refuse, run_loaded

if TYPE_CHECKING:
    from sso.accounts.role_files import FileRow, Step
    from sso.accounts.services import AccountActions
    from sso.identity.groups.assignments import Listed

app = group()

Reason = Annotated[str, typer.Option(help="Why, for the audit log.")]
COLUMNS = ("id", "client_id", "role", "user", "group", "unit", "until")


def _row(listed: Listed) -> dict[str, object]:
    one = listed.assignment
    return {
        "id": one.id,
        "client_id": one.client_id,
        "role": one.role,
        "user": f"{listed.user_name} ({one.user_id})" if one.user_id is not None else None,
        "group": (listed.group.code + ("/*" if one.with_units_below else "")) if listed.group is not None else None,
        "unit": listed.unit.code if listed.unit is not None else None,
        "from": one.valid_from,
        "until": one.valid_until,
        "reason": one.reason,
        "given_by": one.given_by,
        "created_at": one.created_at,
        "confirmed_at": one.confirmed_at,
        "ended_by": one.ended_by,
        "end_reason": one.end_reason,
    }


@app.command("list")
def list_command(
    client: Annotated[str | None, typer.Option("--client", help="Only roles of this application.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only roles that were given to this user.")] = None,
    of_group: Annotated[str | None, typer.Option("--group", help="Only roles of this unit or group (code).")] = None,
    ended: Annotated[bool, typer.Option("--ended", help="List ended roles instead.")] = False,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List role assignments, the newest first."""
    from sso.identity.groups import assignments as store
    from sso.identity.users.service import find

    async def work(provider: AccountActions) -> list[dict[str, object]]:
        async with provider.db.read() as session:
            user_id = (await find(session, user, provider.box)).id if user else None
            unit = await store.group_by_code(session, of_group) if of_group else None
            if of_group and unit is None:
                refuse(f"there is no unit or group {of_group}")
            chosen = store.AssignmentFilter(
                client, user_id, unit.id if unit is not None else None, state="ended" if ended else "current"
            )
            return [_row(row) for row in await store.page_of(session, chosen, None, clock.now(), limit + 1)]

    rows = first_of(run_loaded(work), limit, "For more, give --client, --user or --group, or a greater --limit.")
    if json:
        print_json(rows)
        return
    print_table(COLUMNS, [tuple(row[name] for name in COLUMNS) for row in rows])


@app.command("show")
def show_command(
    client: Annotated[str, typer.Argument(metavar="CLIENT_ID")],
    json: Json = False,
) -> None:
    """Show the roles that an application defines."""

    async def work(provider: AccountActions) -> list[dict[str, object]]:
        found = provider.registry.get(client)
        if found is None:
            refuse(f"there is no application {client}")
        return [
            {"name": name, **role.model_dump(by_alias=True)}
            for name, role in sorted(found.meta.application_roles.items())
        ]

    rows = run_loaded(work)
    if json:
        print_json(rows)
        return
    titles = ("name", "title", "title#en", "units_give")
    print_table(titles, [tuple(row[title] for title in titles) for row in rows])


@app.command("give")
def give_command(
    client: Annotated[str, typer.Argument(metavar="CLIENT_ID")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="See: sso roles show")],
    reason: Reason,
    user: Annotated[str | None, typer.Option("--user", help="The user: an identifier or the user id.")] = None,
    of_group: Annotated[str | None, typer.Option("--group", help="The unit or group (code).")] = None,
    below: Annotated[bool, typer.Option("--below", help="For the units below the unit too.")] = False,
    unit: Annotated[str | None, typer.Option("--unit", help="Only for this unit (code).")] = None,
    until: Annotated[str | None, typer.Option(help="The last day, such as 2027-12-31 (UTC).")] = None,
) -> None:
    """Give a role to a user, or to the members of a unit or group."""
    from pydantic import ValidationError

    from sso.accounts.role_files import FileRow
    from sso.errors import validation_message

    values = {
        "client_id": client,
        "role": role,
        "user": user,
        "group": of_group,
        "with_units_below": below,
        "unit": unit,
    }
    try:
        row = FileRow.model_validate({**values, "valid_until": until, "reason": reason})
    except ValidationError as error:
        problem = error.errors()[0]
        refuse(f"{'.'.join(str(part) for part in problem['loc'])}: {validation_message(problem)}")
    steps = run_loaded(lambda provider: _apply(provider, [row], dry_run=False, end_others=False, reason=reason))
    print("given" if steps else "the role was given already")


@app.command("end")
def end_command(
    assignment_id: Annotated[str, typer.Argument(metavar="ID", help="See: sso roles list")], reason: Reason
) -> None:
    """End a role assignment now."""
    from sso.accounts.role_assignments import end_role
    from sso.accounts.role_files import EVERYTHING
    from sso.platform.actor import CLI

    chosen = an_id(assignment_id, "role assignment")

    async def work(provider: AccountActions) -> None:
        async with provider.db.write() as session:
            await end_role(session, provider, chosen, giver=EVERYTHING, actor=CLI, reason=reason)

    run_loaded(work)
    print("ended")


@app.command("apply")
def apply_command(
    file: Annotated[Path, typer.Argument(help="A YAML file with assignments; see docs/roles.md", metavar="FILE")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    end_others: Annotated[
        bool, typer.Option("--end-others", help="End roles of the applications of the file that it does not have.")
    ] = False,
    reason: Reason = "sso roles apply",
) -> None:
    """Give the roles of a file: all of them, or none."""
    from sso.accounts.role_files import read_file

    rows = read_file(file.read_text())
    steps = run_loaded(lambda provider: _apply(provider, rows, dry_run=dry_run, end_others=end_others, reason=reason))
    for step in steps:
        print(f"{step.act}: {step.text}")
    given = sum(step.act == "give" for step in steps)
    print(
        f"{'would give' if dry_run else 'given'}: {given}, {'would end' if dry_run else 'ended'}: {len(steps) - given}"
    )


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
    provider: AccountActions, rows: list[FileRow], *, dry_run: bool, end_others: bool, reason: str
) -> list[Step]:
    from sso.accounts.role_files import carry_out, plan_file
    from sso.platform.actor import CLI

    async with provider.db.write() as session:
        steps = await plan_file(session, provider, rows, end_others=end_others)
        if not dry_run:
            await carry_out(session, provider, steps, actor=CLI, reason=reason)
        return steps
