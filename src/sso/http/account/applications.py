"""Every application of the city by group, with search, favourites and those used last."""

from __future__ import annotations

import unicodedata
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.registry import Client
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.cookies import read_cookie
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of, page
from sso.http.common.services import Clients, Db
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, SentForm, first
from sso.identity.sessions import store as sessions
from sso.identity.users import store as users

router = new_router()

HERE = "/apps"
RECENT = 6
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
    listed = clients.registry.listed()
    matching = [client for client in listed if _matches(client, typed, locale)] if typed else []
    recent = [client for client in listed if client.client_id in used]
    query = f"?{urlencode({'q': typed})}" if typed else ""
    return page(
        request,
        "apps.html",
        display="wide",
        header=here.visit.header(request),
        here=f"{HERE}{query}",
        asked=typed,
        found=sorted(matching, key=lambda client: client.name(locale)),
        favourites=[client for client in listed if client.client_id in favourites],
        starred=favourites,
        recent=sorted(recent, key=lambda client: used[client.client_id], reverse=True)[:RECENT],
        groups=by_group(listed),
        csrf_token=csrf_token(request, "favourites", read_cookie(request, "session")),
    )


@router.post(HERE)
async def favourite(request: Request, here: Here, sent: Favourite, db: Db, clients: Clients) -> Response:
    """Add an application to the favourites, or remove it."""
    typed, (act, client_id) = sent.form.q, sent.form.choice
    back = f"{HERE}?{urlencode({'q': typed})}" if typed else HERE
    ours = has_valid_csrf_token(request, sent.typed, "favourites", read_cookie(request, "session"))
    if ours and clients.registry.get(client_id) is not None and act in ("add", "remove"):
        async with db.write() as session:
            await users.lock_user(session, here.user.id)
            await users.set_favourite(session, here.user.id, client_id, act == "add")
    return RedirectResponse(f"{back}#{client_id[:100]}", 303)


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
