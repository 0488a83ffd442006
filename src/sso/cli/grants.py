"""``sso grants``: what people allowed applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sso import clock
from sso.cli.common import Json, an_id, first_of, group, print_rows, refuse, run
from sso.platform.messages import N_, _

if TYPE_CHECKING:
    from sso.platform.services import Storage

app = group()


@app.command("list")
def list_command(
    user: Annotated[str | None, typer.Option("--user", help="Only grants of this user.")] = None,
    client: Annotated[str | None, typer.Option("--client", help="Only grants to this application.")] = None,
    before: Annotated[str | None, typer.Option(help="Start before this grant.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List active grants, the newest first."""
    from sso.identity.users.service import find
    from sso.oidc.store import store
    from sso.oidc.store.store import GrantFilter

    start = an_id(before, N_("grant")) if before else None

    async def work(storage: Storage) -> list[dict[str, object]]:
        async with storage.db.read() as session:
            idle = storage.settings.session_idle_timeout
            person, now = (await find(session, user, storage.box)).id if user else None, clock.now()
            chosen_grants = GrantFilter(user_id=person, client_id=client)
            grants = await store.page_of_grants(session, chosen_grants, start, now, now - idle, limit + 1)
        names = ("id", "client_id", "user_id", "session_id", "scope", "offline", "created_at", "expires_at")
        return [{name: getattr(grant, name) for name in names} for grant in grants]

    rows = first_of(run(work), limit, _("For more, use --before with the last ID, or a higher --limit."))
    titles = ("id", "client_id", "user_id", "scope", "offline")
    print_rows(titles, rows, json=json)


@app.command("revoke")
def revoke_command(grant_id: Annotated[str, typer.Argument(metavar="ID", help="See: sso grants list")]) -> None:
    """Revoke a grant: all its tokens stop working at once. The session continues."""
    from sso.oidc.store import store
    from sso.platform.audit import record

    chosen = an_id(grant_id, N_("grant"))

    async def work(storage: Storage) -> bool:
        now = clock.now()
        async with storage.db.write() as session:
            grant = await store.get_grant(session, chosen, now, now - storage.settings.session_idle_timeout)
            if grant is None or not await session.run_sync(lambda sync: store.revoke_grant(sync, chosen, now)):
                return False
            subject, data = str(grant.user_id), {"grant": str(chosen)}
            record(session, "grant.revoked", actor="cli", subject=subject, client_id=grant.client_id, data=data)
            return True

    if not run(work):
        refuse(_("There is no active grant %(id)s; see: sso grants list") % {"id": grant_id})
    print(_("revoked"))
