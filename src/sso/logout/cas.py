"""What applications that speak CAS are told of the end of a session (CAS Protocol 3.0 section 2.3.3)."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Collection, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Client, Registry
from sso.gate.cas.logout_request import PURPOSE, logout_request
from sso.gate.cas.store import take_used
from sso.identity.sessions.store import ClientSession
from sso.platform.outbox import Abandon, ReceiverAnswered
from sso.platform.security.outbound_errors import OutboundRefused
from sso.platform.services import HasBox, HasOutbound

Tickets = list[list[str]]
"""Tickets in the payload of a delivery: each encrypted, in base64, and its service URL."""


class TicketServices(HasBox, HasOutbound, Protocol):
    """What sending logout requests needs."""


async def tickets_of(
    session: AsyncSession, registry: Registry, client_sessions: Sequence[ClientSession]
) -> dict[tuple[uuid.UUID, str], Tickets]:
    """Take the tickets by which applications know the parts of sessions that have ended. No statement where none of the
    applications speaks CAS."""
    names: Collection[str] = {
        client_session.client_id
        for client_session in client_sessions
        if is_cas(registry.known(client_session.client_id))
    }
    if not names:
        return {}
    taken = await take_used(session, {client_session.session_id for client_session in client_sessions}, names)
    return {
        client_session: [[base64.b64encode(ticket).decode(), service] for ticket, service in tickets]
        for client_session, tickets in taken.items()
    }


def is_cas(client: Client | None) -> bool:
    """Tell whether an application speaks CAS."""
    return client is not None and client.meta.type == "cas"


def receiver_of(client: Client, tickets: Tickets) -> str:
    """Return the host that the logout requests go to."""
    return urlsplit(client.meta.backchannel_logout_uri or (tickets[0][1] if tickets else "")).netloc


async def send_logout_requests(services: TicketServices, client: Client, tickets: Tickets) -> None:
    """Send a logout request for each ticket: to the registered address, otherwise to the service URL of the ticket,
    while it is registered. The protocol knows no confirmation: any answer below 400 counts, because mod_auth_cas
    answers with a redirect.

    Raises:
        Abandon: when there is nothing that can be sent.
        ReceiverAnswered: when the application answered with an error.
    """
    sent = 0
    for ticket, service in tickets:
        address = client.meta.backchannel_logout_uri or (service if client.check_redirect_uri(service) else "")
        if not address:
            continue
        plain = services.box.decrypt(base64.b64decode(ticket), PURPOSE).decode()
        try:
            status = await services.outbound.post_form(address, {"logoutRequest": logout_request(plain, clock.now())})
        except OutboundRefused as error:
            raise Abandon(str(error)) from None
        if not 200 <= status < 400:
            raise ReceiverAnswered(f"the application answered {status}", status)
        sent += 1
    if not sent:
        raise Abandon("the application has no registered address for this any more")
