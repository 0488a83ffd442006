"""Signing a test user in, without authentication: with a session that sandboxes alone accept."""

from __future__ import annotations

from sso.identity.authn.assurance import SIGN_IN_LEVELS
from sso.identity.sessions.service import AuthenticationOutdated, start
from sso.identity.test_users import PEOPLE, authenticated_with, test_person
from sso.platform.db import Database
from sso.settings import Settings


async def sign_in_test_user(
    db: Database,
    settings: Settings,
    username: str,
    acr: str,
    *,
    stored_ip_address: str | None,
    user_agent: str,
    request_id: str,
) -> str | None:
    """Start a session for a test user, and return the token of its cookie; None: there is no such user or level.

    Args:
        db: the database.
        settings: how long sessions last.
        username: of the test user, who is created where necessary.
        acr: the level of the sign-in, one of ``SIGN_IN_LEVELS``.
        stored_ip_address: the IP address in the form in which it may be stored.
        user_agent: of the browser.
        request_id: the reference for log and audit.
    """
    if username not in PEOPLE or acr not in SIGN_IN_LEVELS:
        return None
    try:
        async with db.write() as session:
            started = await start(
                session,
                settings,
                authenticated_with(await test_person(session, username), acr),
                current=None,
                address=stored_ip_address,
                user_agent=user_agent,
                request_id=request_id,
            )
    except AuthenticationOutdated:
        return None
    return started.token
