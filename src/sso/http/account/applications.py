"""The applications that a user may use, by group, with search, favourites and those used last."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.clients.listing import is_listed
from sso.clients.registry import Client
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of, page
from sso.http.common.services import Clients, Db
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, SentForm, first
from sso.identity.groups.store import NO_ACCESS, access_in
from sso.identity.sessions import store as sessions
from sso.identity.users import store as users
from sso.oidc.store.standing import roles_and_groups_of

router = new_router()

HERE = "/apps"
RECENT = 6
FEW = 12
"""Up to how many applications the groups are open from the beginning; more would be a long way to scroll on a phone."""
MAX_QUERY_CHARS = 60
Here = Annotated[OwnVisit, Depends(OwnPage("apps"))]


class FavouriteForm(FormModel):
    """A favourite that is added or removed, and the words that were searched for."""

    choice: ChoiceField = Choice()
    q: Annotated[str, first(MAX_QUERY_CHARS)] = ""


Favourite = Annotated[Sent[FavouriteForm], Depends(SentForm(FavouriteForm))]


@router.get(HERE)
async def portal(request: Request, here: Here, db: Db, clients: Clients) -> Response:
    """The applications: found by a word, or all of them by group."""
    locale = locale_of(request)
    typed = request.query_params.get("q", "").strip()[:MAX_QUERY_CHARS]
    async with db.read() as session:
        favourites = await users.favourites_of(session, here.user.id)
        used = await sessions.last_used_clients(session, here.user.id)
        listed = await listed_for(session, here.user.id, clients.registry.listed(), here.visit.roles, used)
    matching = [client for client in listed if _matches(client, typed, locale)] if typed else []
    query = f"?{urlencode({'q': typed})}" if typed else ""
    return page(
        request,
        "apps.html",
        display="wide",
        header=here.visit.header(request),
        here=f"{HERE}{query}",
        search=typed,
        matching=recent_first(sorted(matching, key=lambda client: client.name(locale)), used),
        favourites=[client for client in listed if client.client_id in favourites],
        starred=favourites,
        recent=recent_first([client for client in listed if client.client_id in used], used)[:RECENT],
        groups=by_group(listed),
        few=len(listed) <= FEW,
        csrf_token=csrf_token(request, "favourites", own_cookies(request).session_token),
    )


@router.post(HERE)
async def favourite(request: Request, here: Here, sent: Favourite, db: Db, clients: Clients) -> Response:
    """Add an application to the favourites, or remove it."""
    typed, (act, client_id) = sent.form.q, sent.form.choice
    back = f"{HERE}?{urlencode({'q': typed})}" if typed else HERE
    ours = has_valid_csrf_token(request, sent.typed, "favourites", own_cookies(request).session_token)
    if ours and clients.registry.get(client_id) is not None and act in ("add", "remove"):
        async with db.write() as session:
            await users.lock_user(session, here.user.id)
            await users.set_favourite(session, here.user.id, client_id, act == "add")
    return RedirectResponse(f"{back}#{client_id[:100]}", 303)


async def listed_for(
    session: AsyncSession, user_id: UUID, clients: list[Client], roles: Collection[str], used: Mapping[str, datetime]
) -> list[Client]:
    """Return the applications that a user sees. No statement; one where roles or groups decide about an application.

    Args:
        session: for reading.
        user_id: the user.
        clients: every application that is listed.
        roles: of the user.
        used: when the user last used each application.
    """
    limited = [client.client_id for client in clients if client.limited_by_access]
    accesses = await access_in(session, user_id, limited, clock.now()) if limited else {}
    return [
        client
        for client in clients
        if is_listed(
            client.meta,
            roles_and_groups_of(roles, accesses.get(client.client_id, NO_ACCESS)),
            used=client.client_id in used,
        )
    ]


def recent_first(clients: list[Client], used: Mapping[str, datetime]) -> list[Client]:
    """Return applications, those that the user used last before the others."""
    return sorted(clients, key=lambda client: -used[client.client_id].timestamp() if client.client_id in used else 0)


def by_group(clients: list[Client]) -> dict[str, list[Client]]:
    """Return applications by their group."""
    groups: dict[str, list[Client]] = {}
    for client in clients:
        groups.setdefault(client.meta.group or "", []).append(client)
    return dict(sorted(groups.items()))


def _matches(client: Client, typed: str, locale: str) -> bool:
    text = f"{client.name(locale)} {client.description(locale)} {client.meta.group or ''} {client.client_id}"
    return all(word in _plain(text) for word in _plain(typed).split())


def _plain(text: str) -> str:
    """Return text without case and accents, as people search."""
    return "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
