"""``sso webhooks``: servers that are told of what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sso import clock
from sso.cli.common import Json, an_id, complain, group, print_json, print_table, refuse, run
from sso.platform.messages import N_, _

if TYPE_CHECKING:
    from sso.platform.outbox.models import Webhook
    from sso.platform.services import Storage

app = group()

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="See: sso webhooks list")]
NAMES = ("id", "url", "events", "description", "enabled", "created_at", "updated_at")


@app.command("add")
def add_command(
    url: Annotated[str, typer.Argument(help="URL that receives the events.")],
    event: Annotated[
        list[str] | None,
        typer.Option(help="Type of event, such as session.ended; *: all. Can be repeated."),
    ] = None,
    description: Annotated[str, typer.Option(help="Purpose of the webhook.")] = "",
) -> None:
    """Add a webhook and print its secret once."""
    from sso.platform.actor import CLI
    from sso.platform.outbox import webhooks as rules

    async def work(storage: Storage) -> str:
        rules.check_webhook(url, event or [], allow_http_loopback=storage.settings.loopback)
        async with storage.db.write() as session:
            added, secret = await rules.add_webhook(
                session, storage.box, url=url, events=event or [], description=description[:200], actor=CLI
            )
        complain(_("Added: %(id)s. This secret is shown once.") % {"id": added.id})
        return secret

    print(run(work))


@app.command("list")
def list_command(json: Json = False) -> None:
    """List webhooks. Secrets are never shown."""
    from sso.platform.outbox import webhooks as rules

    async def work(storage: Storage) -> list[Webhook]:
        async with storage.db.read() as session:
            return await rules.all_webhooks(session)

    webhooks = run(work)
    if json:
        print_json([{name: getattr(webhook, name) for name in NAMES} for webhook in webhooks])
        return
    rows = [
        (webhook.id, webhook.url, " ".join(webhook.events), "on" if webhook.enabled else "off", webhook.description)
        for webhook in webhooks
    ]
    print_table(("id", "url", "events", "state", "description"), rows)


@app.command("test")
def test_command(webhook_id: WebhookId) -> None:
    """Send a test event to a webhook. A server or a worker sends it; see: sso deliveries list --kind webhook"""
    from sso.platform.outbox import webhooks as rules
    from sso.platform.outbox.models import Webhook

    chosen = an_id(webhook_id, N_("webhook"))

    async def work(storage: Storage) -> bool:
        async with storage.db.write() as session:
            webhook = await session.get(Webhook, chosen)
            if webhook is not None:
                rules.say(session, webhook, "webhook.test", {"actor": "cli"}, clock.now().isoformat())
            return webhook is not None

    if not run(work):
        refuse(_("there is no webhook %(id)s; see: sso webhooks list") % {"id": webhook_id})
    print(_("queued: a server or a worker sends the test event"))


@app.command("remove")
def remove_command(webhook_id: WebhookId) -> None:
    """Remove a webhook."""
    from sso.platform.actor import CLI
    from sso.platform.outbox import webhooks as rules

    chosen = an_id(webhook_id, N_("webhook"))

    async def work(storage: Storage) -> bool:
        async with storage.db.write() as session:
            return await rules.remove_webhook(session, chosen, actor=CLI)

    if not run(work):
        refuse(_("there is no webhook %(id)s; see: sso webhooks list") % {"id": webhook_id})
    print(_("removed"))
