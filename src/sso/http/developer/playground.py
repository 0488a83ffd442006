"""The playground: sign in with an application's own sandbox, and see every request and every response."""

from __future__ import annotations

from typing import Annotated, Any

import httpx2 as httpx
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.sign_in.current_account import MAX_ACCOUNTS
from sso.clients.registry import Client
from sso.http.common.cookies import browser_of, read_cookie, session_tokens
from sso.http.common.forms import query_pairs
from sso.http.common.i18n import N_
from sso.http.common.labels import LEVEL_TEXTS
from sso.http.common.pages import failure
from sso.http.common.state import address_of, kept_address_of, request_id_of, site_of
from sso.http.console.access import Here, Needs, There, own_form
from sso.http.developer.application_page import APPS, Member, application_page
from sso.http.sign_in.account_chooser import with_accounts
from sso.identity.authn.assurance import ACR_VALUES, SIGN_IN_LEVELS
from sso.identity.test_users import PEOPLE
from sso.platform.security.numbers import read_int_or_none
from sso.portal.applications import sandbox_id
from sso.portal.playground.logout_notice import Outcome, SentLogoutToken, send_logout_token
from sso.portal.playground.sign_in import sign_in_test_user
from sso.portal.playground.trial import (
    LOGOUT_STATE,
    TOKEN_ACTIONS,
    AuthorizationParameters,
    EndpointResponse,
    Obstacle,
    Trial,
    TrialEndpoints,
    add_steps,
    begin_trial,
    logout_url,
    obstacle,
    recall_trial,
)
from sso.portal.sandbox import TRY_PATH
from sso.portal.teams import role_of

router = APIRouter()

PROMPTS = ("", "login", "consent", "select_account", "none")
MAX_CLAIMS_CHARS = 2000
MAX_AGE_LIMIT = 999_999_999
CHECKS = {
    "signature": N_("The signature is by a key of our key set."),
    "iss": N_("iss is the issuer."),
    "aud": N_("aud is this application."),
    "exp": N_("exp is not over."),
    "nonce": N_("nonce is the one that was sent."),
    "at_hash": N_("at_hash belongs to the access token."),
    "sub": N_("sub of userinfo is that of the ID token."),
    "state": N_("state is the one that was sent."),
    "answer_iss": N_("iss of the answer is the issuer (RFC 9207)."),
}
STEPS = {
    "authorize": N_("The browser goes to us"),
    "answer": N_("The browser comes back"),
    "token": N_("The code is exchanged"),
    "userinfo": N_("The person's claims are asked for"),
    "refresh": N_("Tokens are renewed"),
    "introspect": N_("The access token is asked about"),
    "revoke": N_("The refresh token is revoked"),
    "logout": N_("The browser is signed out, and comes back"),
    "backchannel": N_("Your server is told that a session is over"),
}
OWN_KEY = N_(
    "This application authenticates with a key of its own, which only its server has: the portal cannot try it. Use "
    "the quick start instead."
)
NOT_WITH_PEOPLE = N_("Nobody signs in at this kind of application: there is nothing to try here.")

ACCEPTED = N_(
    "Your server took it. If it does what is meant, you are not signed in any more where you were signed in with this "
    "sandbox."
)
REFUSED = N_(
    "Your server refused a token that is right. It should check the signature against our key set, iss, aud, and the "
    "event; typ is logout+jwt, and there is no nonce. That it knows no such session is no reason to refuse."
)
NO_ENDPOINT = N_("Nothing at this address takes a POST. Is it the right one?")
NO_ANSWER = N_("No answer came. Does your server listen at this address, and can it be reached from here?")

OBSTACLES: dict[Obstacle, str] = {"no_people": NOT_WITH_PEOPLE, "own_key": OWN_KEY}
LOGOUT_OUTCOMES: dict[Outcome, str] = {
    "accepted": ACCEPTED,
    "refused": REFUSED,
    "no_endpoint": NO_ENDPOINT,
    "no_answer": NO_ANSWER,
}

SignedIn = Annotated[Here, Depends(Needs(None))]


@router.get(APPS + "/{application_id}/try")
async def try_page(request: Request, there: Member) -> Response:
    """Show the form; and with ``t``, the requests and responses of that trial."""
    return await _page(request, there, await _trial(request, there, request.query_params.get("t", "")))


async def _trial(request: Request, there: There, token: str) -> Trial | None:
    provider = site_of(request).provider
    async with provider.db.read() as session:
        trial = await recall_trial(
            session,
            provider.box,
            token,
            user_id=there.here.visit.user.id,
            browser_id=read_cookie(request, "browser"),
        )
    return trial if trial is not None and trial.data["application_id"] == there.application_id else None


async def _page(
    request: Request, there: There, trial: Trial | None = None, sent: SentLogoutToken | None = None
) -> Response:
    client = site_of(request).provider.registry.enabled(there.sandbox_id)
    reason = obstacle(client) if client is not None else None
    return await application_page(
        request,
        there,
        "try",
        "developer_try.html",
        client=client,
        logout_uri=client.meta.backchannel_logout_uri if client is not None else None,
        told=_logout_token_shown(sent) if sent is not None else None,
        problem=OBSTACLES[reason] if reason is not None else "",
        scopes=sorted(client.scopes) if client is not None else [],
        asked=trial.data["asked"] if trial is not None else {},
        prompts=PROMPTS,
        levels=ACR_VALUES,
        steps=trial.data["steps"] if trial is not None else [],
        step_texts=STEPS,
        check_texts=CHECKS,
        t=trial.token if trial is not None and trial.tokens else "",
        people=[(username, about["name"][:40], about) for username, about in PEOPLE.items()],
        sign_in_levels=[(level, LEVEL_TEXTS[level]) for level in SIGN_IN_LEVELS],
        become=request.query_params.get("as", ""),
        can_refresh=trial is not None and "refresh_token" in trial.tokens,
        purpose="try",
    )


