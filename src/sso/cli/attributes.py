"""``sso attributes``: the attributes of users that the city declares in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import Json, group, print_json, print_table, refuse, run
from sso.platform.messages import _

if TYPE_CHECKING:
    from sso.accounts.attributes import Plan
    from sso.clients.attributes import CityAttributes
    from sso.platform.services import Storage

app = group()


@app.command("list")
def list_command(json: Json = False) -> None:
    """List the declared attributes with type, rights, scope, and how many users have a value."""
    city, counts = run(_declared)
    rows = [
        {
            "name": name,
            "type": each.type,
            "personal_data": each.personal_data,
            "read": each.read,
            "write": each.write,
            "scope": each.scope,
            "claim": (each.claim or name) if each.scope else None,
            "values": counts.get(name, 0),
        }
        for name, each in city.declaration.attributes.items()
    ]
    if json:
        print_json(rows)
        return
    titles = (_("name"), _("type"), _("personal data"), _("read"), _("write"), _("scope"), _("claim"), _("values"))
    print_table(titles, [tuple(_cell(value) for value in row.values()) for row in rows])


@app.command("show")
def show_command(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the attribute.")]) -> None:
    """Show one attribute as it is declared, as JSON."""
    city, counts = run(_declared)
    if name not in city.declaration.attributes:
        refuse(_("%(name)s is not an attribute; see: sso attributes list") % {"name": name})
    stored = city.declaration.attributes[name].model_dump(mode="json", by_alias=True, exclude_none=True)
    print_json({"name": name, **stored, "values": counts.get(name, 0)})


@app.command("apply")
def apply_command(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The YAML file. Default: SSO_ATTRIBUTES_FILE.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept in the history and in the audit log.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete the values of attributes that are not in the file any more.")
    ] = False,
) -> None:
    """Put the declaration in a file into effect. Every process follows within two seconds.

    The plan is shown first: + is new, - is removed, ~ is changed.
    """
    from sso.accounts.attribute_file import DeclarationRefused, read_declaration_file
    from sso.accounts.attributes import apply_declaration, plan_declaration
    from sso.platform.actor import CLI

    async def work(storage: Storage) -> tuple[Plan, bool]:
        path = file or storage.settings.attributes_file
        if path is None:
            refuse(_("name a file, or set SSO_ATTRIBUTES_FILE"))
        declaration = read_declaration_file(path)
        async with storage.db.read() as session:
            plan = await plan_declaration(session, storage.box, declaration)
        _print(plan)
        if plan.refused:
            raise DeclarationRefused(plan.refused)
        if dry_run or not plan.lines:
            return plan, False
        async with storage.db.write() as session:
            note = reason or f"sso attributes apply {path.name}"
            await apply_declaration(session, storage.box, declaration, reason=note, actor=CLI, confirmed=yes)
        return plan, True

    plan, applied = run(work)
    if applied:
        print(_("Every process follows within two seconds."))
    elif not plan.lines:
        print(_("Nothing to change."))


@app.command("export")
def export_command() -> None:
    """Print the declaration in effect as YAML, for sso attributes apply."""
    import yaml

    city, _counts = run(_declared)
    print(yaml.safe_dump(city.declaration.stored(), allow_unicode=True, sort_keys=False), end="")


def _print(plan: Plan) -> None:
    for sign, text in plan.lines:
        print(f"{sign} {text}")
    for name, count in plan.deleted.items():
        print(_("! %(name)s: %(count)d values are deleted") % {"name": name, "count": count})


async def _declared(storage: Storage) -> tuple[CityAttributes, dict[str, int]]:
    from sso.clients.attributes import city_attributes_of
    from sso.identity.attributes.store import counts

    async with storage.db.read() as session:
        return await city_attributes_of(session), await counts(session)


def _cell(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else "" if value is None else value
