"""Signing out: what applications ask for at the end_session_endpoint (RP-Initiated Logout 1.0), and the pages."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.registry import Client
from sso.http.common.cookies import read_cookie, with_browser_state
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import Pairs, form_pairs, query_pairs
from sso.http.common.pages import failure, page
from sso.http.common.state import kept_address_of, request_id_of, site_of
from sso.http.common.way_back import way_back
from sso.http.sign_in.account_chooser import Account, accounts_of, tokens_of, with_accounts
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import REACHED, ClientSession
from sso.logout.end_sessions import end_sessions
from sso.logout.rp_initiated import LogoutRequest, check_logout, frontchannel_addresses
from sso.oidc.authorize.request import with_news
from sso.oidc.provider import Provider

router = APIRouter()

_PARAMETERS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales", "logout_hint")


@router.api_route("/logout", methods=["GET", "POST"])
async def logout(request: Request) -> Response:
    """The end_session_endpoint (RP-Initiated Logout section 2), and the form of its own page."""
    pairs = await form_pairs(request) if request.method == "POST" else query_pairs(request)
    data = {name: value for name, value in pairs if value}
    request.scope["sso.lang"] = data.get("lang", "")
    cookie = read_cookie(request, "session")
    repeated = _repeated(pairs)
    if repeated:
        return failure(request, "repeated", 400, repeated)
    if request.method == "POST" and not cookie and "csrf_token" not in data:
        return _once_more_by_get(data)
    provider = site_of(request).provider

    async def check() -> LogoutRequest:
        return check_logout(provider, data)

    asked = await with_news(provider, check)
    accounts = await _accounts(request, asked)
    if not accounts:
        return _after(request, data, asked, None, [])
    who = accounts[0]
    ours = request.method == "POST" and has_valid_csrf_token(request, data, "logout", cookie)
    if not ours and not asked.may_end_without_asking(site_of(request).provider, who.person.id):
        return _confirm(request, data, accounts, asked)
    leaving = accounts if ours and data.get("all") == "1" else accounts[:1]
    told = await _end(request, leaving)
    return _after(request, data, asked, told, [one for one in accounts if one not in leaving])


async def _accounts(request: Request, asked: LogoutRequest) -> list[Account]:
    """Return who is signed in at this browser; first the one whom the hint names, or the present one."""
    if not tokens_of(request):
        return []
    async with site_of(request).provider.db.read() as session:
        found = await accounts_of(request, session)
    if asked.client is None or asked.hint_sub is None:
        return found
    provider, client = site_of(request).provider, asked.client
    return sorted(found, key=lambda one: provider.subject(client, one.person.id) != asked.hint_sub)


async def _end(request: Request, leaving: list[Account]) -> list[ClientSession]:
    site, told = site_of(request), []
    async with site.provider.db.write() as session:
        await sessions.lock(session, *sessions.not_over([one.session.id for one in leaving]))
        for one in leaving:
            told += await end_sessions(
                session,
                site.provider,
                [one.session.id],
                EndReason.SIGNED_OUT,
                actor=str(one.person.id),
                address=kept_address_of(request),
                request_id=request_id_of(request),
                in_browser=True,
            )
    site.worker.nudge()
    return told


def _confirm(request: Request, data: dict[str, str], accounts: list[Account], asked: LogoutRequest) -> Response:
    return page(
        request,
        "sign_out.html",
        ui_locales=data.get("ui_locales", ""),
        form_target=asked.redirect or "",
        person=accounts[0].person.name,
        others=[one.person.name for one in accounts[1:]],
        client=asked.client,
        back=way_back(asked.client, signing_in=False),
        kept=[(name, data[name]) for name in _PARAMETERS if name in data],
        csrf_token=csrf_token(request, "logout", read_cookie(request, "session")),
    )


def _after(
    request: Request,
    data: dict[str, str],
    asked: LogoutRequest,
    told: list[ClientSession] | None,
    remaining: list[Account],
) -> Response:
    """Go back to the application, or say from what the person was signed out and what could not be reached.

    Applications that are told through the browser are framed, and then it goes on (Front-Channel Logout section 3).
    """
    site = site_of(request)
    frames = frontchannel_addresses(site.provider, told or [])
    if asked.redirect is not None and not frames:
        made = Response(status_code=303, headers={"Location": asked.redirect, "Cache-Control": "no-store"})
    else:
        reached, unreached = _reached(site.provider, told or [])
        made = page(
            request,
            "signed_out.html",
            ui_locales=data.get("ui_locales", ""),
            here="/logout",
            ended=told is not None,
            reached=reached,
            unreached=unreached,
            client=asked.client,
            back=way_back(asked.client, signing_in=False),
            frames=frames,
            onward=asked.redirect or "",
            remaining=[one.person.name for one in remaining],
        )
    if told is not None:
        with_accounts(request, made, [one.token for one in remaining])
    state = site.provider.browser_state(remaining[0].session.id) if remaining else ""
    return with_browser_state(request, made, state)


def _reached(provider: Provider, told: list[ClientSession]) -> tuple[list[Client], list[Client]]:
    """Return the applications that are told, and those that are not."""
    known = [(one, client) for one in told if (client := provider.registry.get(one.client_id)) is not None]
    reached = [client for one, client in known if one.told_by in REACHED]
    return reached, [client for _, client in known if client not in reached]


def _once_more_by_get(data: dict[str, str]) -> Response:
    """A form that another site posts brings no cookie (SameSite=Lax): look again by GET."""
    kept = {name: data[name] for name in _PARAMETERS if name in data}
    return RedirectResponse(f"/logout?{urlencode(kept)}", 303, {"Cache-Control": "no-store"})


def _repeated(pairs: Pairs) -> str:
    names = [name for name, _ in pairs]
    return next((name for name in _PARAMETERS if names.count(name) > 1), "")
