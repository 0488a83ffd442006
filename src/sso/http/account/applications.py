"""The portal: every application of the city by group, with search, favourites and what was used last."""

from __future__ import annotations

import unicodedata
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.registry import Client
from sso.http.account.profile import visit
from sso.http.common.cookies import read_cookie
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.pages import locale_of, page
from sso.http.common.state import site_of
from sso.identity.sessions import store as sessions
from sso.identity.users import store as users

router = APIRouter()

HERE = "/apps"
RECENT = 6
MAX_QUERY_CHARS = 60


@router.get(HERE)
async def portal(request: Request) -> Response:
    """The applications: found by a word, or all of them by group."""
    here = await visit(request, "apps")
    if isinstance(here, Response):
        return here
    provider, locale = site_of(request).provider, locale_of(request)
    asked = request.query_params.get("q", "").strip()[:MAX_QUERY_CHARS]
    async with provider.db.read() as session:
        favourites = await users.favourites_of(session, here.user.id)
        used = await sessions.last_used_clients(session, here.user.id)
    listed = provider.registry.listed()
    found = [one for one in listed if _matches(one, asked, locale)] if asked else []
    recent = sorted((one for one in listed if one.client_id in used), key=lambda one: used[one.client_id], reverse=True)
    query = f"?{urlencode({'q': asked})}" if asked else ""
    return page(
        request,
        "apps.html",
        display="wide",
        here=f"{HERE}{query}",
        asked=asked,
        found=sorted(found, key=lambda one: one.name(locale)),
        favourites=[one for one in listed if one.client_id in favourites],
        starred=favourites,
        recent=recent[:RECENT],
        groups=by_group(listed),
        csrf_token=csrf_token(request, "favourites", read_cookie(request, "session")),
    )


@router.post(HERE)
async def favourite(request: Request) -> Response:
    """Put an application in front, or no longer."""
    here, fields = await visit(request, "apps"), await form_fields(request)
    if isinstance(here, Response):
        return here
    asked = fields.get("q", "")[:MAX_QUERY_CHARS]
    back = f"{HERE}?{urlencode({'q': asked})}" if asked else HERE
    choice, _, client_id = fields.get("choice", "").partition(" ")
    provider = site_of(request).provider
    ours = has_valid_csrf_token(request, fields, "favourites", read_cookie(request, "session"))
    if ours and provider.registry.get(client_id) is not None and choice in ("add", "remove"):
        async with provider.db.write() as session:
            await users.lock_user(session, here.user.id)
            await users.set_favourite(session, here.user.id, client_id, choice == "add")
    return RedirectResponse(f"{back}#{client_id[:100]}", 303)


def by_group(clients: list[Client]) -> dict[str, list[Client]]:
    """Return applications by their group."""
    groups: dict[str, list[Client]] = {}
    for client in clients:
        groups.setdefault(client.meta.group or "", []).append(client)
    return dict(sorted(groups.items()))


def _matches(client: Client, asked: str, locale: str) -> bool:
    text = f"{client.name(locale)} {client.description(locale)} {client.meta.group or ''} {client.client_id}"
    return all(word in _plain(text) for word in _plain(asked).split())


def _plain(text: str) -> str:
    """Return text without case and accents, as people search."""
    return "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
