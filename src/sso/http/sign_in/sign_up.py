"""Pages of a sign-up: a contact, the code that verifies it, a name and a password or passkey; then on to the
application. The rules are in ``accounts/sign_up.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.flows import Continuation, FlowEnded, FlowRefused, Problem
from sso.accounts.profile import MAX_NAME_CHARS, read_name
from sso.accounts.sign_up import (
    begin_sign_up,
    check_sign_up_code,
    create_account,
    data_of,
    hash_new_password,
    read_contact,
    recall_sign_up,
    resend_sign_up_code,
)
from sso.http.common.account_services import account_services
from sso.http.common.cookies import browser_of, read_cookie, with_browser
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.i18n import N_
from sso.http.common.onward import (
    OPEN,
    Onward,
    application_named,
    page_end,
    read_onward,
    sign_in_address,
    stored_onward,
)
from sso.http.common.pages import failure, page
from sso.http.common.responses import to_wait
from sso.http.common.state import site_of
from sso.http.common.visitor import visitor_of
from sso.http.sign_in.authorize import BUSY, STALE, Gone, Waiting, recall_waiting, signed_in, who_is_here
from sso.http.sign_in.flow_texts import SIGN_UP_TEXTS, TOO_MANY, WEAK
from sso.http.sign_in.steps import Options
from sso.identity.authn.authenticated import Authenticated
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.users.identifiers import masked
from sso.identity.users.models import User
from sso.platform.security.rate_limits import TooManyFailures
from sso.settings import whole_minutes

router = APIRouter()

HERE = "/signup"
MAX_CONTACT_CHARS = 254
MAX_CREDENTIAL_CHARS = 20_000
NOT_A_MAIL = N_("Type an e-mail address such as siti@example.id.")
NOT_AGREED = N_("Tick the box if you agree. Without it we cannot make an account for you.")
NO_NAME = N_("Type your name, as it is on your identity card.")


@router.get(HERE)
async def sign_up_page(request: Request) -> Response:
    """The page of a sign-up: where it begins, or wherever it is."""
    if not site_of(request).settings.sign_up_kinds:
        return failure(request, "not_found", 404)
    token = request.query_params.get("c", "")
    if not token:
        query = dict(request.query_params)
        waiting = await _waiting(request, query.get("i", ""))
        hint = waiting.asked.login_hint if waiting else ""
        return _begin_page(request, waiting, {**query, "contact": hint})
    found = await _recall(request, token)
    if found is None:
        return failure(request, "expired_interaction", 400)
    return _page(request, *found)


@router.post(HERE)
async def sign_up(request: Request) -> Response:
    """One page of a sign-up."""
    if not site_of(request).settings.sign_up_kinds:
        return failure(request, "not_found", 404)
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    if not read_cookie(request, "browser"):
        return failure(request, "no_cookies", 400)
    if not fields.get("c"):
        waiting = await _waiting(request, fields.get("i", ""))
        return await _begin(request, waiting, fields)
    found = await _recall(request, fields["c"])
    if found is None:
        return failure(request, "expired_interaction", 400)
    flow, waiting = found
    if not has_valid_csrf_token(request, fields, f"sign-up {flow.token}"):
        return _page(request, flow, waiting, STALE, 400)
    if not flow.data.get("verified"):
        return await _check_code(request, flow, waiting, fields)
    return await _create(request, flow, waiting, fields)


async def _begin(request: Request, waiting: Waiting | None, fields: dict[str, str]) -> Response:
    services, onward = account_services(request), _onward(waiting, fields)
    if not has_valid_csrf_token(request, fields, "sign-up"):
        return _begin_page(request, waiting, fields, STALE, 400)
    try:
        contact = read_contact(services.settings, fields.get("contact", ""))
    except FlowRefused as error:
        text, status = SIGN_UP_TEXTS[error.problem]
        if error.problem is Problem.NOT_A_CONTACT and "phone" not in services.settings.sign_up_kinds:
            text = NOT_A_MAIL
        return _begin_page(request, waiting, fields, text, status)
    if fields.get("agree") != "1":
        return _begin_page(request, waiting, fields, NOT_AGREED, 400, field="agree")
    try:
        flow = await begin_sign_up(services, visitor_of(request), contact, _continuation(request, onward))
    except TooManyFailures as error:
        return to_wait(_begin_page(request, waiting, fields, TOO_MANY, 429, minutes=error.minutes), error.retry_after)
    site_of(request).worker.nudge()
    return _to(request, flow)


async def _check_code(request: Request, flow: RunningFlow, waiting: Waiting | None, fields: dict[str, str]) -> Response:
    services, visitor = account_services(request), visitor_of(request)
    try:
        if fields.get("choice") == "resend":
            continuation = _continuation(request, stored_onward(flow.data))
            try:
                await resend_sign_up_code(services, visitor, flow, continuation)
            finally:
                site_of(request).worker.nudge()
            return _page(request, flow, waiting, sent_again=True)
        await check_sign_up_code(services, visitor, flow, fields.get("code", ""))
    except FlowRefused as error:
        return _refused(request, flow, waiting, error)
    return RedirectResponse(f"{HERE}?{urlencode({'c': flow.token})}", 303, {"Cache-Control": "no-store"})


async def _create(request: Request, flow: RunningFlow, waiting: Waiting | None, fields: dict[str, str]) -> Response:
    """Create the account, sign in, and go on."""
    services, visitor = account_services(request), visitor_of(request)
    name, passkey = read_name(fields.get("name", "")), fields.get("credential", "")[:MAX_CREDENTIAL_CHARS]
    if not name:
        typed = " ".join(fields.get("name", "").split())[:MAX_NAME_CHARS]
        return _page(request, flow, waiting, NO_NAME, 400, name=typed, field="name")
    hashed = None
    try:
        if not passkey:
            hashed = await hash_new_password(services, visitor, flow, name, fields.get("password", ""))
        proof = await create_account(services, visitor, flow, name, password_hash=hashed, passkey=passkey)
    except WeakPassword as error:
        return _page(request, flow, waiting, WEAK[error.code], 400, name=name, field="password", minimum=error.minimum)
    except Busy as error:
        return to_wait(_page(request, flow, waiting, BUSY, 503, name=name), error.retry_after)
    except FlowEnded:
        return failure(request, "expired_interaction", 400)
    except FlowRefused as error:
        return _refused(request, flow, waiting, error, name=name)
    return await _sign_in(request, flow, waiting, proof)


async def _sign_in(request: Request, flow: RunningFlow, waiting: Waiting | None, proof: Authenticated) -> Response:
    """Sign a new user in, and go on to where they want to go."""
    onward = stored_onward(flow.data)
    before = (await recall_waiting(request, waiting.token))[1] if waiting else await who_is_here(request, flow.data)
    then, client = onward.then, application_named(request, onward)
    if waiting is None and client is not None and client.meta.initiate_login_uri:
        then = OPEN + client.client_id  # the request ended meanwhile
    options = Options(i=waiting.token if waiting else "", add=True, then=then, user_code=onward.user_code)
    response = await signed_in(request, waiting, before, proof, options)
    site_of(request).worker.nudge()
    return response


async def _recall(request: Request, token: str) -> tuple[RunningFlow, Waiting | None] | None:
    flow = await recall_sign_up(account_services(request), visitor_of(request), token)
    if flow is None:
        return None
    return flow, await _waiting(request, flow.data["i"])


async def _waiting(request: Request, token: str) -> Waiting | None:
    """Return the authorization request for which somebody signs up; None where it has ended: they can sign up all the
    same."""
    try:
        return (await recall_waiting(request, token))[0] if token else None
    except Gone:
        return None


def _onward(waiting: Waiting | None, typed: Mapping[str, str]) -> Onward:
    """Return where somebody wants to go who signs up."""
    if waiting is not None:
        return Onward(i=waiting.token, client_id=waiting.asked.client.client_id)
    return replace(read_onward(typed), i="")


def _continuation(request: Request, onward: Onward) -> Continuation:
    """Return what the flow keeps of where somebody wants to go. The link in a message may be opened in another browser:
    it leads to the application, where that can be opened."""
    client = application_named(request, onward)
    sign_in_at = sign_in_address(replace(onward, i="", user_code=""), client)
    return Continuation(onward.stored, page_end(site_of(request).provider, onward), sign_in_at)


def _to(request: Request, flow: RunningFlow) -> Response:
    response = RedirectResponse(f"{HERE}?{urlencode({'c': flow.token})}", 303, {"Cache-Control": "no-store"})
    return with_browser(request, response)


def _common(request: Request, waiting: Waiting | None, onward: Onward) -> dict[str, Any]:
    asked, settings = waiting.asked if waiting else None, site_of(request).settings
    named = application_named(request, onward)
    return {
        "ui_locales": asked.ui_locales if asked else "",
        "form_target": asked.redirect_uri if asked else "",
        "display": asked.display if asked else "page",
        "client": asked.client if asked else named,
        "terms": settings.terms_url or "/terms",
        "privacy": settings.privacy_url or "/privacy",
    }


def _begin_page(
    request: Request,
    waiting: Waiting | None,
    fields: dict[str, str],
    problem: str = "",
    status: int = 200,
    *,
    field: str = "contact",
    **values: int,
) -> Response:
    onward = _onward(waiting, fields)
    client = application_named(request, onward)
    return page(
        request,
        "sign_up.html",
        status=status,
        here=onward.address(HERE),
        onward=onward.fields,
        sign_in_at=sign_in_address(onward, client),
        contact=fields.get("contact", "")[:MAX_CONTACT_CHARS],
        agreed=fields.get("agree") == "1",
        kinds=site_of(request).settings.sign_up_kinds,
        problem=problem,
        field=field,
        values=values,
        csrf_token=csrf_token(request, "sign-up"),
        **_common(request, waiting, onward),
    )


def _refused(
    request: Request, flow: RunningFlow, waiting: Waiting | None, error: FlowRefused, *, name: str = ""
) -> Response:
    """Return the page that says why a step was refused."""
    text, status = SIGN_UP_TEXTS[error.problem]
    response = _page(request, flow, waiting, text, status, name=name, minutes=error.minutes)
    return to_wait(response, error.retry_after) if error.retry_after else response


def _page(
    request: Request,
    flow: RunningFlow,
    waiting: Waiting | None,
    problem: str = "",
    status: int = 200,
    *,
    name: str = "",
    field: str = "",
    sent_again: bool = False,
    **values: int,
) -> Response:
    site, data = site_of(request), data_of(flow)
    verified, passkey = bool(data.get("verified")), ""
    if verified:
        stub = User(id=UUID(data["user_id"]), name=name or data["contact"])
        passkey = site.provider.passkeys.creation_options(stub, data["contact"], [], browser_of(request))
    return page(
        request,
        "sign_up_account.html" if verified else "sign_up_code.html",
        status=status,
        here=f"{HERE}?{urlencode({'c': flow.token})}",
        c=flow.token,
        kind=data["kind"],
        contact=data["contact"],
        shown=masked(data["kind"], data["contact"]),
        minutes=whole_minutes(site.settings.one_time_code_lifetime),
        minimum=site.settings.password_min_length,
        name=name,
        problem=problem,
        field=field,
        sent_again=sent_again,
        values=values,
        passkey=passkey,
        csrf_token=csrf_token(request, f"sign-up {flow.token}"),
        **_common(request, waiting, stored_onward(flow.data)),
    )
