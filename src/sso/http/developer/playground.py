"""The playground: sign in with an application's own sandbox, and see every request and every response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import httpx2 as httpx
from fastapi import Depends
from pydantic import AfterValidator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.sign_in.current_account import MAX_ACCOUNTS
from sso.clients.registry import Client, Registry
from sso.http.common.cookies import browser_of, own_cookies
from sso.http.common.forms import query_pairs
from sso.http.common.i18n import N_
from sso.http.common.labels import LEVEL_TEXTS
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure
from sso.http.common.services import Box, Clients, CurrentSettings, Db, Playground
from sso.http.common.state import address_of
from sso.http.common.typed_forms import FormModel, Sent, cut, one_of, ticked
from sso.http.console.access import Here, Needs, OwnForm, There
from sso.http.developer.application_page import APPS, Member, application_page
from sso.http.sign_in.account_chooser import with_accounts
from sso.identity.authn.assurance import ACR_VALUES, SIGN_IN_LEVELS
from sso.identity.test_users import PEOPLE
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
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
from sso.portal.services import PlaygroundServices
from sso.portal.teams import role_of

router = new_router()

PROMPTS = ("", "login", "consent", "select_account", "none")
MAX_CLAIMS_CHARS = 2000
MAX_AGE_LIMIT = 999_999_999
CHECKS = {
    "signature": N_("The signature is valid for a key of our key set."),
    "iss": N_("iss is the issuer."),
    "aud": N_("aud is the client ID."),
    "exp": N_("exp is in the future."),
    "nonce": N_("nonce is the value that was sent."),
    "at_hash": N_("at_hash matches the access token."),
    "sub": N_("sub in userinfo matches the ID token."),
    "state": N_("state is the value that was sent."),
    "answer_iss": N_("iss in the response is the issuer (RFC 9207)."),
}
STEPS = {
    "authorize": N_("Authorization request"),
    "answer": N_("Authorization response"),
    "token": N_("Token request"),
    "userinfo": N_("Userinfo request"),
    "refresh": N_("Refresh token request"),
    "introspect": N_("Introspection request"),
    "revoke": N_("Revocation request"),
    "logout": N_("Sign-out and return"),
    "backchannel": N_("Back-channel logout request"),
}
OWN_KEY = N_(
    "This application authenticates with its own key, which only its server has, so the portal cannot run this "
    "test. Use the quick start instead."
)
NOT_WITH_PEOPLE = N_("No user signs in to this type of application, so there is no sign-in to test.")

ACCEPTED = N_("Your server accepted the logout token. Check that your application signed you out.")
REFUSED = N_(
    "Your server refused a valid logout token. It must check the signature with our key set, iss, aud and events. "
    "typ is logout+jwt, and there is no nonce. Accept the token also when the session is unknown."
)
NO_ENDPOINT = N_("This URL does not accept POST requests. Check the back-channel logout URL.")
NO_ANSWER = N_("Your server did not answer. Check that it is running and reachable from this service.")

OBSTACLES: dict[Obstacle, str] = {"no_people": NOT_WITH_PEOPLE, "own_key": OWN_KEY}
LOGOUT_OUTCOMES: dict[Outcome, str] = {
    "accepted": ACCEPTED,
    "refused": REFUSED,
    "no_endpoint": NO_ENDPOINT,
    "no_answer": NO_ANSWER,
}


def _max_age(text: str) -> str:
    return text if read_int_or_none(text, 0, MAX_AGE_LIMIT) is not None else ""


SignedIn = Annotated[Here, Depends(Needs(None))]


class TryForm(FormModel):
    """What to do with a trial, and what its authorization request asks for. ``t``: the token of the trial."""

    choice: str = ""
    t: str = ""
    prompt: Annotated[str, one_of(PROMPTS)] = ""
    acr_values: Annotated[str, one_of(ACR_VALUES)] = ""
    max_age: Annotated[str, AfterValidator(_max_age)] = ""
    claims: Annotated[str, cut(MAX_CLAIMS_CHARS)] = ""


class TestUserForm(FormModel):
    """The test user who is signed in, and the level."""

    person: str = ""
    acr: str = ""


Try = Annotated[Sent[TryForm], Depends(OwnForm(TryForm, "try {application_id}"))]
TestUser = Annotated[Sent[TestUserForm], Depends(OwnForm(TestUserForm, "try {application_id}"))]


@router.get(APPS + "/{application_id}/try")
async def try_page(request: Request, there: Member, db: Db, box: Box, known: Clients) -> Response:
    """Show the form; and with ``t``, the requests and responses of that trial."""
    trial = await _trial(request, there, db, box, request.query_params.get("t", ""))
    return await _page(request, there, known.registry, trial)


async def _trial(request: Request, there: There, db: Database, box: SecretBox, token: str) -> Trial | None:
    async with db.read() as session:
        trial = await recall_trial(
            session,
            box,
            token,
            user_id=there.here.visit.user.id,
            browser_id=own_cookies(request).browser,
        )
    return trial if trial is not None and trial.data["application_id"] == there.application_id else None


async def _page(
    request: Request,
    there: There,
    registry: Registry,
    trial: Trial | None = None,
    notice: SentLogoutToken | None = None,
) -> Response:
    client = registry.enabled(there.sandbox_id)
    reason = obstacle(client) if client is not None else None
    return await application_page(
        request,
        there,
        "try",
        "developer_try.html",
        client=client,
        logout_uri=client.meta.backchannel_logout_uri if client is not None else None,
        logout_notice=_logout_token_view(notice) if notice is not None else None,
        problem=OBSTACLES[reason] if reason is not None else "",
        scopes=sorted(client.scopes) if client is not None else [],
        parameters=trial.data["asked"] if trial is not None else {},
        prompts=PROMPTS,
        levels=ACR_VALUES,
        steps=trial.data["steps"] if trial is not None else [],
        step_texts=STEPS,
        check_texts=CHECKS,
        t=trial.token if trial is not None and trial.tokens else "",
        people=[(username, str(person["name"])[:40], person) for username, person in PEOPLE.items()],
        sign_in_levels=[(level, LEVEL_TEXTS[level]) for level in SIGN_IN_LEVELS],
        become=request.query_params.get("as", ""),
        can_refresh=trial is not None and "refresh_token" in trial.tokens,
        purpose="try",
    )


def _logout_token_view(notice: SentLogoutToken) -> dict[str, object]:
    return {**notice.step, "text": LOGOUT_OUTCOMES[notice.outcome], "right": notice.outcome == "accepted"}


@router.post(APPS + "/{application_id}/try")
async def act(request: Request, there: Member, sent: Try, db: Db, services: Playground) -> Response:
    """Begin a trial; use or revoke its tokens; sign out; or send a logout token to the sandbox."""
    registry, choice = services.registry, sent.form.choice
    client = registry.enabled(there.sandbox_id)
    if client is not None and choice == "backchannel" and client.meta.backchannel_logout_uri:
        visit = there.here.visit
        notice = await send_logout_token(services, client, user_id=visit.user.id, session_id=visit.who.session.id)
        return await _page(request, there, registry, notice=notice)
    if client is None or obstacle(client) is not None:
        return await _page(request, there, registry)
    if choice == "begin":
        requested = _authorization_parameters(client, sent)
        browser_id, user_id = browser_of(request), there.here.visit.user.id
        url = await begin_trial(
            services, client, there.application_id, requested, user_id=user_id, browser_id=browser_id
        )
        return RedirectResponse(url, 303)
    trial = await _trial(request, there, db, services.box, sent.form.t)
    if trial is None or not trial.tokens:
        return RedirectResponse(_address(there.application_id), 303)
    if choice == "logout":
        return RedirectResponse(logout_url(services.settings, trial), 303)
    for action in TOKEN_ACTIONS:
        if choice == action:
            step = await _endpoints(request, services, client).use_tokens(trial, action)
            await add_steps(db, services.box, trial, [step])
    return RedirectResponse(f"{_address(there.application_id)}?t={trial.token}#last", 303)


def _authorization_parameters(client: Client, sent: Sent[TryForm]) -> AuthorizationParameters:
    """Return what was chosen in the form; what cannot be chosen there is left out."""
    form = sent.form
    return AuthorizationParameters(
        scopes=client.scopes.intersection(ticked(sent.typed, "scope ")),
        prompt=form.prompt,
        acr_values=form.acr_values,
        max_age=form.max_age,
        claims=form.claims,
    )


@router.post(APPS + "/{application_id}/test-person")
async def become(request: Request, there: Member, sent: TestUser, db: Db, settings: CurrentSettings) -> Response:
    """Sign a test user in at this browser, besides the accounts that are there: each sandbox then asks which to use."""
    username = sent.form.person
    token = await sign_in_test_user(
        db,
        settings,
        username,
        sent.form.acr,
        stored_ip_address=there.here.stored_ip_address,
        user_agent=request.headers.get("user-agent", ""),
        request_id=there.here.request_id,
    )
    if token is None:
        return RedirectResponse(_address(there.application_id), 303)
    response = RedirectResponse(f"{_address(there.application_id)}?as={username}", 303)
    present, *others = own_cookies(request).session_tokens
    with_accounts(request, response, [present, token, *others][:MAX_ACCOUNTS])
    return response


@router.get(TRY_PATH)
async def back(request: Request, here: SignedIn, db: Db, services: Playground) -> Response:
    """Receive the authorization response of a trial, and go on with it."""
    parameters = dict(query_pairs(request))
    if parameters.get("state") == LOGOUT_STATE:
        return RedirectResponse("/developer", 303)
    async with db.read() as session:
        user_id, browser_id = here.visit.user.id, own_cookies(request).browser
        token = parameters.get("state", "")
        trial = await recall_trial(session, services.box, token, user_id=user_id, browser_id=browser_id)
        if trial is None:
            return failure(request, "stale_form", 400)
        application_id = trial.data["application_id"]
        is_member = await role_of(session, application_id, user_id) is not None
    client = services.registry.enabled(sandbox_id(application_id)) if is_member else None
    if client is None:
        return failure(request, "not_found", 404)
    steps = await _endpoints(request, services, client).receive(trial, parameters)
    await add_steps(db, services.box, trial, steps)
    return RedirectResponse(f"{_address(application_id)}?t={trial.token}", 303)


def _address(application_id: str) -> str:
    return f"{APPS}/{application_id}/try"


def _endpoints(request: Request, services: PlaygroundServices, client: Client) -> TrialEndpoints:
    """Return our own endpoints, called with the IP address of the developer: an application without a secret is limited
    to the network of its user."""
    issuer = services.settings.issuer
    transport = httpx.ASGITransport(request.app, client=(address_of(request), 0), raise_app_exceptions=False)

    async def send(method: str, path: str, headers: Mapping[str, str], form: Mapping[str, str]) -> EndpointResponse:
        async with httpx.AsyncClient(transport=transport, base_url=issuer) as http:
            response = await http.request(method, path, headers=headers, data=form or None)
        try:
            body: object = response.json()
        except ValueError:
            body = {}
        return EndpointResponse(response.status_code, dict(response.headers), body)

    return TrialEndpoints(issuer, services.keys.jwks()[0], client, send)
