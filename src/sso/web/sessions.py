"""A person's own sessions."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.clients.registry import Client
from sso.oidc.authorize import SignedIn
from sso.oidc.ending import end_sessions
from sso.sessions import store
from sso.sessions.devices import device_of
from sso.sessions.models import SsoSession
from sso.sessions.reasons import EndReason
from sso.sessions.store import Participation, SessionFilter
from sso.web.account import is_own_form, own_page, visit
from sso.web.accounts import present_account, tokens_of, with_accounts
from sso.web.http import form_fields
from sso.web.site import kept_address_of, request_id_of, site_of

router = APIRouter()

MAX_OWN = 100
MINE = "/account/sessions"


@dataclass(frozen=True, slots=True)
class Row:
    """A session as a page lists it."""

    session: SsoSession
    person: str
    device: str
    clients: list[tuple[Client, Participation]]


@router.get(MINE)
async def my_sessions(request: Request) -> Response:
    """Where the person is signed in: device, place, last use, applications."""
    here = await visit(request, "sessions")
    if isinstance(here, Response):
        return here
    who = here.who
    provider, now = site_of(request).provider, clock.now()
    async with provider.db.read() as session:
        wanted = SessionFilter(user_id=who.user.id)
        found = await store.page_of(session, wanted, "living", now, now - provider.idle, None, MAX_OWN)
        rows = await rows_of(request, session, [(one, person.name) for one, person in found])
    rows.sort(key=lambda one: (one.session.id != who.session.id, -one.session.last_seen_at.timestamp()))
    return own_page(
        request,
        here,
        "sessions",
        "account_sessions.html",
        rows=rows,
        this=who.session.id,
        done=request.query_params.get("done", ""),
    )


@router.post(MINE)
async def end_mine(request: Request) -> Response:
    """End one of the person's own sessions, or all but this."""
    who, fields = await _who(request), await form_fields(request)
    if who is None:
        return _sign_in("sessions")
    if not is_own_form(request, fields, "sessions"):
        return RedirectResponse(MINE, 303)
    site, now = site_of(request), clock.now()
    chosen = fields.get("choice", "")
    async with site.provider.db.write() as session:
        wanted = SessionFilter(user_id=who.user.id)
        mine = await store.page_of(session, wanted, "living", now, now - site.provider.idle, None, MAX_OWN)
        ids = [one.id for one, _ in mine if (one.id != who.session.id if chosen == "others" else str(one.id) == chosen)]
        await end_sessions(
            session,
            site.provider,
            ids,
            EndReason.BY_PERSON,
            actor=str(who.user.id),
            address=kept_address_of(request),
            request_id=request_id_of(request),
        )
    site.worker.nudge()
    made = RedirectResponse(f"{MINE}?done={len(ids)}", 303)
    if who.session.id in ids:
        with_accounts(request, made, tokens_of(request)[1:])
    return made


async def _who(request: Request) -> SignedIn | None:
    async with site_of(request).provider.db.read() as session:
        return await present_account(request, session)


def _sign_in(then: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({'then': then})}", 303, {"Cache-Control": "no-store"})


async def rows_of(request: Request, session: AsyncSession, found: list[tuple[SsoSession, str]]) -> list[Row]:
    registry = site_of(request).provider.registry
    parts = await store.participants(session, [one.id for one, _ in found])
    rows = []
    for one, person in found:
        mine = [
            (client, part) for part in parts if part.session_id == one.id and (client := registry.known(part.client_id))
        ]
        rows.append(Row(one, person, device_of(one.user_agent or "").text, mine))
    return rows
