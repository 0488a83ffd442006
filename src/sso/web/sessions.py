"""Pages about sessions: a person's own, and for those who may see them everybody's, with the proof of each end."""

from __future__ import annotations

import uuid
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
from sso.oidc.people import end_session_of_person
from sso.oidc.proof import Proof, proof_of
from sso.security.permissions import AccessRefused, check_access, permissions_of
from sso.sessions import store
from sso.sessions.devices import device_of
from sso.sessions.models import SsoSession
from sso.sessions.store import Participation, SessionFilter
from sso.users.service import UserError, find
from sso.users.store import roles_of
from sso.web.account import is_own_form, own_page, visit
from sso.web.accounts import present_account, tokens_of, with_accounts
from sso.web.http import form_fields, form_token, is_our_form, read_cookie
from sso.web.i18n import N_
from sso.web.pages import failure, page
from sso.web.site import kept_address_of, request_id_of, site_of

router = APIRouter()

PAGE = 50
MAX_OWN = 100
MAX_NOTE_CHARS = 200
MINE, ALL = "/account/sessions", "/admin/sessions"

HOW = {
    "back_channel": N_("by a notice to its server"),
    "shared_signals": N_("by an event to its server"),
    "front_channel": N_("through the person's browser"),
    "token_lifetime": N_("by itself, when it wants new tokens"),
    "not_at_all": N_("not at all, until the person comes by again"),
}
STATE = {
    "confirmed": N_("confirmed"),
    "waiting": N_("not yet"),
    "given_up": N_("given up"),
    "unconfirmed": N_("cannot confirm"),
}
REASONS = {
    "signed_out": N_("signed out"),
    "by_person": N_("ended by the person, from another device"),
    "other_person": N_("somebody else signed in"),
    "too_many": N_("too many sessions"),
    "expired": N_("its time was over"),
    "administrator": N_("ended by an administrator"),
    "user_disabled": N_("the account was switched off"),
    "user_deleted": N_("the account was deleted"),
    "password_changed": N_("the password was changed"),
    "not_me": N_("the person said that it was not them"),
    "deletion_planned": N_("the person asked to be deleted"),
    "consent_withdrawn": N_("the person withdrew their permission"),
    "client_suspended": N_("an application was suspended"),
}


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
        rows = await _rows(request, session, [(one, person.name) for one, person in found])
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
            "by_person",
            actor=str(who.user.id),
            address=kept_address_of(request),
            request_id=request_id_of(request),
        )
    site.worker.nudge()
    made = RedirectResponse(f"{MINE}?done={len(ids)}", 303)
    if who.session.id in ids:
        with_accounts(request, made, tokens_of(request)[1:])
    return made


@router.get(ALL)
async def all_sessions(request: Request) -> Response:
    """Everybody's sessions, for those who may see them: of a person, of an application, living or over."""
    allowed = await _allowed(request, "sessions:read")
    if isinstance(allowed, Response):
        return allowed
    provider, now, query = site_of(request).provider, clock.now(), request.query_params
    person, client_id = query.get("person", "").strip()[:254], query.get("client", "").strip()[:100]
    status: store.Status = "ended" if query.get("status") == "ended" else "living"
    before, problem = _uuid(query.get("before", "")), ""
    async with provider.db.read() as session:
        try:
            user_id = (await find(session, person, provider.box)).id if person else None
        except UserError:
            user_id, problem = None, N_("Nobody signs in with that.")
        wanted = SessionFilter(user_id=user_id, client_id=client_id or None)
        found = []
        if not problem:
            found = await store.page_of(session, wanted, status, now, now - provider.idle, before, PAGE + 1)
        rows = await _rows(request, session, [(one, its.name) for one, its in found[:PAGE]])
    kept = {"person": person, "client": client_id, "status": status}
    following = {**kept, "before": str(rows[-1].session.id)} if len(found) > PAGE else {}
    return page(
        request,
        "admin_sessions.html",
        display="wide",
        rows=rows,
        problem=problem,
        asked=kept,
        following=f"{ALL}?{urlencode(following)}" if following else "",
        reasons=REASONS,
    )


@router.get(ALL + "/{session_id}")
async def one_session(request: Request, session_id: str) -> Response:
    """One session; once it is over, the proof: application by application, who was told and who has confirmed."""
    allowed = await _allowed(request, "sessions:read")
    if isinstance(allowed, Response):
        return allowed
    return await _show(request, session_id, allowed)


@router.post(ALL + "/{session_id}")
async def end_one(request: Request, session_id: str) -> Response:
    """End a session, with a reason."""
    allowed, fields = await _allowed(request, "sessions:end"), await form_fields(request)
    if isinstance(allowed, Response):
        return allowed
    chosen = _uuid(session_id)
    if chosen is None or not is_our_form(request, fields, "end-session", read_cookie(request, "session")):
        return await _show(request, session_id, allowed)
    note = "".join(char for char in fields.get("note", "") if char.isprintable()).strip()[:MAX_NOTE_CHARS]
    if not note:
        return await _show(request, session_id, allowed, N_("Say why: it is kept in the audit log."), 400)
    site = site_of(request)
    async with site.provider.db.write() as session:
        await end_session_of_person(
            session,
            site.provider,
            chosen,
            actor=str(allowed[0].user.id),
            address=kept_address_of(request),
            request_id=request_id_of(request),
            note=note,
        )
    site.worker.nudge()
    return RedirectResponse(f"{ALL}/{chosen}", 303)


async def _show(
    request: Request, session_id: str, allowed: tuple[SignedIn, frozenset[str]], problem: str = "", status: int = 200
) -> Response:
    provider, chosen = site_of(request).provider, _uuid(session_id)
    proof: Proof | None = None
    async with provider.db.read() as session:
        found = await store.get(session, chosen) if chosen is not None else None
        if found is None or chosen is None:
            return failure(request, "not_found", 404)
        rows = await _rows(request, session, [(found[0], found[1].name)])
        proof = await proof_of(session, provider, chosen)
    return page(
        request,
        "admin_session.html",
        status=status,
        display="wide",
        row=rows[0],
        proof=proof,
        may_end="sessions:end" in allowed[1],
        problem=problem,
        how=HOW,
        state=STATE,
        reasons=REASONS,
        form_token=form_token(request, "end-session", read_cookie(request, "session")),
    )


async def _allowed(request: Request, permission: str) -> tuple[SignedIn, frozenset[str]] | Response:
    """Return who is signed in and everything they may do; or the page that says that they may not."""
    who = await _who(request)
    if who is None:
        return _sign_in("admin-sessions")
    async with site_of(request).provider.db.read() as session:
        roles = await roles_of(session, who.user.id)
    try:
        signed_in = who.session.auth_time
        check_access(permission, roles=roles, scopes=None, signed_in=signed_in, since=signed_in)
    except AccessRefused:
        return failure(request, "no_permission", 403)
    return who, permissions_of(roles)


async def _who(request: Request) -> SignedIn | None:
    async with site_of(request).provider.db.read() as session:
        return await present_account(request, session)


def _sign_in(then: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({'then': then})}", 303, {"Cache-Control": "no-store"})


async def _rows(request: Request, session: AsyncSession, found: list[tuple[SsoSession, str]]) -> list[Row]:
    registry = site_of(request).provider.registry
    parts = await store.participants(session, [one.id for one, _ in found])
    rows = []
    for one, person in found:
        mine = [
            (client, part) for part in parts if part.session_id == one.id and (client := registry.known(part.client_id))
        ]
        rows.append(Row(one, person, device_of(one.user_agent or "").text, mine))
    return rows


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
