"""``sso applications``: what teams look after in the developers' portal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from sso.cli.common import Json, check_choice, complain, group, print_json, print_table, refuse, run, run_loaded
from sso.platform.messages import _
from sso.portal.choices import ROLES, Role, State

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from sso.clients.models import Application, RelyingPartyCheck
    from sso.platform.services import Storage
    from sso.portal.services import CheckServices

app = group()

AcceptNewSubjects = Annotated[
    str,
    typer.Option(
        "--accept-new-subjects", metavar="ID", help="The client_id, to accept that every sub of its users changes."
    ),
]
STATES = get_args(State)
ApplicationId = Annotated[str, typer.Argument(metavar="ID", help="The client_id in production.")]
Text = Annotated[str, typer.Option("--text", help="A message for the team or the administrators.")]


@app.command("list")
def list_command(
    state: Annotated[str, typer.Option(help=f"Only those in this state: {', '.join(STATES)}.")] = "", json: Json = False
) -> None:
    """List the applications of teams."""
    from sso.portal import applications as apps

    async def work(storage: Storage) -> list[Application]:
        async with storage.db.read() as session:
            states = (state,) if state else ()
            return await apps.page_of_applications(session, states=states, limit=100_000)

    if state:
        check_choice("--state", state, STATES)
    applications = run(work)
    rows = [
        (application.application_id, application.state, application.kind, application.group or "", application.name)
        for application in applications
    ]
    if json:
        titles = ("application_id", "state", "kind", "group", "name")
        print_json([dict(zip(titles, row, strict=True)) for row in rows])
    else:
        print_table(("id", "state", "kind", "group", "name"), rows)


@app.command("show")
def show(application_id: ApplicationId) -> None:
    """Show an application of a team: the requested configuration, its changes to production, and the members of the
    team.
    """
    from sso.clients.models import Application
    from sso.portal import applications as apps
    from sso.portal import teams
    from sso.portal.rp_check.results import passes_now
    from sso.portal.rp_check.store import last_check

    async def work(storage: Storage) -> dict[str, object]:
        async with storage.db.read() as session:
            application = await session.get(Application, application_id)
            if application is None:
                refuse(_("no team manages %(client_id)s; see: sso applications list") % {"client_id": application_id})
            changes, missing = await apps.outlook(session, application, allow_http_loopback=storage.settings.loopback)
            team = await teams.team_of(session, application_id)
            return {
                "application_id": application_id,
                "state": application.state,
                "kind": application.kind,
                "document": application.document,
                "sandbox": application.sandbox,
                "granted": application.granted,
                "revision": application.revision,
                "changes": changes,
                "missing": missing,
                "checked": passes_now(await last_check(session, application_id), application),
                "team": {str(member.user_id): member.role for member in team},
            }

    print_json(run(work))


@app.command("put")
def put(
    file: Annotated[Path, typer.Argument(help="YAML with application_id, kind, document and sandbox.")],
    owner: Annotated[str, typer.Option(help="Owner of a new application: username, e-mail or user ID.")] = "",
) -> None:
    """Create the application of FILE with its sandbox, or change its requested configuration. Production changes only
    by approval.

    Prints the client secret of a new sandbox once.
    """
    from sso.identity.users.service import find
    from sso.portal import applications as apps
    from sso.portal.applications import Kind, RequestedSettings
    from sso.portal.lifecycle import COMMAND_LINE
    from sso.portal.new_application import begin_application
    from sso.portal.sandbox import own_redirect_uri

    document = _document_of(file)
    requested = RequestedSettings(
        cast(Kind, document.get("kind", "web")),
        cast(Mapping[str, object], document.get("document") or {}),
        cast(Mapping[str, object], document.get("sandbox") or {}),
    )

    async def work(storage: Storage) -> str | None:
        async with storage.db.write() as session:
            application = await apps.lock_application(session, str(document["application_id"]))
            uri = own_redirect_uri(storage.settings)
            if application is not None:
                await apps.change_application(
                    session, application, requested, revision=None, own_uri=uri, actor=COMMAND_LINE
                )
                return None
            if not owner:
                refuse(_("The application is new: name its owner with --owner."))
            user = await find(session, owner, storage.box)
            return await begin_application(
                session,
                storage.settings,
                storage.box,
                str(document["application_id"]),
                requested,
                owner=user.id,
                draft=False,
                actor=COMMAND_LINE,
            )

    secret = run(work)
    if secret is not None:
        complain(_("This client secret of the sandbox is shown once."))
        print(secret)


def _document_of(file: Path) -> dict[str, object]:
    """Read the file of ``put``."""
    import yaml

    from sso.clients.yaml_documents import read_yaml

    try:
        document = read_yaml(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        refuse(_("%(file)s cannot be read: %(error)s") % {"file": file, "error": error})
    names = {"application_id", "kind", "document", "sandbox"}
    if not isinstance(document, dict) or "application_id" not in document or set(document) - names:
        text = _("%(file)s must have the keys application_id, kind, document and sandbox, and no others")
        refuse(text % {"file": file})
    return document


@app.command("check")
def check(
    application_id: ApplicationId,
    page: Annotated[str, typer.Option(help="A page of the sandbox application that shows the signed-in user.")] = "",
    json: Json = False,
) -> None:
    """Run the relying party check against the sandbox of an application and list what the application wrongly accepts.

    During the check the application must use the issuer ISSUER/check/ID, and "sso serve" must be running. Exit code 1:
    the application failed.
    """
    from sso.portal.lifecycle import COMMAND_LINE
    from sso.portal.rp_check.results import findings_of, passed
    from sso.portal.rp_check.runner import Check, begin_check
    from sso.portal.rp_check.store import last_check

    async def work(services: CheckServices) -> RelyingPartyCheck | None:
        async with services.db.write() as session:
            application = await _present(session, application_id)
            rp_check = await begin_check(
                session, services.registry, services.settings, application, page, actor=COMMAND_LINE
            )
        await Check(services, rp_check).run()
        async with services.db.read() as session:
            return await last_check(session, application_id)

    last = run_loaded(work)
    assert last is not None
    findings = findings_of(last)
    if json:
        print_json({"passed": passed(last), "findings": findings})
    else:
        print_table(
            ("case", "outcome", "detail"),
            [(finding["case"], finding["outcome"], finding["detail"]) for finding in findings],
        )
    if not passed(last):
        raise SystemExit(1)


@app.command("submit")
def submit(application_id: ApplicationId, text: Text = "", accept: AcceptNewSubjects = "") -> None:
    """Submit the requested configuration of an application for production."""
    from sso.portal.approval import submit_application
    from sso.portal.lifecycle import COMMAND_LINE

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            application = await _present(session, application_id)
            await submit_application(session, storage.settings, application, text, accepted=accept, actor=COMMAND_LINE)

    run(work)


@app.command("approve")
def approve(
    application_id: ApplicationId,
    revision: Annotated[int, typer.Option(help="The revision that you reviewed; see: sso applications show")],
    first_party: Annotated[
        bool | None,
        typer.Option(
            "--first-party/--third-party",
            help="Whether the application belongs to the city: users are not asked for consent.",
        ),
    ] = None,
    text: Text = "",
    accept: AcceptNewSubjects = "",
) -> None:
    """Approve the submitted configuration of an application, in the revision that you reviewed."""
    from sso.clients.privileges import OPERATOR
    from sso.portal.approval import approve_application
    from sso.portal.lifecycle import COMMAND_LINE

    granted = {} if first_party is None else {"first_party": first_party}

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            application = await _present(session, application_id)
            await approve_application(
                session,
                storage.settings,
                application,
                text,
                granted,
                revision=revision,
                authority=OPERATOR,
                accepted=accept,
                actor=COMMAND_LINE,
            )

    run(work)


@app.command("send-back")
def send_back(
    application_id: ApplicationId, text: Annotated[str, typer.Option("--text", help="What must change.")]
) -> None:
    """Return an application to its team and say what must change before approval."""
    from sso.portal import applications as apps
    from sso.portal.lifecycle import COMMAND_LINE

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            await apps.send_back(session, await _present(session, application_id), text, actor=COMMAND_LINE)

    run(work)


@app.command("member")
def member(
    application_id: ApplicationId,
    who: Annotated[str, typer.Argument(help="Username, e-mail or user ID.")],
    role: Annotated[str, typer.Option(help=f"{', '.join(ROLES)}, or none: take them out.")] = "member",
) -> None:
    """Add somebody to a team, change their role, or remove them. The last owner stays."""
    from sso.identity.users.service import find
    from sso.portal import teams
    from sso.portal.lifecycle import COMMAND_LINE

    async def work(storage: Storage) -> None:
        async with storage.db.write() as session:
            await _present(session, application_id)
            user = await find(session, who, storage.box)
            if role == "none":
                await teams.remove_member(session, application_id, user.id, actor=COMMAND_LINE)
            elif role in ROLES:
                member_role: Role = "owner" if role == "owner" else "member"
                await teams.add_member(session, application_id, user.id, member_role, actor=COMMAND_LINE)
            else:
                refuse(
                    _("%(option)s must be one of %(values)s") % {"option": "--role", "values": "owner, member, none"}
                )

    run(work)


async def _present(session: AsyncSession, application_id: str) -> Application:
    from sso.portal import applications as apps

    application = await apps.lock_application(session, application_id)
    if application is None:
        refuse(_("no team manages %(client_id)s; see: sso applications list") % {"client_id": application_id})
    return application
