"""Appending to the chain of the audit log, which also enqueues the deliveries of webhooks of the city and of teams."""

from __future__ import annotations

from sso.platform import audit
from sso.platform.db import Database
from sso.platform.outbox.webhooks import tell_webhooks
from sso.platform.security.encryption import SecretBox
from sso.portal.webhooks.events import tell_teams


async def chain_audit_events(db: Database, box: SecretBox) -> None:
    """Append every new audit event to the chain, and enqueue the deliveries of webhooks."""
    while True:
        async with db.write() as session:
            events = await audit.append_to_chain(session, box)
            await tell_webhooks(session, events)
            await tell_teams(session, events)
            if not events:
                return
