"""``sso deliveries``: what is sent to applications and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sso.cli.common import Json, an_id, check_choice, first_of, group, print_json, print_table, refuse, run
from sso.platform.messages import N_, _
from sso.platform.outbox.models import DeliveryKind, DeliveryStatus

if TYPE_CHECKING:
    from sso.platform.outbox.models import Delivery
    from sso.platform.services import Storage

app = group()

STATUSES = tuple(DeliveryStatus)
KINDS = tuple(DeliveryKind)
NAMES = (
    "id", "kind", "status", "client_id", "session_id", "receiver", "attempts", "created_at", "first_attempt_at",
    "next_attempt_at", "finished_at", "last_error", "receipt",
)  # fmt: skip


@app.command("list")
def list_command(
    status: Annotated[str | None, typer.Option(help=f"Only those: {', '.join(STATUSES)}.")] = None,
    kind: Annotated[str | None, typer.Option(help=f"Only those: {', '.join(KINDS)}.")] = None,
    client: Annotated[str | None, typer.Option("--client", help="Only deliveries to this application.")] = None,
    before: Annotated[str | None, typer.Option(help="Start before this delivery.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number.", min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List deliveries, the newest first."""
    from sso.platform.outbox import store
    from sso.platform.outbox.store import DeliveryFilter

    if status is not None:
        check_choice("--status", status, STATUSES)
    if kind is not None:
        check_choice("--kind", kind, KINDS)
    start = an_id(before, N_("delivery")) if before else None

    async def work(storage: Storage) -> list[Delivery]:
        async with storage.db.read() as session:
            return await store.page_of(session, DeliveryFilter(status, kind, client), start, limit + 1)

    listed = first_of(run(work), limit, _("For more, use --before with the last ID, or a higher --limit."))
    if json:
        print_json([{name: getattr(delivery, name) for name in NAMES} for delivery in listed])
        return
    rows = [
        (
            delivery.id,
            delivery.kind,
            delivery.status,
            delivery.client_id or delivery.receiver,
            delivery.attempts,
            delivery.last_error,
        )
        for delivery in listed
    ]
    print_table(("id", "kind", "status", "to", "attempts", "failure"), rows)


@app.command("retry")
def retry_command(delivery_id: Annotated[str, typer.Argument(metavar="ID", help="See: sso deliveries list")]) -> None:
    """Send a failed or waiting delivery again. A server or a worker sends it."""
    from sso.platform.audit import record
    from sso.platform.outbox import store

    chosen = an_id(delivery_id, N_("delivery"))

    async def work(storage: Storage) -> bool:
        async with storage.db.write() as session:
            delivery = await store.retry(session, chosen)
            if delivery is not None:
                record(session, "delivery.retried", actor="cli", subject=str(chosen), client_id=delivery.client_id)
            return delivery is not None

    if not run(work):
        text = _("there is no delivery %(id)s that can be sent again; see: sso deliveries list")
        refuse(text % {"id": delivery_id})
    print(_("queued: a server or a worker sends the delivery again"))
