"""Sending a real logout token to the sandbox of an application, as when a session ends (Back-Channel Logout 1.0)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

import httpx2 as httpx

from sso.clients.registry import Client
from sso.identity.sessions import store as sessions
from sso.logout.end_sessions import logout_token
from sso.platform.security.outbound_errors import OutboundRefused, public_reason
from sso.platform.security.tokens import random_token
from sso.portal.playground.exchange import Step, decoded, request_text, shortened
from sso.portal.services import LogoutNoticeServices

Outcome = Literal["accepted", "refused", "no_endpoint", "no_answer"]


@dataclass(frozen=True, slots=True)
class SentLogoutToken:
    """A logout token that was sent, with its response."""

    step: Step
    outcome: Outcome


def outcome_of(status: int) -> Outcome:
    """Return what the status of the response means (Back-Channel Logout section 2.8)."""
    if 200 <= status < 300:
        return "accepted"
    return "no_endpoint" if status in (404, 405) else "refused"


async def send_logout_token(
    services: LogoutNoticeServices, client: Client, *, user_id: uuid.UUID, session_id: uuid.UUID
) -> SentLogoutToken:
    """Send a logout token for a user's session to the back-channel logout URI of a sandbox.

    Args:
        services: what sending the token needs.
        client: the sandbox.
        user_id: whose session it is.
        session_id: the session. Where the sandbox does not take part in it, the token names a ``sid`` of no session.
    """
    uri = client.meta.backchannel_logout_uri or ""
    async with services.db.read() as session:
        client_sessions = await sessions.participants(session, [session_id])
    sids = [row.sid for row in client_sessions if row.client_id == client.client_id]
    token = logout_token(services, client.client_id, sids[0] if sids else random_token()[:32], user_id)
    outcome: Outcome
    try:
        status = await services.outbound.post_form(uri, {"logout_token": token})
        response, outcome = f"HTTP {status}", outcome_of(status)
    except (OutboundRefused, httpx.HTTPError) as error:
        response, outcome = public_reason(uri, error), "no_answer"
    step: Step = {
        "name": "backchannel",
        "request": request_text("POST", uri, {}, {"logout_token": shortened(token)}),
        "response": response,
        "failed": outcome in ("refused", "no_endpoint"),
        "tokens": [decoded("logout_token", token)],
    }
    return SentLogoutToken(step, outcome)
