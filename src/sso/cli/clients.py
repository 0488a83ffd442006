"""``sso clients``: registered applications."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import Json, complain, group, print_json, print_rows, print_table, refuse, run, run_loaded
from sso.clients.profiles import PROFILES
from sso.platform.messages import _

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from sso.clients.catalogue import Catalogue
    from sso.clients.catalogue_apply import Change, Plan, PrivilegeChange
    from sso.clients.metadata import ClientMetadata
    from sso.clients.registry import Client
    from sso.logout.bulk import BulkServices
    from sso.platform.services import Storage
    from sso.settings import Settings

app = group()

SHOWN_CHANGES = 500
_SIGNS = {"create": "+", "update": "~", "resume": "^", "suspend": "!", "delete": "-"}
ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client_id.")]


@app.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="A catalogue, such as clients.example.yaml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the changes without making them.")] = False,
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Delete applications that are no longer in the file instead of suspending them."),
    ] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept-new-subjects",
            metavar="ID",
            help="Accept that every sub of this application changes. Can be repeated.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Register and change applications as FILE says: everything in FILE, or nothing.

    Shows every change. Applications that are no longer in FILE are suspended. The command creates, shows and changes no
    client secret: use "sso clients secret". Signs: + new, ~ changed, ^ active again, ! suspended, - deleted.

    The command shows the effective values, also those that FILE leaves out. If every sub of the users of an application
    would change (another redirect host, or pairwise instead of public), nothing is applied unless FILE keeps the sector
    (kept_sector, or sector_identifier_uri on the same host) or --accept-new-subjects names the application.

    Administration scopes (sso:...) and restricted data (nik) that FILE names for applications of the city are granted,
    each on its own line. A scope that was revoked stays revoked until "sso clients grant".
    """
    from sso.clients.catalogue import read_catalogue
    from sso.portal.lifecycle import apply_catalogue
    from sso.settings import load_settings

    catalogue = read_catalogue(file, allow_http_loopback=load_settings().loopback)

    async def only_plan(storage: Storage) -> Plan:
        async with storage.db.write() as session:
            return await _planned(session, catalogue, delete)

    async def change(services: BulkServices) -> Plan:
        async with services.db.write() as session:
            plan = await _planned(session, catalogue, delete)
            await apply_catalogue(session, services, plan, accepted=accept or ())
            return plan

    plan = run(only_plan) if dry_run else run_loaded(change, begins=True)
    _print_plan(catalogue.name, plan, [*plan.warnings, *_shortened(plan, load_settings())], dry_run, json)


def _print_plan(name: str, plan: Plan, warnings: list[str], dry_run: bool, json: bool) -> None:
    """Print a plan, as JSON or for people."""
    if json:
        print_json({"catalogue": name, "applied": not dry_run, **_plan_as_json(plan), "warnings": warnings})
    else:
        _show_plan(plan, warnings, dry_run)


async def _planned(session: AsyncSession, catalogue: Catalogue, delete: bool) -> Plan:
    from sso.clients.catalogue_apply import make_plan
    from sso.oidc.subjects import counted

    plan = await make_plan(session, catalogue, delete=delete)
    return replace(plan, subjects=await counted(session, plan.subjects))


def _plan_as_json(plan: Plan) -> dict[str, object]:
    return {
        **plan.counted(),
        "changes": [
            {"action": change.action, "client_id": change.client_id, "fields": change.fields} for change in plan.changes
        ],
        "privileges": [asdict(privilege) for privilege in plan.privileges],
        "subjects": [asdict(change) for change in plan.subjects],
    }