def _logout_token_shown(sent: SentLogoutToken) -> dict[str, Any]:
    return {**sent.step, "text": LOGOUT_OUTCOMES[sent.outcome], "right": sent.outcome == "accepted"}


@router.post(APPS + "/{application_id}/try")
async def act(request: Request, there: Member) -> Response:
    """Begin a trial; use or revoke its tokens; sign out; or send a logout token to the sandbox."""
    fields, provider = await own_form(request, f"try {there.application_id}"), site_of(request).provider
    client, choice = provider.registry.enabled(there.sandbox_id), fields.get("choice", "")
    if client is not None and choice == "backchannel" and client.meta.backchannel_logout_uri:
        visit = there.here.visit
        sent = await send_logout_token(provider, client, user_id=visit.user.id, session_id=visit.who.session.id)
        return await _page(request, there, sent=sent)
    if client is None or obstacle(client) is not None:
        return await _page(request, there)
    if choice == "begin":
        requested = _authorization_parameters(client, fields)
        browser_id, user_id = browser_of(request), there.here.visit.user.id
        url = await begin_trial(
            provider, client, there.application_id, requested, user_id=user_id, browser_id=browser_id
        )
        return RedirectResponse(url, 303)
    return await _go_on(request, there, client, fields)


async def _go_on(request: Request, there: There, client: Client, fields: dict[str, str]) -> Response:
    """Do with the tokens of a trial what was chosen."""
    provider = site_of(request).provider
    trial = await _trial(request, there, fields.get("t", ""))
    if trial is None or not trial.tokens:
        return RedirectResponse(_address(there.application_id), 303)
    choice = fields.get("choice", "")
    if choice == "logout":
        return RedirectResponse(logout_url(provider.settings, trial), 303)
    for action in TOKEN_ACTIONS:
        if choice == action:
            step = await _endpoints(request, client).use_tokens(trial, action)
            await add_steps(provider.db, provider.box, trial, [step])
    return RedirectResponse(f"{_address(there.application_id)}?t={trial.token}#last", 303)


def _authorization_parameters(client: Client, fields: dict[str, str]) -> AuthorizationParameters:
    """Return what was chosen in the form; what cannot be chosen there is left out."""
    prompt, acr_values, max_age = (fields.get(name, "") for name in ("prompt", "acr_values", "max_age"))
    return AuthorizationParameters(
        scopes=frozenset(name for name in client.scopes if fields.get(f"scope {name}") == "1"),
        prompt=prompt if prompt in PROMPTS else "",
        acr_values=acr_values if acr_values in ACR_VALUES else "",
        max_age=max_age if read_int_or_none(max_age, 0, MAX_AGE_LIMIT) is not None else "",
        claims=fields.get("claims", "").strip()[:MAX_CLAIMS_CHARS],
    )


@router.post(APPS + "/{application_id}/test-person")
async def become(request: Request, there: Member) -> Response:
    """Sign a test user in at this browser, besides the accounts that are there: each sandbox then asks which to use."""
    fields, site = await own_form(request, f"try {there.application_id}"), site_of(request)
    username = fields.get("person", "")
    token = await sign_in_test_user(
        site.provider.db,
        site.settings,
        username,
        fields.get("acr", ""),
        stored_ip_address=kept_address_of(request),
        user_agent=request.headers.get("user-agent", ""),
        request_id=request_id_of(request),
    )
    if token is None:
        return RedirectResponse(_address(there.application_id), 303)
    response = RedirectResponse(f"{_address(there.application_id)}?as={username}", 303)
    present, *others = session_tokens(request)
    with_accounts(request, response, [present, token, *others][:MAX_ACCOUNTS])
    return response


@router.get(TRY_PATH)
async def back(request: Request, here: SignedIn) -> Response:
    """Receive the authorization response of a trial, and go on with it."""
    provider, parameters = site_of(request).provider, dict(query_pairs(request))
    if parameters.get("state") == LOGOUT_STATE:
        return RedirectResponse("/developer", 303)
    async with provider.db.read() as session:
        user_id, browser_id = here.visit.user.id, read_cookie(request, "browser")
        token = parameters.get("state", "")
        trial = await recall_trial(session, provider.box, token, user_id=user_id, browser_id=browser_id)
        if trial is None:
            return failure(request, "stale_form", 400)
        application_id = trial.data["application_id"]
        is_member = await role_of(session, application_id, user_id) is not None
    client = provider.registry.enabled(sandbox_id(application_id)) if is_member else None
    if client is None:
        return failure(request, "not_found", 404)
    steps = await _endpoints(request, client).receive(trial, parameters)
    await add_steps(provider.db, provider.box, trial, steps)
    return RedirectResponse(f"{_address(application_id)}?t={trial.token}", 303)


def _address(application_id: str) -> str:
    return f"{APPS}/{application_id}/try"


def _endpoints(request: Request, client: Client) -> TrialEndpoints:
    """Return our own endpoints, called with the IP address of the developer: an application without a secret is limited
    to the network of its user."""
    site = site_of(request)
    transport = httpx.ASGITransport(request.app, client=(address_of(request), 0), raise_app_exceptions=False)

    async def send(method: str, path: str, headers: Any, form: Any) -> EndpointResponse:
        async with httpx.AsyncClient(transport=transport, base_url=site.settings.issuer) as http:
            response = await http.request(method, path, headers=headers, data=form or None)
        try:
            body: object = response.json()
        except ValueError:
            body = {}
        return EndpointResponse(response.status_code, dict(response.headers), body)

    return TrialEndpoints(site.settings.issuer, site.provider.keys.jwks()[0], client, send)
