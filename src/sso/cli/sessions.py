"""``sso sessions``: who is signed in."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from sso import clock
from sso.cli.common import Json, complain, first_of, group, print_json, print_table, refuse, run, run_loaded
from sso.platform.messages import _
from sso.platform.security.numbers import read_uuid

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from sso.accounts.services import AccountActions
    from sso.identity.sessions.store import SessionFilter
    from sso.logout.bulk import BulkServices
    from sso.logout.delivery_report import DeliveryReport
    from sso.oidc.models import BulkRevocation
    from sso.platform.security.encryption import SecretBox
    from sso.platform.services import Storage

app = group()
REST_SECONDS = 0.05

User = Annotated[str | None, typer.Option("--user", help="Only sessions of this user.")]
Client = Annotated[str | None, typer.Option("--client", help="Only sessions with this application.")]


class ListedSession(TypedDict):
    """A session as it is printed."""

    id: str
    user: str
    name: str
    started: datetime
    last_used: datetime
    address: str | None
    device: str
    remembered: bool
    ended: datetime | None
    reason: str | None
    clients: list[str]


@app.command("list")
def list_command(
    user: User = None,
    client: Client = None,
    ended: Annotated[bool, typer.Option("--ended", help="List ended sessions, the latest first.")] = False,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List active sessions, the newest first, with the applications in each session."""
    from sso.identity.sessions import store
    from sso.identity.sessions.devices import device_of

    async def work(storage: Storage) -> list[ListedSession]:
        async with storage.db.read() as session:
            chosen = await _requested(storage.box, session, None, user, client)
            if ended:
                listed = await store.ended(session, chosen, limit + 1)
            else:
                now, idle = clock.now(), storage.settings.session_idle_timeout
                listed = await store.active(session, chosen, now, now - idle, limit + 1)
            return [
                {
                    "id": str(sso_session.id),
                    "user": str(sso_session.user_id),
                    "name": person.name,
                    "started": sso_session.auth_time,
                    "last_used": sso_session.last_seen_at,
                    "address": sso_session.address,
                    "device": device_of(sso_session.user_agent or "").text,
                    "remembered": sso_session.remembered_until is not None,
                    "ended": sso_session.ended_at,
                    "reason": sso_session.end_reason,
                    "clients": await store.used_clients(session, sso_session.id),
                }
                for sso_session, person in listed
            ]

    rows = first_of(run(work), limit, _("For more, narrow the list with --user or --client, or use a higher --limit."))
    if json:
        print_json(rows)
        return
    print_table(("id", "person", "last used", "device", "address", "applications"), [_cells(row) for row in rows])


def _cells(row: ListedSession) -> tuple[object, ...]:
    last_used = row["last_used"].isoformat(timespec="seconds")
    return (row["id"], row["name"], last_used, row["device"], row["address"], len(row["clients"]))


@app.command("delivery-report")
def report_command(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="An ended session; see: sso sessions list --ended")],
    json: Json = False,
) -> None:
    """Show the delivery report of an ended session: each application, how it is notified, and whether it has
    confirmed.
    """
    from sso.logout.delivery_report import delivery_report_of

    try:
        chosen = read_uuid(session_id)
    except ValueError:
        refuse(
            _("%(id)s is not a session ID; see: %(command)s")
            % {"id": repr(session_id), "command": "sso sessions list --ended"}
        )

    async def work(services: BulkServices) -> DeliveryReport | None:
        async with services.db.read() as session:
            return await delivery_report_of(session, services.registry, chosen)

    report = run_loaded(work)
    if report is None:
        refuse(_("There is no ended session %(id)s; see: sso sessions list --ended") % {"id": repr(session_id)})
    if json:
        seconds = {"open": report.open, "seconds_to_last_confirmation": report.seconds_to_last_confirmation}
        print_json({**asdict(report), **seconds})
        return
    ended = {"person": report.person, "time": report.ended_at.isoformat(timespec="seconds"), "reason": report.reason}
    print(_("%(person)s: ended %(time)s (%(reason)s)") % ended)
    rows = [
        (
            application.client_id,
            application.name,
            application.how,
            application.state,
            application.attempts,
            application.failure,
        )
        for application in report.applications
    ]
    print_table(("application", "name", "how", "state", "attempts", "failure"), rows)
    print(_summary(report))


def _summary(report: DeliveryReport) -> str:
    if report.open:
        return _("%(count)s applications have not been notified yet") % {"count": report.open}
    seconds = report.seconds_to_last_confirmation
    if seconds is not None:
        text = _("every application that can confirm has confirmed, the last after %(seconds)s seconds")
        return text % {"seconds": f"{seconds:.1f}"}
    return _("no application has to confirm")