@app.command("convert")
def convert_command(
    file: Annotated[Path, typer.Argument(help="A realm export of Keycloak (JSON).")],
    format: Annotated[str, typer.Option(help="keycloak.")] = "keycloak",
    catalogue: Annotated[str, typer.Option(help="The name of the catalogue.")] = "keycloak",
    encoding: Annotated[str | None, typer.Option(help="Character encoding. Default: UTF-8.")] = None,
) -> None:
    """Print the clients of another provider as a catalogue. Settings without an equivalent become comments. Nothing is
    registered.

    Save the output as a file, read every comment, then register the applications with "sso clients apply".
    """
    from sso.clients.catalogue import CATALOGUE_NAME
    from sso.clients.keycloak import as_yaml, convert
    from sso.identity.users.readers.documents import read_elements
    from sso.settings import load_settings

    if format != "keycloak":
        refuse(_("%(option)s must be one of %(values)s") % {"option": "--format", "values": "keycloak"})
    if not CATALOGUE_NAME.fullmatch(catalogue):
        refuse(_("--catalogue %(name)s: use a name in small letters, such as tangerang") % {"name": catalogue})
    elements = list(read_elements(file, encoding, "clients"))
    unread = [
        _("line %(line)s: %(text)s") % {"line": element.line, "text": element.reason}
        for element in elements
        if element.row is None
    ]
    converted = convert(
        [element.row for element in elements if element.row is not None], allow_http_loopback=load_settings().loopback
    )
    print(as_yaml(converted, catalogue), end="")
    counts = {
        "count": len(converted.entries),
        "warnings": sum(map(len, converted.warnings.values())),
        "left_out": len(converted.left_out),
        "unread": len(unread),
    }
    complain(
        *[_("a client cannot be read: %(problem)s") % {"problem": problem} for problem in unread],
        _(
            "%(count)s clients converted with %(warnings)s warnings, %(left_out)s left out, %(unread)s not read; every "
            "warning is a comment in the catalogue"
        )
        % counts,
    )


@app.command("list")
def list_clients(
    group_name: Annotated[str, typer.Option("--group", help="Only applications of this group.")] = "",
    json: Json = False,
) -> None:
    """List the registered applications."""
    clients = [client for client in _load() if not group_name or client.meta.group == group_name]
    if json:
        print_json([_brief(client) for client in clients])
        return
    titles = ("client_id", "name", "group", "type", "status", "secret")
    print_table(titles, [tuple(_brief(client).values()) for client in clients])
    print(_("%(count)s applications") % {"count": len(clients)})


@app.command("show")
def show(client_id: ClientId) -> None:
    """Show one application as JSON. Client secrets are never shown."""
    from sso.clients.profiles import relaxations
    from sso.platform.permissions import restricted

    client = next((each for each in _load() if each.client_id == client_id), None)
    if client is None:
        refuse(_("there is no application %(client_id)s; see: sso clients list") % {"client_id": client_id})
    metadata = client.meta.model_dump(mode="json", by_alias=True, exclude_none=True)
    relaxed = {"profile": client.meta.profile, "relaxed": relaxations(client.meta)}
    privileges = restricted(client.scopes)
    print_json({"client_id": client_id, **_brief(client), **relaxed, "privileges": privileges, "metadata": metadata})


@app.command("secret")
def secret(
    client_id: ClientId,
    overlap: Annotated[int, typer.Option(help="Seconds for which earlier secrets stay valid.", min=0)] = 0,
) -> None:
    """Create a new client secret and print it once. Only its hash is stored."""
    from sso.clients.secrets import new_secret

    async def work(storage: Storage) -> str:
        async with storage.db.write() as session:
            return await new_secret(session, storage.box, client_id, overlap_seconds=overlap)

    secret = run(work)
    complain(_("This client secret is shown once."))
    if overlap:
        complain(_("Earlier client secrets stay valid for %(count)s seconds.") % {"count": overlap})
    else:
        complain(_("Earlier client secrets are no longer valid."))
    print(secret)


@app.command("suspend")
def suspend_command(
    client_id: ClientId,
    end_sessions: Annotated[
        bool,
        typer.Option("--end-sessions", help="Also end the sessions of this application, for all applications in them."),
    ] = False,
) -> None:
    """Suspend an application. All its requests are refused, its tokens are revoked, and it is removed from every
    session.

    No catalogue resumes the application; only "sso clients resume" does.
    """
    from sso.portal.lifecycle import COMMAND_LINE, suspend_client

    async def work(services: BulkServices) -> None:
        async with services.db.write() as session:
            await suspend_client(session, services, client_id, actor=COMMAND_LINE, end_sessions=end_sessions)

    run_loaded(work)
    print(_("suspended; see: sso sessions endings"))


@app.command("resume")
def resume_command(client_id: ClientId) -> None:
    """Resume a suspended application. Tokens that were revoked stay revoked."""
    from sso.portal.lifecycle import COMMAND_LINE, resume_client

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            await resume_client(session, client_id, actor=COMMAND_LINE)

    run(work)
    print(_("resumed"))


