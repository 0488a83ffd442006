"""``sso reviews``: access reviews, in which the owners of an application confirm or end each of its roles."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import Json, an_id, group, print_rows, refuse, run_loaded
from sso.platform.messages import N_, _

if TYPE_CHECKING:
    from sso.accounts.services import AccountActions

app = group()

Reason = Annotated[str, typer.Option(help="Why, for the audit log.")]
ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID")]
COLUMNS = ("id", "client_id", "status", "started_at", "ends_at", "unconfirmed", "reason")


@app.command("list")
def list_command(client: ClientId, json: Json = False) -> None:
    """List the access reviews of an application, the newest first. Of a running one, "unconfirmed" is the number of
    roles that nobody has confirmed yet.
    """
    from sso import clock
    from sso.accounts.access_reviews import reviews_of
    from sso.identity.groups.assignments import count_unconfirmed

    async def work(provider: AccountActions) -> list[dict[str, object]]:
        async with provider.db.read() as session:
            rows = []
            for review in await reviews_of(session, client):
                row = {name: getattr(review, name) for name in COLUMNS}
                if review.status == "running":
                    row["unconfirmed"] = await count_unconfirmed(session, client, review.started_at, clock.now())
                rows.append(row)
            return rows

    rows = run_loaded(work)
    print_rows(COLUMNS, rows, json=json)


@app.command("start")
def start_command(
    client: ClientId,
    until: Annotated[str, typer.Option(help="The last day to confirm, such as 2027-01-31 (UTC).")],
    reason: Reason,
) -> None:
    """Start an access review of an application, and tell its owners, or administrators where it has none."""
    from sso.accounts.access_reviews import start_review
    from sso.accounts.role_files import EVERYTHING
    from sso.platform.actor import CLI

    try:
        last_day = date.fromisoformat(until)
    except ValueError:
        refuse(_("--until: write a day such as 2027-01-31"))
    ends_at = datetime.combine(last_day + timedelta(days=1), time(), UTC)

    async def work(provider: AccountActions) -> str:
        async with provider.db.write() as session:
            review = await start_review(
                session, provider, client, ends_at=ends_at, giver=EVERYTHING, actor=CLI, reason=reason
            )
            return str(review.id)

    print(_("started: %(id)s") % {"id": run_loaded(work)})


@app.command("confirm")
def confirm_command(
    assignments: Annotated[list[str], typer.Argument(metavar="ID...", help="Role assignments; see: sso roles list")],
) -> None:
    """Confirm roles: all of them, or none. To end one, use "sso roles end"."""
    from sso.accounts.role_assignments import confirm_role
    from sso.accounts.role_files import EVERYTHING
    from sso.platform.actor import CLI

    chosen = [an_id(assignment, N_("role assignment")) for assignment in assignments]

    async def work(provider: AccountActions) -> None:
        async with provider.db.write() as session:
            for assignment_id in chosen:
                await confirm_role(session, provider, assignment_id, giver=EVERYTHING, actor=CLI)

    run_loaded(work)
    print(_("confirmed: %(count)s") % {"count": len(chosen)})


@app.command("cancel")
def cancel_command(
    review: Annotated[str, typer.Argument(metavar="ID", help="See: sso reviews list")], reason: Reason
) -> None:
    """Cancel a running access review. Roles stay as they are."""
    from sso.accounts.access_reviews import cancel_review
    from sso.accounts.role_files import EVERYTHING
    from sso.platform.actor import CLI

    chosen = an_id(review, N_("access review"))

    async def work(provider: AccountActions) -> None:
        async with provider.db.write() as session:
            await cancel_review(session, provider, chosen, giver=EVERYTHING, actor=CLI, reason=reason)

    run_loaded(work)
    print(_("cancelled"))
