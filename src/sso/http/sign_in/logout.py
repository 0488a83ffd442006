"""Signing out: what applications ask for at the end_session_endpoint (RP-Initiated Logout 1.0), and the pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.sign_in.current_account import Account, CurrentAccountServices, accounts_of_browser
from sso.clients.registry import Client, Registry
from sso.http.common.cookies import own_cookies, with_browser_state
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import Pairs, form_pairs, query_pairs
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, page
from sso.http.common.services import Outbox, SignOut, SignOutServices
from sso.http.common.visitor import visitor_of
from sso.http.common.way_back import way_back
from sso.http.sign_in.account_chooser import with_accounts
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import REACHED, ClientSession
from sso.logout.bulk import BulkServices
from sso.logout.end_sessions import end_sessions
from sso.logout.rp_initiated import LogoutRequest, check_logout, frontchannel_addresses
from sso.logs import note
from sso.oidc.authorize.request import with_news
from sso.platform.outbox import Worker
from sso.platform.visitor import Visitor

router = new_router()


@dataclass(frozen=True, slots=True)
class LogoutEndpoint:
    """Where applications ask to sign a user out: its path, and the parameters of its requests."""

    path: str
    parameters: tuple[str, ...]


END_SESSION = LogoutEndpoint(
    "/logout", ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales", "logout_hint")
)


@dataclass(frozen=True, slots=True)
class SignOutVisit:
    """A request to sign out.

    Args:
        request: of the browser, from an application or from our own page.
        services: what signing out needs.
        outbox: sends the notices to applications.
    """

    request: Request
    services: SignOutServices
    outbox: Worker


async def _visit(request: Request, services: SignOut, outbox: Outbox) -> SignOutVisit:
    return SignOutVisit(request, services, outbox)


CurrentSignOut = Annotated[SignOutVisit, Depends(_visit)]


@router.api_route("/logout", methods=["GET", "POST"])
async def logout(visit: CurrentSignOut) -> Response:
    """The end_session_endpoint (RP-Initiated Logout section 2), and the form of its own page."""
    return await answer_logout(visit, END_SESSION, check_logout)


async def answer_logout(
    visit: SignOutVisit,
    endpoint: LogoutEndpoint,
    check_request: Callable[[SignOutServices, dict[str, str]], LogoutRequest],
) -> Response:
    """Sign the user out who asks for it, or ask them first.

    Args:
        visit: the request.
        endpoint: where it came.
        check_request: returns what its parameters ask for.

    Raises:
        PageError: when they are not right.
    """
    request, services = visit.request, visit.services
    pairs = await form_pairs(request) if request.method == "POST" else query_pairs(request)
    data = {name: value for name, value in pairs if value}
    visitor = visitor_of(request, data)
    cookie = visitor.session_token
    repeated = _repeated(endpoint, pairs)
    if repeated:
        return failure(request, "repeated", 400, repeated, fields=data)
    if request.method == "POST" and not cookie and "csrf_token" not in data:
        return _once_more_by_get(endpoint, data)

    async def check() -> LogoutRequest:
        return check_request(services, data)

    logout_request = await with_news(services, check)
    if logout_request.client is not None:
        note("client_id", logout_request.client.client_id)
    accounts = await _accounts(services, visitor, logout_request)
    if not accounts:
        return _after(request, services, data, logout_request, None, [])
    who = accounts[0]
    ours = request.method == "POST" and has_valid_csrf_token(request, data, "logout", cookie)
    if not ours and not logout_request.may_end_without_asking(services, who.person.id):
        return _confirm(request, endpoint, data, accounts, logout_request)
    leaving = accounts if ours and data.get("all") == "1" else accounts[:1]
    ended = await _end(services, visitor, leaving)
    visit.outbox.nudge()
    return _after(
        request, services, data, logout_request, ended, [account for account in accounts if account not in leaving]
    )


async def _accounts(services: CurrentAccountServices, visitor: Visitor, logout_request: LogoutRequest) -> list[Account]:
    """Return the accounts of this browser; first the one that the hint names, or the present one."""
    if not visitor.session_tokens:
        return []
    async with services.db.read() as session:
        accounts = await accounts_of_browser(services.idle, session, visitor)
    client = logout_request.client
    if client is None or logout_request.hint_sub is None:
        return accounts
    return sorted(accounts, key=lambda account: services.subject(client, account.person.id) != logout_request.hint_sub)


async def _end(services: BulkServices, visitor: Visitor, leaving: list[Account]) -> list[ClientSession]:
    """End the sessions of these accounts, and return the client sessions that ended with them."""
    ended = []
    async with services.db.write() as session:
        await sessions.lock(session, *sessions.where_not_ended([account.session.id for account in leaving]))
        for account in leaving:
            ended += await end_sessions(
                session,
                services,
                [account.session.id],
                EndReason.SIGNED_OUT,
                actor=visitor.as_actor(account.person.id),
                in_browser=True,
            )
    return ended


def _confirm(
    request: Request,
    endpoint: LogoutEndpoint,
    data: dict[str, str],
    accounts: list[Account],
    logout_request: LogoutRequest,
) -> Response:
    return page(
        request,
        "sign_out.html",
        action=endpoint.path,
        ui_locales=data.get("ui_locales", ""),
        fields=data,
        form_target=logout_request.redirect or "",
        person=accounts[0].person.name,
        others=[account.person.name for account in accounts[1:]],
        client=logout_request.client,
        back=way_back(logout_request.client, signing_in=False),
        parameters=[(name, data[name]) for name in endpoint.parameters if name in data],
        csrf_token=csrf_token(request, "logout", own_cookies(request).session_token),
    )


def _after(
    request: Request,
    services: SignOutServices,
    data: dict[str, str],
    logout_request: LogoutRequest,
    ended: list[ClientSession] | None,
    remaining: list[Account],
) -> Response:
    """Go back to the application, or say from what the person was signed out and what could not be reached.

    Applications that are notified through the browser are framed, and then it goes on (Front-Channel Logout section 3).
    """
    frames = frontchannel_addresses(services.registry, services.settings, ended or [])
    if logout_request.redirect is not None and not frames:
        response = Response(status_code=303, headers={"Location": logout_request.redirect, "Cache-Control": "no-store"})
    else:
        reached, unreached = _reached(services.registry, ended or [])
        response = page(
            request,
            "signed_out.html",
            ui_locales=data.get("ui_locales", ""),
            fields=data,
            here="/logout",
            ended=ended is not None,
            reached=reached,
            unreached=unreached,
            client=logout_request.client,
            back=way_back(logout_request.client, signing_in=False),
            frames=frames,
            onward=logout_request.redirect or "",
            remaining=[account.person.name for account in remaining],
        )
    if ended is not None:
        with_accounts(request, response, [account.token for account in remaining])
    state = services.browser_state(remaining[0].session.id) if remaining else ""
    return with_browser_state(request, response, state)


def _reached(registry: Registry, ended: list[ClientSession]) -> tuple[list[Client], list[Client]]:
    """Return the applications that are notified, and those that are not."""
    known = [
        (client_session, client)
        for client_session in ended
        if (client := registry.get(client_session.client_id)) is not None
    ]
    reached = [client for client_session, client in known if client_session.notified_by in REACHED]
    return reached, [client for _, client in known if client not in reached]


def _once_more_by_get(endpoint: LogoutEndpoint, data: dict[str, str]) -> Response:
    """A form that another site posts brings no cookie (SameSite=Lax): look again by GET."""
    parameters = {name: data[name] for name in endpoint.parameters if name in data}
    return RedirectResponse(f"{endpoint.path}?{urlencode(parameters)}", 303, {"Cache-Control": "no-store"})


def _repeated(endpoint: LogoutEndpoint, pairs: Pairs) -> str:
    names = [name for name, _ in pairs]
    return next((name for name in endpoint.parameters if names.count(name) > 1), "")