@app.command("remove")
def remove_command(
    client_id: ClientId, sure: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Remove an application. Its tokens and sessions end, and the consents of users are deleted.

    Applications of a catalogue file are removed from the file instead, with "sso clients apply --delete".
    """
    from sso.portal.lifecycle import COMMAND_LINE, remove_client

    if not sure:
        typer.confirm(_("Remove %(name)s?") % {"name": client_id}, abort=True)

    async def work(services: BulkServices) -> None:
        async with services.db.write() as session:
            await remove_client(session, services, client_id, actor=COMMAND_LINE)

    run_loaded(work)
    print(_("removed; see: sso sessions endings"))


@app.command("invite")
def invite_command(
    note: Annotated[str, typer.Argument(help="Who receives the token. Kept with the token and in the audit log.")],
    profile: Annotated[str, typer.Option(help=f"Which rules may be relaxed: {', '.join(PROFILES)}.")] = "standard",
    days: Annotated[int, typer.Option(help="Days in which the token can be used.", min=1, max=365)] = 7,
    uses: Annotated[
        int, typer.Option(help="Number of applications that can register with the token; 0: no limit.", min=0)
    ] = 1,
) -> None:
    """Create an initial access token for client registration and print it once."""
    from sso.clients.dynamic_registration import invite

    if profile not in PROFILES:
        refuse(_("%(option)s must be one of %(values)s") % {"option": "--profile", "values": ", ".join(PROFILES)})

    async def work(storage: Storage) -> str:
        async with storage.db.write() as session:
            return await invite(session, profile, note[:200], days=days, uses=uses or None)

    secret = run(work)
    complain(_("This initial access token is shown once. It can be used for %(count)s days.") % {"count": days})
    print(secret)


Reason = Annotated[str, typer.Option("--reason", help="Reason; kept with the grant and in the audit log.")]
Privilege = Annotated[str, typer.Argument(metavar="SCOPE", help="Such as sso:users:read, or nik.")]


@app.command("grants")
def grants_command(
    client_id: Annotated[str, typer.Argument(metavar="ID", help="The client_id. Default: all applications.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Also list revoked grants.")] = False,
    json: Json = False,
) -> None:
    """List the administration scopes and restricted data of applications: who granted them, when and why."""
    from sso.clients import store
    from sso.clients.privileges import privilege_view

    async def work(storage: Storage) -> list[dict[str, object]]:
        async with storage.db.read() as session:
            privileges = await store.all_privileges(session, client_id or None, active=not everything)
            return [{"client_id": privilege.client_id, **privilege_view(privilege)} for privilege in privileges]

    rows = run(work)
    titles = ("client_id", "privilege", "without_person", "granted_by", "granted_at", "reason", "revoked_at")
    print_rows(titles, rows, json=json)


@app.command("grant")
def grant_command(
    client_id: ClientId,
    privilege: Privilege,
    reason: Reason,
    without_person: Annotated[
        bool,
        typer.Option("--without-person", help="Also for tokens without a user, such as those of client_credentials."),
    ] = False,
) -> None:
    """Grant one administration scope, or restricted data, to a production application of the city.

    The scope must be registered for the application too.
    """
    from sso.clients.privileges import OPERATOR, grant_privilege
    from sso.platform.actor import CLI

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            await grant_privilege(
                session,
                client_id,
                privilege,
                reason=reason,
                without_person=without_person,
                authority=OPERATOR,
                actor=CLI,
            )

    run(work)
    print(_("granted"))


@app.command("revoke-grant")
def revoke_grant_command(client_id: ClientId, privilege: Privilege, reason: Reason) -> None:
    """Revoke one administration scope, or restricted data, from an application. Access tokens with it stop working at
    once.

    No catalogue grants it again; only "sso clients grant" does.
    """
    from sso.clients.privileges import OPERATOR, revoke_privilege
    from sso.platform.actor import CLI

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            await revoke_privilege(session, client_id, privilege, reason=reason, authority=OPERATOR, actor=CLI)

    run(work)
    print(_("revoked"))


def _load() -> list[Client]:
    from sso.clients.registry import Registry
    from sso.platform.db import read_versions

    async def work(storage: Storage) -> list[Client]:
        registry = Registry()
        async with storage.db.read() as session:
            await registry.load(session, await read_versions(session))
        return sorted(registry, key=lambda client: client.client_id)

    return run(work)


def _brief(client: Client) -> dict[str, object]:
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


def _show_plan(plan: Plan, warnings: list[str], dry_run: bool) -> None:
    for change in plan.changes[:SHOWN_CHANGES]:
        print(_change_line(plan, change))
        if change.action == "create":
            print(f"      {_implied(plan.catalogue.applications[change.client_id])}")
        if change.action in ("update", "resume"):
            for name, (old, new) in change.fields.items():
                print(f"      {name}: {old!r} -> {new!r}")
    if len(plan.changes) > SHOWN_CHANGES:
        print("  " + _("... and %(count)s more; --json shows all") % {"count": len(plan.changes) - SHOWN_CHANGES})
    for privilege in plan.privileges[:SHOWN_CHANGES]:
        print(_privilege_line(privilege))
    if len(plan.privileges) > SHOWN_CHANGES:
        more = _("... and %(count)s more privileges; --json shows all")
        print("  " + more % {"count": len(plan.privileges) - SHOWN_CHANGES})
    for one_change in plan.subjects:
        accepted = f"--accept-new-subjects {one_change.client_id}"
        text = f"{one_change.client_id}: {one_change.text()}; {one_change.advice(accepted)}"
        print("  " + _("WARNING: %(text)s") % {"text": text})
    for warning in warnings[:SHOWN_CHANGES]:
        print("  " + _("WARNING: %(text)s") % {"text": warning})
    counts = plan.counted()
    texts = {
        "create": _("%(count)s new"),
        "update": _("%(count)s changed"),
        "resume": _("%(count)s active again"),
        "suspend": _("%(count)s suspended"),
        "delete": _("%(count)s deleted"),
        "unchanged": _("%(count)s unchanged"),
    }
    parts = [
        text % {"count": counts[action]} for action, text in texts.items() if counts[action] or action == "unchanged"
    ]
    result = _("nothing to do") if plan.is_empty else _("would be applied") if dry_run else _("applied")
    total = _("%(count)s applications") % {"count": len(plan.catalogue.applications)}
    print(f"{plan.catalogue.name}: {total}; {', '.join(parts)}; {result}")


_LIFETIMES = {"access_token_seconds": "access_token_lifetime", "refresh_token_seconds": "refresh_token_lifetime"}
"""What an application may shorten, and the setting that limits it."""


def _shortened(plan: Plan, settings: Settings) -> list[str]:
    """Return a warning for each lifetime that is longer than the city's: the city's holds."""
    from sso.settings import variable, whole_seconds

    return [
        _("%(client_id)s: %(name)s: %(value)s is more than %(setting)s allows: %(limit)s is used")
        % {"client_id": client_id, "name": name, "value": value, "setting": variable(setting), "limit": limit}
        for client_id, metadata in plan.catalogue.applications.items()
        for name, setting in _LIFETIMES.items()
        if (value := getattr(metadata, name)) is not None
        and value > (limit := whole_seconds(getattr(settings, setting)))
    ]


def _implied(metadata: ClientMetadata) -> str:
    """Return what holds for an application that its entry may not say, in one line."""
    pairwise = metadata.subject_type == "pairwise"
    parts = [
        _("first party") if metadata.first_party else _("third party"),
        f"subject_type {metadata.subject_type}" + (f" ({metadata.sector_identifier})" if pairwise else ""),
        metadata.token_endpoint_auth_method,
        _("PKCE required") if metadata.require_pkce else _("PKCE not required"),
        f"scope {metadata.scope}" if metadata.scope else _("no scope"),
    ]
    return ", ".join(parts)


def _privilege_line(change: PrivilegeChange) -> str:
    names = {"client_id": change.client_id, "privilege": change.privilege}
    if change.action == "kept":
        text = _(
            "%(client_id)s: %(privilege)s stays revoked; to grant it again: "
            "sso clients grant %(client_id)s %(privilege)s --reason TEXT"
        )
        return "  " + text % names
    alone = " " + _("(also without a user)") if change.without_person else ""
    return f"  {change.client_id}: {change.action} {change.privilege}{alone}"


def _change_line(plan: Plan, change: Change) -> str:
    application = plan.catalogue.applications.get(change.client_id)
    description = (
        f"  {application.client_name} ({application.group or _('no group')}, {application.type})" if application else ""
    )
    return f"  {_SIGNS[change.action]} {change.client_id}{description}"
