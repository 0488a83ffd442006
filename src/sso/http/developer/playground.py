"""Try it: the portal signs in with the application's own sandbox, and shows each request and each answer, decoded and
checked. Nothing is played: the requests go to the same endpoints as everybody's."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import httpx
import jwt
import orjson
from fastapi import APIRouter, Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.clients.models import Application
from sso.clients.registry import Client
from sso.clients.secrets import TRIAL_SECONDS, trial_secret
from sso.http.common.cookies import browser_of, read_cookie
from sso.http.common.forms import query_pairs
from sso.http.common.i18n import N_
from sso.http.common.labels import LEVEL_TEXTS
from sso.http.common.pages import failure
from sso.http.common.state import address_of, kept_address_of, request_id_of, site_of
from sso.http.console.access import Here, Needs, There, developer_page, own_form, token_for
from sso.http.developer.applications import APPS, STATES, Member, own_uri
from sso.http.sign_in.account_chooser import MAX_ACCOUNTS, tokens_of, with_accounts
from sso.identity.authn import pending_flows
from sso.identity.authn.assurance import ACR_VALUES, SIGN_IN_LEVELS
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.sessions import store as sessions
from sso.identity.sessions.service import ReportFinished, start
from sso.identity.test_users import PEOPLE, proof_for, test_person
from sso.logout.end_sessions import logout_token
from sso.platform.security.numbers import read_int_or_none
from sso.platform.security.outbound_http import OutboundRefused, public_reason
from sso.platform.security.tokens import base64url, random_token
from sso.portal.applications import sandbox_id
from sso.portal.lifecycle import TRY_PATH
from sso.portal.teams import role_of

router = APIRouter()

PROMPTS = ("", "login", "consent", "select_account", "none")
SHOWN_HEADERS = ("content-type", "cache-control", "www-authenticate", "location")
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

TOLD = N_(
    "Your server took it. If it does what is meant, you are not signed in any more where you were signed in with this "
    "sandbox."
)
NOT_TAKEN = N_(
    "Your server refused a token that is right. It should check the signature against our key set, iss, aud, and the "
    "event; typ is logout+jwt, and there is no nonce. That it knows no such session is no reason to refuse."
)
NOT_THERE = N_("Nothing at this address takes a POST. Is it the right one?")
NO_ANSWER = N_("No answer came. Does your server listen at this address, and can it be reached from here?")

SignedIn = Annotated[Here, Depends(Needs(None))]


@router.get(APPS + "/{application_id}/try")
async def try_page(request: Request, there: Member) -> Response:
    """What is asked for; and with ``t``, what came of it."""
    running = await _running(request, there, request.query_params.get("t", ""))
    return await _page(request, there, running)


async def _running(request: Request, there: There, token: str) -> RunningFlow | None:
    provider = site_of(request).provider
    async with provider.db.read() as session:
        found = await pending_flows.recall(session, provider.box, "try", token, read_cookie(request, "browser"))
    if found is None or found.user_id != there.here.visit.user.id:
        return None
    return found if found.data.get("application_id") == there.application_id else None


async def _page(
    request: Request, there: There, running: RunningFlow | None, told: dict[str, Any] | None = None
) -> Response:
    site = site_of(request)
    client = site.provider.registry.enabled(there.sandbox_id)
    data = running.data if running is not None else {}
    return await developer_page(
        request,
        there.here,
        there.application_id,
        "developer_try.html",
        tab="try",
        there=there,
        app=there.application,
        states=STATES,
        client=client,
        logout_uri=client.meta.backchannel_logout_uri if client is not None else None,
        told=told,
        problem=_problem(client),
        scopes=sorted(client.scopes) if client is not None else [],
        asked=data.get("asked", {}),
        prompts=PROMPTS,
        levels=ACR_VALUES,
        steps=data.get("steps", []),
        step_texts=STEPS,
        check_texts=CHECKS,
        t=running.token if running is not None and data.get("tokens") else "",
        people=[(key, about["name"][:40], about) for key, about in PEOPLE.items()],
        sign_in_levels=[(one, LEVEL_TEXTS[one]) for one in SIGN_IN_LEVELS],
        become=request.query_params.get("as", ""),
        can_refresh="refresh_token" in data.get("tokens", {}),
        csrf_token=token_for(request, f"try {there.application_id}"),
    )


def _problem(client: Client | None) -> str:
    if client is None:
        return ""
    if "authorization_code" not in client.meta.grant_types:
        return NOT_WITH_PEOPLE
    return OWN_KEY if client.meta.token_endpoint_auth_method == "private_key_jwt" else ""


@router.post(APPS + "/{application_id}/try")
async def act(request: Request, there: Member) -> Response:
    """Begin, or go on with what came of it: renew, ask about the token, revoke, sign out."""
    fields, site = await own_form(request, f"try {there.application_id}"), site_of(request)
    client = site.provider.registry.enabled(there.sandbox_id)
    choice = fields.get("choice", "")
    if client is not None and choice == "backchannel" and client.meta.backchannel_logout_uri:
        return await _page(request, there, None, await _tell(request, there, client))
    if client is None or _problem(client):
        return await _page(request, there, None)
    if choice == "begin":
        return await _begin(request, there, client, fields)
    running = await _running(request, there, fields.get("t", ""))
    if running is None or "tokens" not in running.data:
        return RedirectResponse(f"{APPS}/{there.application_id}/try", 303)
    tokens = running.data["tokens"]
    if choice == "logout":
        asked = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": own_uri(request), "state": "keluar"}
        url = f"{site.settings.issuer}/logout?{urlencode(asked)}"
        return RedirectResponse(url, 303)
    forms = {
        "refresh": ("/token", {"grant_type": "refresh_token", "refresh_token": tokens.get("refresh_token", "")}),
        "introspect": ("/introspect", {"token": tokens["access_token"]}),
        "revoke": ("/revoke", {"token": tokens.get("refresh_token") or tokens["access_token"]}),
    }
    if choice in forms:
        path, form = forms[choice]
        step, answer = await _send(request, client, running.data["secret"], choice, path, form)
        if choice == "refresh" and answer.get("id_token"):
            step["tokens"] = await _decoded(request, client, answer, "")
            running.data["tokens"] = {**tokens, **answer}
        await _keep(request, running, [step])
    return RedirectResponse(f"{APPS}/{there.application_id}/try?t={running.token}#last", 303)


async def _tell(request: Request, there: There, client: Client) -> dict[str, Any]:
    """Send a logout token to the sandbox, as when the session of who asks ends (Back-Channel Logout section 2.5), and
    return it with the answer, and what that means."""
    provider, visit, uri = site_of(request).provider, there.here.visit, client.meta.backchannel_logout_uri or ""
    async with provider.db.read() as session:
        parts = await sessions.participants(session, [visit.who.session.id])
    sid = next((one.sid for one in parts if one.client_id == client.client_id), random_token()[:32])
    token = logout_token(provider, client.client_id, sid, visit.user.id)
    try:
        status = await provider.outbound.post_form(uri, {"logout_token": token})
        answer, text = f"HTTP {status}", _meaning(status)
    except (OutboundRefused, httpx.HTTPError) as error:
        answer, text = public_reason(uri, error), NO_ANSWER
    return {
        "name": "backchannel",
        "request": _lines("POST", uri, {}, {"logout_token": f"{token[:24]}…"}),
        "response": answer,
        "failed": text in (NOT_TAKEN, NOT_THERE),
        "tokens": [_opened("logout_token", token)],
        "text": text,
        "right": text == TOLD,
    }


def _meaning(status: int) -> str:
    """Return what the answer to a logout token says (Back-Channel Logout section 2.8)."""
    if 200 <= status < 300:
        return TOLD
    return NOT_THERE if status in (404, 405) else NOT_TAKEN


async def _begin(request: Request, there: There, client: Client, fields: dict[str, str]) -> Response:
    provider, verifier, nonce = site_of(request).provider, random_token(), random_token()
    scopes = [name for name in sorted(client.scopes) if name == "openid" or fields.get(f"scope {name}") == "1"]
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": own_uri(request),
        "scope": " ".join(sorted(scopes, key=lambda one: one != "openid")),
        "nonce": nonce,
        "code_challenge": base64url(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }
    if fields.get("prompt") in PROMPTS[1:]:
        asked["prompt"] = fields["prompt"]
    if fields.get("acr_values") in ACR_VALUES:
        asked["acr_values"] = fields["acr_values"]
    if read_int_or_none(fields.get("max_age", ""), 0, 999_999_999) is not None:
        asked["max_age"] = fields["max_age"]
    if fields.get("claims", "").strip():
        asked["claims"] = fields["claims"].strip()[:2000]
    async with provider.db.write() as session:
        secret = await trial_secret(session, client.client_id) if client.meta.needs_secret else ""
        data = {"application_id": there.application_id, "asked": asked, "verifier": verifier, "nonce": nonce}
        running = await pending_flows.begin(
            session,
            provider.box,
            "try",
            browser_of(request),
            {**data, "secret": secret, "steps": []},
            user_id=there.here.visit.user.id,
            seconds=TRIAL_SECONDS,
        )
        asked["state"] = running.token
        running.data["steps"] = [{"name": "authorize", "request": _lines("GET", "/authorize", {}, asked, query=True)}]
        await pending_flows.keep(session, provider.box, running)
    await provider.refresh()
    return RedirectResponse(f"{provider.url('/authorize')}?{urlencode(asked)}", 303)


@router.post(APPS + "/{application_id}/test-person")
async def become(request: Request, there: Member) -> Response:
    """Sign a test person in at this browser, besides who is here: each sandbox then asks who is meant."""
    fields, site = await own_form(request, f"try {there.application_id}"), site_of(request)
    name, acr = fields.get("person", ""), fields.get("acr", "")
    if name not in PEOPLE or acr not in SIGN_IN_LEVELS:
        return RedirectResponse(f"{APPS}/{there.application_id}/try", 303)
    try:
        async with site.provider.db.write() as session:
            started = await start(
                session,
                site.settings,
                proof_for(await test_person(session, name), acr),
                current=None,
                address=kept_address_of(request),
                user_agent=request.headers.get("user-agent", ""),
                request_id=request_id_of(request),
            )
    except ReportFinished:
        return RedirectResponse(f"{APPS}/{there.application_id}/try", 303)
    made = RedirectResponse(f"{APPS}/{there.application_id}/try?as={name}", 303)
    mine = tokens_of(request)
    with_accounts(request, made, [mine[0], started.token, *mine[1:]][:MAX_ACCOUNTS])
    return made


@router.get(TRY_PATH)
async def back(request: Request, here: SignedIn) -> Response:
    """Where the browser comes back to, with a code or an error: what was asked for goes on."""
    provider, said = site_of(request).provider, dict(query_pairs(request))
    if said.get("state") == "keluar":
        return RedirectResponse("/developer", 303)
    async with provider.db.read() as session:
        running = await pending_flows.recall(
            session, provider.box, "try", said.get("state", ""), read_cookie(request, "browser")
        )
        if running is None or running.user_id != here.visit.user.id:
            return failure(request, "stale_form", 400)
        application_id = str(running.data["application_id"])
        client = await _client(request, session, application_id, here)
    if client is None:
        return failure(request, "not_found", 404)
    answer: dict[str, Any] = {"name": "answer", "request": _lines("GET", TRY_PATH, {}, said, query=True)}
    issuer = site_of(request).settings.issuer
    answer["checks"] = [["state", True], ["answer_iss", said.get("iss") == issuer]]
    steps: list[dict[str, Any]] = [answer]
    if "code" in said and not running.data.get("tokens"):
        steps += await _exchange(request, client, running, said["code"])
    await _keep(request, running, steps)
    return RedirectResponse(f"{APPS}/{application_id}/try?t={running.token}", 303)


async def _client(request: Request, session: AsyncSession, application_id: str, here: Here) -> Client | None:
    found = await session.get(Application, application_id)
    if found is None or await role_of(session, application_id, here.visit.user.id) is None:
        return None
    return site_of(request).provider.registry.enabled(sandbox_id(application_id))


async def _exchange(request: Request, client: Client, running: RunningFlow, code: str) -> list[dict[str, Any]]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": own_uri(request),
        "code_verifier": running.data["verifier"],
    }
    step, tokens = await _send(request, client, running.data["secret"], "token", "/token", form)
    if "access_token" not in tokens:
        return [step]
    running.data["tokens"] = tokens
    step["tokens"] = await _decoded(request, client, tokens, running.data["nonce"])
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    asked, claims = await _call(request, "userinfo", "GET", "/userinfo", headers, {})
    sub = step["tokens"][0]["claims"].get("sub") if step["tokens"] else None
    asked["checks"] = [["sub", claims.get("sub") == sub]]
    return [step, asked]


async def _send(
    request: Request, client: Client, secret: str, name: str, path: str, form: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send a form with the client's authentication, as it is registered."""
    headers = {}
    method = client.meta.token_endpoint_auth_method
    if method == "client_secret_basic":
        pair = f"{quote(client.client_id, safe='')}:{quote(secret, safe='')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        form = {**form, "client_id": client.client_id}
        if method == "client_secret_post":
            form["client_secret"] = secret
    return await _call(request, name, "POST", path, headers, form)


