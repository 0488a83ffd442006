"""Quick starts: whole programs for eight stacks, filled in with the application's own values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.http.common.late_routes import new_router
from sso.http.common.services import Clients, CurrentSettings
from sso.http.developer.application_page import APPS, Reader, application_page
from sso.http.developer.literals import LANGUAGES
from sso.portal.sandbox import TRY_PATH

router = new_router()

_PLACE = re.compile(r"\{\{(\w+):(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack.

    Args:
        title: what it is called.
        kinds: for which kinds of application it is.
        tested: whether our own tests run it exactly as it is shown.
        auth_method: the only ``token_endpoint_auth_method`` that the program uses.
    """

    title: str
    kinds: tuple[str, ...]
    tested: bool
    auth_method: str = "client_secret_basic"


STACKS = {
    "python": Stack("Python, Authlib", ("web",), True),
    "node": Stack("Node, openid-client", ("web",), True),
    "php": Stack("PHP, OpenID-Connect-PHP", ("web",), False),
    "laravel": Stack("Laravel", ("web",), False, "client_secret_post"),
    "spring": Stack("Java, Spring", ("web",), False),
    "dotnet": Stack(".NET", ("web",), False, "client_secret_post"),
    "android": Stack("Android, AppAuth", ("native",), False, "none"),
    "apache": Stack("Apache, mod_auth_openidc", ("proxy", "web"), True),
}


@cache
def source(name: str) -> str:
    """Return a quick start as it is kept: its files, one after the other, each after a line ``=== name``."""
    return (files("sso.http.developer") / "quickstarts" / f"{name}.txt").read_text(encoding="utf-8")


def filled(name: str, issuer: str, client: Client) -> list[tuple[str, str]]:
    """Return the files of a quick start, by name, with the application's own values.

    Args:
        name: the stack.
        issuer: our address.
        client: the application; where it has no redirect URI yet, one that is usual.
    """
    uris = [uri for uri in client.meta.redirect_uris if not uri.startswith(issuer + TRY_PATH)]
    redirect_uri = uris[0] if uris else "http://localhost:3000/callback"
    parts = urlsplit(redirect_uri)
    named = [name for name in client.meta.scope.split() if name in client.scopes]
    scope = " ".join(name for name in named if name != "offline_access")
    values = {
        "issuer": issuer,
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "redirect_path": parts.path or "/",
        "redirect_scheme": parts.scheme,
        "protected_path": (parts.path.rpartition("/")[0] or "") + "/",
        "scope": scope,
        "discovery": f"{issuer}/.well-known/openid-configuration",
    }
    # In one pass: what looks like a place for a value within a value stays as it is.
    text = _PLACE.sub(lambda place: LANGUAGES[place[1]](values[place[2]]), source(name))
    if "${dollar}" in text:
        text = text.replace("OIDCProviderMetadataURL", "Define dollar $\nOIDCProviderMetadataURL", 1)
    programs = []
    for part in re.split(r"(?m)^=== ", text)[1:]:
        title, _, body = part.partition("\n")
        programs.append((title.strip(), body.rstrip() + "\n"))
    return programs


@router.get(APPS + "/{application_id}/quick-start")
async def quick_start_page(request: Request, there: Reader, known: Clients, settings: CurrentSettings) -> Response:
    """A whole program, ready to be copied: for the sandbox, or for production."""
    registry, query = known.registry, request.query_params
    both = (registry.enabled(there.sandbox_id), registry.enabled(there.application_id))
    clients = [client for client in both if client is not None]
    chosen_client = (client for client in clients if client.client_id == query.get("client"))
    client = next(chosen_client, clients[0] if clients else None)
    kind = there.application.kind
    offered = {name: stack for name, stack in STACKS.items() if kind in stack.kinds}
    chosen = query.get("stack", "")
    chosen = chosen if chosen in offered else next(iter(offered), "")
    issuer = settings.issuer
    return await application_page(
        request,
        there,
        "start",
        "developer_start.html",
        clients=clients,
        client=client,
        stacks=offered,
        stack=chosen,
        auth_method=offered[chosen].auth_method if chosen in offered else "",
        parts=filled(chosen, issuer, client) if client is not None and chosen else [],
        tested=chosen in offered and offered[chosen].tested,
        issuer=issuer,
    )
