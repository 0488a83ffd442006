"""The start page: who is signed in here, the applications that they use, and the way out."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.sign_in.current_account import accounts_of_browser
from sso.http.account.applications import listed_for, recent_first
from sso.http.common.cookies import own_cookies, with_browser_state
from sso.http.common.csrf import csrf_token
from sso.http.common.header import first_admin_page, header_user
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, page
from sso.http.common.services import Accounts, Clients, CurrentSettings
from sso.http.common.visitor import visitor_of
from sso.http.sign_in.account_chooser import present_account
from sso.identity.employees.store import roles_now
from sso.identity.sessions import store as sessions
from sso.identity.users.store import favourites_of
from sso.oidc.requests import with_parameters
from sso.platform.permissions import permissions_of

router = new_router()

RECENT = 5


@router.get("/")
async def home(request: Request, services: Accounts) -> Response:
    """The applications of the user, and a button to sign out; the sign-in page where nobody is signed in."""
    cookie, idle = own_cookies(request).session_token, services.settings.session_idle_timeout
    async with services.db.read() as session:
        who = await present_account(request, session)
        visitor = visitor_of(request)
        several = len(visitor.session_tokens) > 1
        accounts = await accounts_of_browser(idle, session, visitor) if several else []
        roles = await roles_now(session, who.user.id, clock.now()) if who is not None else []
        starred = await favourites_of(session, who.user.id) if who is not None else set()
        used = await sessions.last_used_clients(session, who.user.id) if who is not None else {}
        known = services.changes.registry.listed()
        visible = await listed_for(session, who.user.id, known, roles, used) if who is not None else []
    if who is None:
        to_sign_in = RedirectResponse("/login", 303, {"Cache-Control": "no-store"})
        return with_browser_state(request, to_sign_in, "")
    listed = [client for client in visible if client.meta.initiate_login_uri]
    recent = [client for client in listed if client.client_id in used and client.client_id not in starred]
    return page(
        request,
        "home.html",
        header=header_user(request, who.user.name, roles),
        person=who.user.name,
        favourites=[client for client in listed if client.client_id in starred],
        recent=recent_first(recent, used)[:RECENT],
        csrf_token=csrf_token(request, "logout", cookie),
        others=[account for account in accounts if account.session.id != who.session.id],
        may_administer=first_admin_page(roles),
        may_develop="applications:create" in permissions_of(roles),
        accounts_token=csrf_token(request, "accounts", cookie),
    )


@router.get("/open/{client_id}")
async def open_application(request: Request, client_id: str, clients: Clients, settings: CurrentSettings) -> Response:
    """Let an application begin a sign-in (OpenID Connect Core section 4): one of the city's own at once. Before another
    one a page says where the button leads, so that a link alone sends nobody to another site."""
    client = await clients.client(client_id)
    if client is None or not client.enabled or client.meta.initiate_login_uri is None:
        return failure(request, "not_found", 404)
    target = with_parameters(client.meta.initiate_login_uri, [("iss", settings.issuer)])
    if client.first_party and request.query_params.get("ask") != "1":
        return Response(status_code=303, headers={"Location": target, "Cache-Control": "no-store"})
    host = urlsplit(target).netloc
    return page(request, "open.html", client=client, target=target, host=host)