async def _call(
    request: Request, name: str, method: str, path: str, headers: dict[str, str], form: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send a request to one of our own endpoints, and return it and its answer as they are shown, and the answer."""
    # In the name of the developer's own address: an application without a secret is held to the network of its user.
    transport = httpx.ASGITransport(request.app, client=(address_of(request), 0), raise_app_exceptions=False)
    issuer = site_of(request).settings.issuer
    async with httpx.AsyncClient(transport=transport, base_url=issuer) as http:
        answer = await http.request(method, path, headers=headers, data=form or None)
    try:
        body: Any = answer.json()
    except ValueError:
        body = {}
    shown = {key: value for key, value in answer.headers.items() if key in SHOWN_HEADERS}
    lines = [f"HTTP {answer.status_code}", *(f"{key}: {value}" for key, value in shown.items())]
    pretty = orjson.dumps(_masked(body), option=orjson.OPT_INDENT_2).decode() if body else ""
    step = {"name": name, "request": _lines(method, path, headers, form), "response": "\n".join([*lines, "", pretty])}
    return {**step, "failed": answer.status_code >= 400}, body if isinstance(body, dict) else {}


def _lines(method: str, path: str, headers: dict[str, str], form: dict[str, str], *, query: bool = False) -> str:
    """Return a request as it is shown: a parameter on each line, what is secret masked."""
    sign = "?" if query else ""
    lines = [f"{method} {path}{sign}", *(f"{name}: {_hidden(name, value)}" for name, value in headers.items())]
    return "\n".join([*lines, *(f"    {name}={_hidden(name, value)}" for name, value in form.items())])


def _hidden(name: str, value: str) -> str:
    if name.lower() in ("authorization", "client_secret", "refresh_token", "token", "id_token_hint"):
        scheme, _, rest = value.partition(" ")
        return f"{scheme} …{rest[-4:]}" if rest else f"…{value[-4:]}"
    return value


def _masked(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    long = ("access_token", "refresh_token", "id_token")
    return {name: f"{str(value)[:24]}…" if name in long else value for name, value in body.items()}


async def _decoded(request: Request, client: Client, tokens: dict[str, Any], nonce: str) -> list[dict[str, Any]]:
    """Return the tokens as they are shown: header, claims, and of the ID token each check."""
    provider = site_of(request).provider
    found = []
    for name in ("id_token", "access_token"):
        try:
            one = _opened(name, tokens[name])
        except (jwt.PyJWTError, KeyError):
            continue
        header, claims = one["header"], one["claims"]
        if name == "id_token":
            one["checks"] = _checks(provider.settings.issuer, client, tokens, header, claims, nonce, _keys(request))
        one["until"] = datetime.fromtimestamp(claims["exp"], UTC).isoformat() if "exp" in claims else ""
        found.append(one)
    return found


def _opened(name: str, token: str) -> dict[str, Any]:
    """Return a token as it is shown, not checked yet."""
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    text = orjson.dumps({"header": header, "claims": claims}, option=orjson.OPT_INDENT_2).decode()
    return {"name": name, "header": header, "claims": claims, "checks": [], "text": text}


def _keys(request: Request) -> dict[str, Any]:
    jwks = orjson.loads(site_of(request).provider.keys.jwks()[0])
    return {key["kid"]: key for key in jwks["keys"]}


def _checks(
    issuer: str,
    client: Client,
    tokens: dict[str, Any],
    header: dict[str, Any],
    claims: dict[str, Any],
    nonce: str,
    keys: dict[str, Any],
) -> list[tuple[str, bool]]:
    """Check an ID token as every application must (OpenID Connect Core section 3.1.3.7)."""
    try:
        key = jwt.PyJWK(keys[header["kid"]])
        options: Any = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        jwt.decode(tokens["id_token"], key, algorithms=[header["alg"]], options=options)
        signed = True
    except (jwt.PyJWTError, KeyError):
        signed = False
    made = [
        ("signature", signed),
        ("iss", claims.get("iss") == issuer),
        ("aud", claims.get("aud") in (client.client_id, [client.client_id])),
        ("exp", claims.get("exp", 0) > clock.timestamp()),
    ]
    if nonce:
        made.append(("nonce", claims.get("nonce") == nonce))
    if "at_hash" in claims:
        half = hashlib.sha256(str(tokens["access_token"]).encode()).digest()[:16]
        made.append(("at_hash", claims["at_hash"] == base64url(half)))
    return made


async def _keep(request: Request, running: RunningFlow, steps: list[dict[str, Any]]) -> None:
    provider = site_of(request).provider
    running.data["steps"] = [*running.data["steps"], *steps][-20:]
    async with provider.db.write() as session:
        await pending_flows.keep(session, provider.box, running)