@app.command("revoke")
def revoke(
    session_id: Annotated[str | None, typer.Option("--session", help="This session.")] = None,
    user: User = None,
    client: Client = None,
    everything: Annotated[bool, typer.Option("--all", help="Every session.")] = False,
    background: Annotated[
        bool,
        typer.Option("--background", help="Only start; a server or a worker does the work. See: sso sessions endings"),
    ] = False,
    note: Annotated[str, typer.Option(help="Reason, for the audit log.")] = "",
) -> None:
    """End sessions: their tokens are revoked, and every application in them is notified.

    Many sessions end in small batches, so that sign-in stays fast. If the command is interrupted, a server or a worker
    continues.
    """
    from sso.accounts.administration import end_session_of_person
    from sso.identity.sessions.reasons import EndReason
    from sso.logout.bulk import begin
    from sso.platform.actor import CLI

    if sum(1 for option in (session_id, user, client, everything) if option) != 1:
        refuse(_("Say which sessions: use one of --session, --user, --client and --all."))

    async def work(services: AccountActions) -> int | None:
        async with services.db.write() as session:
            chosen = await _requested(services.box, session, session_id, user, client)
            if chosen.session_id is not None:
                ended = await end_session_of_person(session, services, chosen.session_id, actor=CLI, note=note[:200])
                return int(ended)
            begun = await begin(session, chosen, EndReason.ADMINISTRATOR, actor=CLI, note=note[:200])
        return None if background else await _to_the_end(services, begun.id)

    count = run_loaded(work)
    if count is None:
        print(_("started; see: sso sessions endings"))
        return
    text = _(
        "%(count)s sessions were ended; applications are being notified "
        "(sso sessions list --ended, sso sessions delivery-report ID)"
    )
    print(text % {"count": count})


async def _to_the_end(services: AccountActions, ending_id: uuid.UUID) -> int:
    """Do part after part, also beside a server that does the same, and show how far it is."""
    from sso.logout.bulk import get_ending, work_once

    while True:
        now = await work_once(services, ending_id)
        if now is None:  # another process is at it, or it is over
            async with services.db.read() as session:
                now = await get_ending(session, ending_id)
        if now is None or now.status != "running":
            return now.ended if now else 0
        complain(_("%(count)s of %(total)s") % {"count": now.ended, "total": now.total})
        await asyncio.sleep(REST_SECONDS)


@app.command("endings")
def endings_command(
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 20, json: Json = False
) -> None:
    """Show the progress of bulk revocations, the newest first."""
    from sso.logout.bulk import endings

    async def work(storage: Storage) -> list[BulkRevocation]:
        async with storage.db.read() as session:
            return await endings(session, limit + 1)

    revocations = first_of(run(work), limit, _("For more, use a higher --limit."))
    names = ("id", "status", "ended", "total", "client_id", "user_id", "reason", "actor", "created_at", "finished_at")
    if json:
        print_json([{name: getattr(ending, name) for name in names} for ending in revocations])
        return
    print_table(names[:6], [tuple(getattr(ending, name) for name in names[:6]) for ending in revocations])


@app.command("stop")
def stop_command(ending_id: Annotated[str, typer.Argument(metavar="ID", help="See: sso sessions endings")]) -> None:
    """Stop a bulk revocation. Sessions that have ended stay ended."""
    from sso.logout.bulk import stop_ending
    from sso.platform.actor import CLI

    try:
        chosen = read_uuid(ending_id)
    except ValueError:
        refuse(_("%(id)s is not a valid ID; see: sso sessions endings") % {"id": repr(ending_id)})

    async def work(storage: Storage) -> bool:
        async with storage.db.write() as session:
            return await stop_ending(session, chosen, actor=CLI)

    if not run(work):
        refuse(_("%(id)s is not running; see: sso sessions endings") % {"id": ending_id})
    print(_("stopped"))


async def _requested(
    box: SecretBox, session: AsyncSession, session_id: str | None, user: str | None, client: str | None
) -> SessionFilter:
    from sso.identity.sessions.store import SessionFilter
    from sso.identity.users.service import find

    try:
        chosen = read_uuid(session_id) if session_id else None
    except ValueError:
        refuse(
            _("%(id)s is not a session ID; see: %(command)s") % {"id": repr(session_id), "command": "sso sessions list"}
        )
    person = (await find(session, user, box)).id if user else None
    return SessionFilter(session_id=chosen, user_id=person, client_id=client)
