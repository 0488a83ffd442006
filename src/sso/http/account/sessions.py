"""The sessions of the own account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.own_account import end_own_sessions
from sso.clients.registry import Client, Registry
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.cookies import own_cookies
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.typed_forms import FormModel, Sent, SentForm
from sso.http.sign_in.account_chooser import with_accounts
from sso.identity.sessions import store
from sso.identity.sessions.devices import device_of
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.store import ClientSession, SessionFilter

router = new_router()

PAGE = 50
MINE = "/account/sessions"
ENDED = N_("The session is ended. We are notifying the applications.")
Here = Annotated[OwnVisit, Depends(OwnPage("sessions"))]


class SessionChoiceForm(FormModel):
    """The id of the session that ends, or ``others``."""

    choice: str = ""


SessionChoice = Annotated[Sent[SessionChoiceForm], Depends(SentForm(SessionChoiceForm))]


@dataclass(frozen=True, slots=True)
class Row:
    """A session as a page lists it."""

    session: SsoSession
    person: str
    device: str
    clients: list[tuple[Client, ClientSession]]

    @property
    def is_phone(self) -> bool:
        """Whether the device is a phone or tablet, for its icon."""
        return device_of(self.session.user_agent or "").system.startswith(("Android", "iOS"))


@router.get(MINE)
async def my_sessions(request: Request, here: Here) -> Response:
    """Where the user is signed in: device, place, last use, applications."""
    present, services, now = here.visit.who.session, here.services, clock.now()
    unused_since = now - services.settings.session_idle_timeout
    before = read_id(request.query_params.get("before", ""))
    async with services.db.read() as session:
        of_user = SessionFilter(user_id=here.user.id)
        listed = await store.page_of(session, of_user, "active", now, unused_since, before, PAGE + 1)
        named = [(sso_session, user.name) for sso_session, user in listed[:PAGE]]
        rows = await rows_of(services.changes.registry, session, named)
    following = f"{MINE}?{urlencode({'before': str(listed[PAGE - 1][0].id)})}" if len(listed) > PAGE else ""
    rows.sort(key=lambda row: (row.session.id != present.id, -row.session.last_seen_at.timestamp()))
    return here.page(
        "account_sessions.html",
        rows=rows,
        this=present.id,
        several=before is not None or len(rows) > 1,
        following=following,
        done=ENDED if request.query_params.get("done", "0") != "0" else "",
    )


@router.post(MINE)
async def end_mine(request: Request, here: Here, sent: SessionChoice) -> Response:
    """End one of the own sessions, or all but the present one."""
    if not here.sent_by_us(sent.typed):
        return RedirectResponse(MINE, 303)
    choice, count = sent.form.choice, 0
    chosen: UUID | Literal["others"] | None = "others" if choice == "others" else read_id(choice)
    if chosen is not None:
        async with here.services.db.write() as session:
            count = await end_own_sessions(session, here.services.changes, here.own, chosen, here.actor)
    here.services.worker.nudge()
    response = RedirectResponse(f"{MINE}?done={count}", 303)
    if chosen == here.own.session_id:
        with_accounts(request, response, own_cookies(request).session_tokens[1:])
    return response


async def rows_of(registry: Registry, session: AsyncSession, listed: list[tuple[SsoSession, str]]) -> list[Row]:
    """Return sessions, each with the name of its user, as a page lists them."""
    client_sessions = await store.participants(session, [sso_session.id for sso_session, _ in listed])
    rows = []
    for sso_session, person in listed:
        clients = [
            (client, client_session)
            for client_session in client_sessions
            if client_session.session_id == sso_session.id and (client := registry.known(client_session.client_id))
        ]
        rows.append(Row(sso_session, person, device_of(sso_session.user_agent or "").text, clients))
    return rows
