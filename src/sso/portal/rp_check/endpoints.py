"""What the endpoints of the fake provider need to know: which case runs, and which key is published."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.models import RelyingPartyCheck
from sso.clients.registry import Client
from sso.platform.security.encryption import SecretBox
from sso.portal.applications import sandbox_id
from sso.portal.rp_check.fake_provider import Play
from sso.portal.rp_check.store import decrypted_play, encrypted_play, last_play, running_check
from sso.portal.services import CheckServices


async def _running_play(
    session: AsyncSession, box: SecretBox, application_id: str
) -> tuple[RelyingPartyCheck, Play] | None:
    """Return what is being played for an application now."""
    check = await running_check(session, application_id)
    if check is None or check.play is None:
        return None
    return check, decrypted_play(box, check.play)


async def note_call(
    services: CheckServices, application_id: str, endpoint: str, *, redeemed: str = ""
) -> tuple[Play, Client, str] | None:
    """Store that the application called one of our endpoints, and return what is being played; None: nothing.
    ``redeemed``: the code for which it is given tokens."""
    client = await services.client(sandbox_id(application_id))
    if client is None or not client.enabled:
        return None
    async with services.db.read() as session:  # most of the time nothing is: no transaction is written for that
        if await running_check(session, application_id) is None:
            return None
    async with services.db.write() as session:
        running = await _running_play(session, services.box, application_id)
        if running is None:
            return None
        check, play = running
        play.asked = list(dict.fromkeys([*play.asked, endpoint]))
        play.redeemed = play.redeemed or redeemed == play.code
        check.play = encrypted_play(services.box, play)
    return play, client, services.id_token_alg(client)


async def published_key(services: CheckServices, application_id: str) -> tuple[Play, str] | None:
    """Return the play whose key is in the key set of the issuer of an application's checks, and the algorithm: of the
    check that runs, or else of the last. Applications may fetch the key set at their start."""
    client = services.registry.enabled(sandbox_id(application_id))
    if client is None:
        return None
    alg = services.id_token_alg(client)
    async with services.db.read() as session:
        play = await last_play(session, services.box, application_id, alg)
    return (play, alg) if play is not None else None
