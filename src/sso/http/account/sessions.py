"""A person's own sessions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.clients.registry import Client
from sso.http.account.profile import is_own_form, own_page, visit
from sso.http.common.forms import form_fields, read_id
from sso.http.common.state import kept_address_of, request_id_of, site_of
from sso.http.sign_in.account_chooser import present_account, tokens_of, with_accounts
from sso.identity.sessions import store
from sso.identity.sessions.devices import device_of
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import ClientSession, SessionFilter
from sso.logout.end_sessions import BATCH, end_sessions
from sso.oidc.authorize.request import SignedIn

router = APIRouter()

PAGE = 50
MINE = "/account/sessions"


@dataclass(frozen=True, slots=True)
class Row:
    """A session as a page lists it."""

    session: SsoSession
    person: str
    device: str
    clients: list[tuple[Client, ClientSession]]


@router.get(MINE)
async def my_sessions(request: Request) -> Response:
    """Where the person is signed in: device, place, last use, applications."""
    here = await visit(request, "sessions")
    if isinstance(here, Response):
        return here
    who = here.who
    provider, now, before = site_of(request).provider, clock.now(), read_id(request.query_params.get("before", ""))
    async with provider.db.read() as session:
        wanted = SessionFilter(user_id=who.user.id)
        found = await store.page_of(session, wanted, "living", now, now - provider.idle, before, PAGE + 1)
        rows = await rows_of(request, session, [(one, person.name) for one, person in found[:PAGE]])
    following = f"{MINE}?{urlencode({'before': str(found[PAGE - 1][0].id)})}" if len(found) > PAGE else ""
    rows.sort(key=lambda one: (one.session.id != who.session.id, -one.session.last_seen_at.timestamp()))
    return own_page(
        request,
        here,
        "sessions",
        "account_sessions.html",
        rows=rows,
        this=who.session.id,
        several=before is not None or len(rows) > 1,
        following=following,
        done=request.query_params.get("done", ""),
    )


@router.post(MINE)
async def end_mine(request: Request) -> Response:
    """End one of the person's own sessions, or all but this, however many there are."""
    who, fields = await _who(request), await form_fields(request)
    if who is None:
        return _sign_in("sessions")
    if not is_own_form(request, fields, "sessions"):
        return RedirectResponse(MINE, 303)
    site, chosen = site_of(request), fields.get("choice", "")
    count = 0
    async with site.provider.db.write() as session:
        while ids := await _chosen(session, who, chosen):
            await end_sessions(
                session,
                site.provider,
                ids,
                EndReason.BY_PERSON,
                actor=str(who.user.id),
                address=kept_address_of(request),
                request_id=request_id_of(request),
            )
            count += len(ids)
    site.worker.nudge()
    made = RedirectResponse(f"{MINE}?done={count}", 303)
    if chosen == str(who.session.id):
        with_accounts(request, made, tokens_of(request)[1:])
    return made


async def _chosen(session: AsyncSession, who: SignedIn, chosen: str) -> list[uuid.UUID]:
    """Return the sessions that are to be ended next, at most ``BATCH``: the one with the id ``chosen``, or ``others``:
    all but this one. Nothing: none is left."""
    wanted = SessionFilter(user_id=who.user.id)
    if chosen == "others":
        return await store.not_ended(session, replace(wanted, but=who.session.id), BATCH)
    one = read_id(chosen)
    return await store.not_ended(session, replace(wanted, session_id=one), 1) if one is not None else []


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
