"""Quick starts: whole programs for eight stacks, filled in with the application's own values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.http.common.late_routes import new_router
from sso.http.common.services import Clients, CurrentSettings, Db
from sso.http.developer.application_page import APPS, Reader, application_page
from sso.http.developer.literals import LANGUAGES
from sso.platform.security.numbers import read_int_or_none
from sso.portal.first_sign_in import first_sign_in
from sso.portal.sandbox import TRY_PATH

router = new_router()

MAX_WATCHES = 120
"""How often the page loads itself again at most, every five seconds."""
COMMANDS = "install"
"""The part of a quick start that is no file: the commands that install the libraries."""
_PLACE = re.compile(r"\{\{(\w+):(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack.

    Args:
        title: what it is called.
        kinds: for which kinds of application it is.
        tested: whether our own tests run it exactly as it is shown.
        auth_method: the only ``token_endpoint_auth_method`` that the program uses.
        run: the command that runs the whole program; empty: there is no whole program, but parts of one.
        replayed: the test that sends the requests of the library instead; empty: none does.
        library: the file or folder of our own that the program needs, beside it; empty: none.
    """

    title: str
    kinds: tuple[str, ...]
    tested: bool
    auth_method: str = "client_secret_basic"
    run: str = ""
    replayed: str = ""
    library: str = ""


STACKS = {
    "python": Stack("Python, Authlib", ("web",), True, run="python app.py"),
    "node": Stack("Node, openid-client", ("web",), True, run="node server.mjs"),
    "php": Stack("PHP, SsoClient", ("web",), True, run="php -S localhost:3000 index.php", library="SsoClient.php"),
    "laravel": Stack("Laravel, SsoClient", ("web",), True, run="php -S localhost:3000 -t public", library="sso-php"),
    "spring": Stack("Java, Spring", ("web",), True, run="mvn spring-boot:run"),
    "dotnet": Stack(
        ".NET", ("web",), False, "client_secret_post", replayed="conformance/test_programs_of_the_manual.py"
    ),
    "android": Stack("Android, AppAuth", ("native",), False, "none", replayed="conformance/test_rfc8252_android.py"),
    "apache": Stack("Apache, mod_auth_openidc", ("proxy", "web"), True),
    "phpcas": Stack("PHP, phpCAS", ("cas",), True, "none"),
    "apache_cas": Stack("Apache, mod_auth_cas", ("cas",), True, "none"),
}


@cache
def source(name: str) -> str:
    """Return a quick start as it is kept: its files, one after the other, each after a line ``=== name``."""
    return (files("sso.http.developer") / "quickstarts" / f"{name}.txt").read_text(encoding="utf-8")


@cache
def library(name: str) -> dict[str, str]:
    """Return a client library of ours: the files that programs of a stack need, by path beside the program."""
    installed = files("sso") / "_packages" / "php"
    root = Path(str(installed)) if installed.is_dir() else Path(__file__).parents[4] / "packages" / "php"
    if name.endswith(".php"):
        return {name: (root / name).read_text(encoding="utf-8")}
    parts = [root / "composer.json", root / "SsoClient.php", root / "README.md", *sorted((root / "src").rglob("*.php"))]
    return {f"{name}/{part.relative_to(root).as_posix()}": part.read_text(encoding="utf-8") for part in parts}


def values_of(issuer: str, client: Client) -> dict[str, str]:
    """Return the values that quick starts are filled in with.

    Args:
        issuer: our address.
        client: the application; where it has no redirect URI yet, one that is usual.
    """
    own = issuer + TRY_PATH
    uris = [uri for uri in client.meta.redirect_uris if not uri.startswith(own)]
    redirect_uri = uris[0] if uris else "http://localhost:3000/callback"
    parts = urlsplit(redirect_uri)
    afterwards = [uri for uri in client.meta.post_logout_redirect_uris if not uri.startswith(own)]
    start_page = f"{parts.scheme}://{parts.netloc}/" if parts.netloc else redirect_uri
    named = [name for name in client.meta.scope.split() if name in client.scopes]
    ours = urlsplit(issuer)
    return {
        "issuer_host": ours.hostname or "",
        "issuer_port": str(ours.port or (443 if ours.scheme == "https" else 80)),
        "cas_login": f"{issuer}/cas/login",
        "cas_validate": f"{issuer}/cas/serviceValidate",
        "base_url": f"{parts.scheme}://{parts.netloc}",
        "issuer": issuer,
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "redirect_path": parts.path or "/",
        "redirect_scheme": parts.scheme,
        "port": local_port(client),
        "after_logout": afterwards[0] if afterwards else start_page,
        "protected_path": (parts.path.rpartition("/")[0] or "") + "/",
        "scope": " ".join(name for name in named if name != "offline_access"),
        "discovery": f"{issuer}/.well-known/openid-configuration",
    }


def local_port(client: Client) -> str:
    """Return the port of the first redirect URI on the developer's own machine: digits, since it stands in commands."""
    for uri in client.meta.redirect_uris:
        try:
            parts = urlsplit(uri)
            if parts.scheme == "http" and parts.hostname == "localhost" and parts.port:
                return str(parts.port)
        except ValueError:  # no port
            continue
    return "3000"


def filled(name: str, issuer: str, client: Client) -> list[tuple[str, str]]:
    """Return the parts of a quick start, by name, with the application's own values."""
    values = values_of(issuer, client)
    # In one pass: what looks like a place for a value within a value stays as it is.
    text = _PLACE.sub(lambda place: LANGUAGES[place[1]](values[place[2]]), source(name))
    if "${dollar}" in text:
        text = text.replace("OIDCProviderMetadataURL", "Define dollar $\nOIDCProviderMetadataURL", 1)
    return _parts(text)


def _parts(text: str) -> list[tuple[str, str]]:
    programs = []
    for part in re.split(r"(?m)^=== ", text)[1:]:
        title, _, body = part.partition("\n")
        programs.append((title.strip(), body.rstrip() + "\n"))
    return programs


def files_of(name: str, issuer: str, client: Client) -> list[tuple[str, str]]:
    """Return the files of a quick start, with the application's own values."""
    return [(title, text) for title, text in filled(name, issuer, client) if title != COMMANDS]


def commands_of(name: str, part: str = COMMANDS) -> str:
    """Return the commands of a quick start."""
    return dict(_parts(source(name))).get(part, "").strip()


@router.get(APPS + "/{application_id}/quick-start")
async def quick_start_page(
    request: Request, there: Reader, db: Db, known: Clients, settings: CurrentSettings
) -> Response:
    """A whole program, ready to be copied: for the sandbox, or for production; and whether a first sign-in arrived.

    With ``watch`` in the address, the page loads itself again, as often as that says.
    """
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
    async with db.read() as session:
        arrived = await first_sign_in(session, settings, there.application_id)
    left = read_int_or_none(query.get("watch", ""), 0, MAX_WATCHES) or 0
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
        replayed=chosen in offered and bool(offered[chosen].replayed),
        library=offered[chosen].library if chosen in offered else "",
        whole=chosen in offered and offered[chosen].run != "",
        issuer=issuer,
        arrived=arrived,
        left=left if arrived is None else 0,
    )
