"""``sso sessions``: who is signed in."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer

from sso import clock
from sso.cli.common import Json, group, print_json, print_table, refuse, run
from sso.oidc.ending import end_matching
from sso.oidc.provider import Provider
from sso.sessions import store
from sso.sessions.store import SessionFilter
from sso.users.service import find

app = group("Who is signed in.")

User = Annotated[str | None, typer.Option("--user", help="Sessions of this person.")]
Client = Annotated[str | None, typer.Option("--client", help="Sessions in which this application takes part.")]


@app.command("list")
def list_command(
    user: User = None,
    client: Client = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List living sessions, the newest first, with the applications that take part in each."""

    async def work(provider: Provider) -> list[dict[str, Any]]:
        async with provider.db.read() as session:
            wanted = await _wanted(session, None, user, client)
            found = await store.living(session, wanted, clock.now(), clock.now() - provider.idle, limit)
            return [
                {
                    "id": str(one.id),
                    "user": str(one.user_id),
                    "name": person.name,
                    "started": one.auth_time,
                    "last_used": one.last_seen_at,
                    "address": one.address,
                    "clients": await store.used_clients(session, one.id),
                }
                for one, person in found
            ]

    found = run(work)
    if json:
        print_json(found)
        return
    rows = [
        (one["id"], one["name"], one["last_used"].isoformat(timespec="seconds"), one["address"], len(one["clients"]))
        for one in found
    ]
    print_table(("id", "person", "last used", "address", "applications"), rows)


@app.command("revoke")
def revoke(
    session_id: Annotated[str | None, typer.Option("--session", help="This session.")] = None,
    user: User = None,
    client: Client = None,
    everything: Annotated[bool, typer.Option("--all", help="Every session.")] = False,
) -> None:
    """End sessions: tokens are over, and every application that took part is told."""
    if sum(1 for one in (session_id, user, client, everything) if one) != 1:
        refuse("say which sessions: one of --session, --user, --client or --all")

    async def work(provider: Provider) -> int:
        async with provider.db.write() as session:
            wanted = await _wanted(session, session_id, user, client)
            return await end_matching(session, provider, wanted, "administrator", actor="cli")

    count = run(work, load=True)
    print(f"{count} sessions were ended; applications are being told")


async def _wanted(session: Any, session_id: str | None, user: str | None, client: str | None) -> SessionFilter:
    try:
        chosen = uuid.UUID(session_id) if session_id else None
    except ValueError:
        refuse(f"{session_id!r} is not a session id; see: sso sessions list")
    person = (await find(session, user)).id if user else None
    return SessionFilter(session_id=chosen, user_id=person, client_id=client)
