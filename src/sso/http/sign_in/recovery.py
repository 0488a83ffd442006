"""Pages of a recovery. The rules are in ``accounts/recovery.py``; links of messages are in ``recovery_links.py``."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.flows import Continuation, FlowEnded, FlowRefused
from sso.accounts.recovery import (
    Delayed,
    begin_recovery,
    check_recovery_code,
    check_second_factor,
    choose_password,
    data_of,
    delay_recovery,
    recall_recovery,
    resend_recovery_code,
)
from sso.http.common.account_services import account_services
from sso.http.common.cookies import browser_of, read_cookie, with_browser
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.i18n import N_
from sso.http.common.onward import Onward, find_onward, page_end, read_onward, sign_in_address, stored_onward
from sso.http.common.pages import failure, page
from sso.http.common.responses import to_wait
from sso.http.common.state import site_of
from sso.http.common.visitor import visitor_of
from sso.http.common.way_back import way_back
from sso.http.sign_in.authorize import BUSY, STALE
from sso.http.sign_in.flow_texts import RECOVERY_TEXTS, TOO_MANY, WEAK
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.authn.second_factor_policy import STRONG
from sso.identity.users import store as users
from sso.identity.users.identifiers import masked, meanings
from sso.platform.security.rate_limits import TooManyFailures
from sso.settings import whole_hours, whole_minutes

router = APIRouter()

HERE = "/recover"
MAX_TYPED_CHARS, MAX_CODE_CHARS, MAX_FACTOR_CHARS, MAX_CREDENTIAL_CHARS = 254, 40, 100, 20_000
NOTHING_TYPED = N_("Type your e-mail, telephone number, user name or NIK.")
TEMPLATES = {"code": "recover_code.html", "second": "recover_second.html", "password": "recover_password.html"}
"""The page of each stage."""


@router.get(HERE)
async def recover_page(request: Request) -> Response:
    """Where a recovery begins, or wherever it is."""
    token = request.query_params.get("c", "")
    if not token:
        return await _begin_page(request, dict(request.query_params))
    flow = await recall_recovery(account_services(request), visitor_of(request), token)
    return await _page(request, flow) if flow else failure(request, "expired_interaction", 400)


@router.post(HERE)
async def recover_form(request: Request) -> Response:
    """One page of a recovery."""
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    if not read_cookie(request, "browser"):
        return failure(request, "no_cookies", 400)
    if not fields.get("c"):
        return await _begin(request, fields)
    flow = await recall_recovery(account_services(request), visitor_of(request), fields["c"])
    if flow is None:
        return failure(request, "expired_interaction", 400)
    if not has_valid_csrf_token(request, fields, f"recover {flow.token}"):
        return await _page(request, flow, STALE, 400)
    steps = {"code": _check_code, "second": _check_second}
    try:
        return await steps.get(flow.data["stage"], _choose_password)(request, flow, fields)
    except FlowEnded:
        return failure(request, "expired_interaction", 400)
    except FlowRefused as error:
        text, status = RECOVERY_TEXTS[error.problem]
        response = await _page(request, flow, text, status, minutes=error.minutes)
        return to_wait(response, error.retry_after) if error.retry_after else response


async def _begin(request: Request, fields: dict[str, str]) -> Response:
    typed = fields.get("username", "").strip()
    if not has_valid_csrf_token(request, fields, "recover"):
        return await _begin_page(request, fields, STALE, 400)
    if not typed:
        return await _begin_page(request, fields, NOTHING_TYPED, 400)
    onward, _, _ = await find_onward(request, read_onward(fields))
    try:
        flow = await begin_recovery(
            account_services(request), visitor_of(request), typed, continuation(request, onward)
        )
    except TooManyFailures as error:
        response = await _begin_page(request, fields, TOO_MANY, 429, minutes=error.minutes)
        return to_wait(response, error.retry_after)
    site_of(request).worker.nudge()
    return to_recovery(request, flow)


async def _check_code(request: Request, flow: RunningFlow, fields: dict[str, str]) -> Response:
    """Check the code that was sent, or that the helpdesk made."""
    services, visitor = account_services(request), visitor_of(request)
    if fields.get("choice") == "resend":
        try:
            await resend_recovery_code(services, visitor, flow)
        finally:
            site_of(request).worker.nudge()
        return await _page(request, flow, sent_again=True)
    typed = fields.get("code", "").strip()[:MAX_CODE_CHARS]
    outcome = await check_recovery_code(services, visitor, flow, typed)
    return _waits_page(request, outcome) if isinstance(outcome, Delayed) else to_recovery(request, flow)


async def _check_second(request: Request, flow: RunningFlow, fields: dict[str, str]) -> Response:
    """Check the second factor; without it the recovery waits."""
    services, visitor = account_services(request), visitor_of(request)
    if fields.get("choice") == "lost":
        return _waits_page(request, await delay_recovery(services, visitor, flow))
    typed = fields.get("code", "").strip()[:MAX_FACTOR_CHARS]
    passkey = fields.get("credential", "")[:MAX_CREDENTIAL_CHARS]
    await check_second_factor(services, visitor, flow, typed, passkey)
    return to_recovery(request, flow)


async def _choose_password(request: Request, flow: RunningFlow, fields: dict[str, str]) -> Response:
    try:
        await choose_password(account_services(request), visitor_of(request), flow, fields.get("password", ""))
    except WeakPassword as error:
        return await _page(request, flow, WEAK[error.code], 400, minimum=error.minimum)
    except Busy as error:
        return to_wait(await _page(request, flow, BUSY, 503), error.retry_after)
    site_of(request).worker.nudge()
    onward, _, client = await find_onward(request, stored_onward(flow.data))
    target = sign_in_address(onward, client)
    return page(
        request,
        "recover_done.html",
        here=target,
        client=client,
        target=target,
        back=way_back(client, signing_in=True),
        user_code=onward.user_code,
    )


def continuation(request: Request, onward: Onward) -> Continuation:
    """Return what a recovery keeps of where the user wants to go."""
    return Continuation(onward.stored, page_end(site_of(request).provider, onward))


def to_recovery(request: Request, flow: RunningFlow) -> Response:
    """Return the way to the page of a recovery."""
    response = RedirectResponse(f"{HERE}?{urlencode({'c': flow.token})}", 303, {"Cache-Control": "no-store"})
    return with_browser(request, response)


def likely_kind(typed: str) -> str:
    """Return the kind of identifier that was typed, that of a contact before that of a user name; empty: none."""
    found = sorted(meanings(typed), key=lambda one: one.kind == "username")
    return found[0].kind if found else ""


async def _begin_page(
    request: Request, fields: dict[str, str], problem: str = "", status: int = 200, **values: int
) -> Response:
    settings = site_of(request).settings
    onward, asked, client = await find_onward(request, read_onward(fields))
    return page(
        request,
        "recover.html",
        status=status,
        ui_locales=asked.ui_locales if asked else "",
        here=onward.address(HERE),
        display=asked.display if asked else "page",
        client=client,
        onward=onward.fields,
        sign_in_at=sign_in_address(onward, client),
        username=fields.get("username", "")[:MAX_TYPED_CHARS],
        available=settings.can_send("email") or settings.can_send("phone"),
        problem=problem,
        values=values,
        csrf_token=csrf_token(request, "recover"),
    )


def _waits_page(request: Request, delayed: Delayed) -> Response:
    """Return the page that says that the recovery waits."""
    site = site_of(request)
    site.worker.nudge()
    client = site.provider.registry.get(delayed.client_id) if delayed.client_id else None
    return page(request, "recover_waits.html", here=HERE, ready=delayed.ready_at, client=client)


async def _page(
    request: Request,
    flow: RunningFlow,
    problem: str = "",
    status: int = 200,
    *,
    sent_again: bool = False,
    **values: int,
) -> Response:
    site, data, settings = site_of(request), data_of(flow), site_of(request).settings
    stage, typed, has = data["stage"], data.get("typed", ""), set[str]()
    if stage != "code" and flow.user_id is not None:
        async with site.provider.db.read() as session:
            has = {one.kind for one in await users.credentials_of(session, flow.user_id)}
    second = stage == "password" and not data["drop"] and bool(has & STRONG)
    _, asked, client = await find_onward(request, stored_onward(flow.data))
    return page(
        request,
        TEMPLATES[stage],
        status=status,
        ui_locales=asked.ui_locales if asked else "",
        here=f"{HERE}?{urlencode({'c': flow.token})}",
        display=asked.display if asked else "page",
        client=client,
        c=flow.token,
        typed=typed,
        shown=masked(likely_kind(typed), typed),
        minutes=whole_minutes(settings.one_time_code_lifetime),
        hours=whole_hours(settings.recovery_delay),
        minimum=settings.password_min_length_with_second_factor if second else settings.password_min_length,
        has=has,
        problem=problem,
        sent_again=sent_again,
        values=values,
        passkey=site.provider.passkeys.request_options(browser_of(request)) if "passkey" in has else "",
        csrf_token=csrf_token(request, f"recover {flow.token}"),
    )
