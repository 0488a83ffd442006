"""``sso clients``: registered applications."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sso.cli.common import Json, complain, group, print_json, print_table, refuse, run
from sso.clients.apply import Change, Plan, make_plan
from sso.clients.catalogue import read_catalogue
from sso.clients.profiles import PROFILES, relaxations
from sso.clients.registration import invite
from sso.clients.registry import Client
from sso.clients.service import new_secret
from sso.db import read_versions
from sso.oidc.applications import apply_catalogue, remove_client, resume_client, suspend_client
from sso.oidc.provider import Provider
from sso.settings import load_settings

app = group("Registered applications.")

SHOWN_CHANGES = 500
_SIGNS = {"create": "+", "update": "~", "resume": "^", "suspend": "!", "delete": "-"}
ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client_id.")]


@app.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="A catalogue, such as clients.example.yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete applications that vanished from the file, not only suspend them.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring the registered applications to what FILE says: all of it, or nothing.

    Shows every change. Applications that vanished from the file are suspended. Secrets are neither made, shown nor
    changed: make one with "sso clients secret". Signs: + new, ~ changed, ^ active again, ! suspended, - deleted.
    """
    catalogue = read_catalogue(file, allow_http_loopback=load_settings().loopback)

    async def work(provider: Provider) -> Plan:
        async with provider.db.write() as session:
            plan = await make_plan(session, catalogue, delete=delete)
            if not dry_run:
                await apply_catalogue(session, provider, plan)
            return plan

    plan = run(work, load=True)
    if json:
        changes = [{"action": one.action, "client_id": one.client_id, "fields": one.fields} for one in plan.changes]
        print_json({"catalogue": catalogue.name, "applied": not dry_run, **plan.counted(), "changes": changes})
        return
    _show_plan(plan, dry_run)


@app.command("list")
def list_clients(
    group_name: Annotated[str, typer.Option("--group", help="Only those of one group.")] = "",
    json: Json = False,
) -> None:
    """List every application."""
    found = [one for one in _load() if not group_name or one.meta.group == group_name]
    if json:
        print_json([_brief(one) for one in found])
        return
    titles = ("client_id", "name", "group", "type", "status", "secret")
    print_table(titles, [tuple(_brief(one).values()) for one in found])
    print(f"{len(found)} applications")


@app.command("show")
def show(client_id: ClientId) -> None:
    """Show one application, as JSON. Secrets are never shown."""
    found = next((one for one in _load() if one.client_id == client_id), None)
    if found is None:
        refuse(f"there is no application {client_id!r}; see: sso clients list")
    metadata = found.meta.model_dump(mode="json", by_alias=True, exclude_none=True)
    relaxed = {"profile": found.meta.profile, "relaxed": relaxations(found.meta)}
    print_json({"client_id": client_id, **_brief(found), **relaxed, "metadata": metadata})


@app.command("secret")
def secret(
    client_id: ClientId,
    overlap: Annotated[
        int, typer.Option(help="Seconds for which earlier secrets stay valid, so that nothing stops.", min=0)
    ] = 0,
) -> None:
    """Make a new secret for an application and print it, this once. It is stored only as a hash."""

    async def work(provider: Provider) -> str:
        async with provider.db.write() as session:
            return await new_secret(session, provider.box, client_id, overlap_seconds=overlap)

    made = run(work)
    complain("This secret is shown once. Earlier secrets " + (f"end in {overlap} seconds." if overlap else "are over."))
    print(made)


@app.command("suspend")
def suspend_command(
    client_id: ClientId,
    end_sessions: Annotated[
        bool, typer.Option("--end-sessions", help="End the sessions in which it takes part, for every application.")
    ] = False,
) -> None:
    """Suspend an application: it can do nothing, what was granted to it is over, its part in every session ends.

    No catalogue brings it back, only "sso clients resume".
    """

    async def work(provider: Provider) -> None:
        async with provider.db.write() as session:
            await suspend_client(session, provider, client_id, actor="cli", end_sessions=end_sessions)

    run(work, load=True)
    print("suspended; see sso sessions endings")


@app.command("resume")
def resume_command(client_id: ClientId) -> None:
    """Let a suspended application work again. What was granted to it before stays over."""

    async def work(provider: Provider) -> None:
        async with provider.db.write() as session:
            await resume_client(session, client_id, actor="cli")

    run(work)
    print("it works again")


@app.command("remove")
def remove_command(
    client_id: ClientId, sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Remove an application: as if suspended, and what people allowed it is forgotten."""
    if not sure:
        typer.confirm(f"Remove {client_id}?", abort=True)

    async def work(provider: Provider) -> None:
        async with provider.db.write() as session:
            await remove_client(session, provider, client_id, actor="cli")

    run(work, load=True)
    print("removed; see sso sessions endings")


@app.command("invite")
def invite_command(
    note: Annotated[str, typer.Argument(help="For whom it is: kept with it and in the audit log.")],
    profile: Annotated[str, typer.Option(help=f"Which rules may be relaxed: {', '.join(PROFILES)}.")] = "standard",
    days: Annotated[int, typer.Option(help="How long it can be used, in days.", min=1, max=365)] = 7,
    uses: Annotated[
        int, typer.Option(help="How many applications may be registered with it; 0: any number.", min=0)
    ] = 1,
) -> None:
    """Make an initial access token, with which applications register themselves, and print it, this once."""
    if profile not in PROFILES:
        refuse(f"--profile must be one of {', '.join(PROFILES)}")

    async def work(provider: Provider) -> str:
        async with provider.db.write() as session:
            return await invite(session, profile, note[:200], days=days, uses=uses or None)

    made = run(work)
    complain(f"This initial access token is shown once. It can be used for {days} days.")
    print(made)


def _load() -> list[Client]:
    async def work(provider: Provider) -> list[Client]:
        async with provider.db.read() as session:
            await provider.registry.load(session, await read_versions(session))
        return sorted(provider.registry, key=lambda one: one.client_id)

    return run(work)


def _brief(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "name": client.meta.client_name,
        "group": client.meta.group or "",
        "type": client.meta.type,
        "status": "active" if client.enabled else "suspended",
        "secret": _secret_state(client),
    }


def _secret_state(client: Client) -> str:
    if not client.meta.needs_secret:
        return "not needed"
    return "present" if client.current_secrets() else "missing"


def _show_plan(plan: Plan, dry_run: bool) -> None:
    for change in plan.changes[:SHOWN_CHANGES]:
        print(_change_line(plan, change))
        if change.action in ("update", "resume"):
            for name, (old, new) in change.fields.items():
                print(f"      {name}: {old!r} -> {new!r}")
    if len(plan.changes) > SHOWN_CHANGES:
        print(f"  ... and {len(plan.changes) - SHOWN_CHANGES} more; --json shows all")
    counts = plan.counted()
    words = {
        "create": "new",
        "update": "changed",
        "resume": "active again",
        "suspend": "suspended",
        "delete": "deleted",
    }
    said = [f"{counts[action]} {word}" for action, word in words.items() if counts[action]]
    verb = "would be applied" if dry_run else "applied"
    total = len(plan.catalogue.applications)
    print(
        f"{plan.catalogue.name}: {total} applications; {', '.join([*said, str(counts['unchanged']) + ' unchanged'])}; "
        + (verb if plan.changes else "nothing to do")
    )


def _change_line(plan: Plan, change: Change) -> str:
    found = plan.catalogue.applications.get(change.client_id)
    about = f"  {found.client_name} ({found.group or 'no group'}, {found.type})" if found else ""
    return f"  {_SIGNS[change.action]} {change.client_id}{about}"
