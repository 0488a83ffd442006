"""Pages of a recovery. The rules are in ``accounts/recovery.py``; links of messages are in ``recovery_links.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from pydantic import AfterValidator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
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
from sso.accounts.services import AccountServices
from sso.accounts.sign_in.after_recovery import sign_in_after_recovery
from sso.accounts.sign_in.destination import Destination, page_end, stored_destination
from sso.accounts.sign_in.pending_request import account_at
from sso.clients.registry import Registry
from sso.http.common.channels import channel_texts, chosen_channel, is_resend
from sso.http.common.cookies import with_browser
from sso.http.common.destination import find_destination, read_destination, sign_in_address
from sso.http.common.field_errors import FieldError, errors_in_order, field_error
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.services import Accounts
from sso.http.common.typed_forms import FormModel, cut, first, read_form, required
from sso.http.common.way_back import way_back
from sso.http.sign_in.after_sign_in import address_of_destination, own_destination
from sso.http.sign_in.arrival import arrival_of
from sso.http.sign_in.finish import finish
from sso.http.sign_in.flow_texts import RECOVERY_TEXTS, TOO_MANY, WEAK
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.texts import BUSY, STALE
from sso.identity.authn.authenticated import Authenticated
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.authn.second_factor_policy import STRONG
from sso.identity.users import store as users
from sso.identity.users.identifiers import contacts_first, masked, meanings
from sso.platform.security.encryption import SecretBox
from sso.platform.security.numbers import read_int_or_none
from sso.platform.security.rate_limits import TooManyFailures
from sso.platform.security.tokens import equal
from sso.settings import whole_hours, whole_minutes

router = new_router()

HERE = "/recover"
DONE_SECONDS = 1800
"""How long the page that says that an account is recovered can be opened again."""
MAX_TIMESTAMP = 10**11
MAX_TYPED_CHARS, MAX_CODE_CHARS, MAX_FACTOR_CHARS, MAX_CREDENTIAL_CHARS = 254, 40, 100, 20_000
NOTHING_TYPED = N_("Enter your e-mail, phone number, username or NIK.")
TEMPLATES = {"code": "recover_code.html", "second": "recover_second.html", "password": "recover_password.html"}
"""The page of each stage."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery that is under way.

    Args:
        page: the request.
        accounts: what use cases about the own account need.
        flow: the pending flow.
    """

    page: PageRequest
    accounts: AccountServices
    flow: RunningFlow


class IdentifierForm(FormModel):
    """The form with which a recovery begins."""

    username: Annotated[str, AfterValidator(str.strip), required(NOTHING_TYPED)] = ""


class CodeForm(FormModel):
    """The form of the code: what was typed, or the button that sends another one."""

    choice: str = ""
    code: Annotated[str, cut(MAX_CODE_CHARS)] = ""


class SecondFactorForm(FormModel):
    """The form of the second factor; ``choice`` is ``lost`` where there is none."""

    choice: str = ""
    code: Annotated[str, cut(MAX_FACTOR_CHARS)] = ""
    credential: Annotated[str, first(MAX_CREDENTIAL_CHARS)] = ""


class PasswordForm(FormModel):
    """The form of the new password, which is read as it is."""

    password: str = ""


@router.get(HERE)
async def recover_page(page: CurrentPage, accounts: Accounts) -> Response:
    """Where a recovery begins, or wherever it is."""
    token = page.query.get("c", "")
    if not token:
        return await _begin_page(page, page.query)
    flow = await recall_recovery(accounts, page.visitor, token)
    return await _page(page, flow) if flow else page.failure("expired_interaction", 400)


@router.post(HERE)
async def recover_form(page: CurrentPage, accounts: Accounts) -> Response:
    """One page of a recovery."""
    if not page.has_browser:
        return page.failure("no_cookies", 400)
    token = page.fields.get("c", "")
    if not token:
        return await _begin(page, accounts)
    flow = await recall_recovery(accounts, page.visitor, token)
    if flow is None:
        return page.failure("expired_interaction", 400)
    if not page.has_valid_csrf_token(f"recover {flow.token}"):
        return await _page(page, flow, field_error("", STALE), 400)
    steps = {"code": _check_code, "second": _check_second, "password": _choose_password}
    try:
        return await steps[data_of(flow)["stage"]](Recovery(page, accounts, flow))
    except FlowEnded:
        return page.failure("expired_interaction", 400)
    except FlowRefused as error:
        text, status = RECOVERY_TEXTS[error.problem]
        errors = field_error("code", text, minutes=error.minutes)
        response = await _page(page, flow, errors, status)
        return to_wait(response, error.retry_after)


async def _begin(page: PageRequest, accounts: AccountServices) -> Response:
    if not page.has_valid_csrf_token("recover"):
        return await _begin_page(page, page.fields, field_error("", STALE), 400)
    sent = read_form(IdentifierForm, page.fields)
    if sent.mistakes:
        return await _begin_page(page, page.fields, errors_in_order(sent.mistakes), 400)
    destination, _, _ = await find_destination(page.request, read_destination(page.fields))
    onward = continuation(page.services.provider.box, page.services.provider.registry, destination)
    try:
        flow = await begin_recovery(accounts, page.visitor, sent.form.username, onward)
    except TooManyFailures as error:
        response = await _begin_page(page, page.fields, field_error("", TOO_MANY, minutes=error.minutes), 429)
        return to_wait(response, error.retry_after)
    accounts.worker.nudge()
    return to_recovery(page.request, flow)


async def _check_code(recovery: Recovery) -> Response:
    """Check the code that was sent, or that the helpdesk made."""
    page, accounts, flow = recovery.page, recovery.accounts, recovery.flow
    form = read_form(CodeForm, page.fields).form
    if is_resend(form.choice):
        try:
            await resend_recovery_code(accounts, page.visitor, flow, chosen_channel(form.choice))
        finally:
            accounts.worker.nudge()
        return await _page(page, flow, sent_again=True)
    outcome = await check_recovery_code(accounts, page.visitor, flow, form.code)
    return _waits_page(page, accounts, outcome) if isinstance(outcome, Delayed) else to_recovery(page.request, flow)


async def _check_second(recovery: Recovery) -> Response:
    """Check the second factor; without it the recovery waits."""
    page, accounts, flow = recovery.page, recovery.accounts, recovery.flow
    form = read_form(SecondFactorForm, page.fields).form
    if form.choice == "lost":
        return _waits_page(page, accounts, await delay_recovery(accounts, page.visitor, flow))
    await check_second_factor(accounts, page.visitor, flow, form.code, form.credential)
    return to_recovery(page.request, flow)


async def _choose_password(recovery: Recovery) -> Response:
    page, flow = recovery.page, recovery.flow
    form = read_form(PasswordForm, page.fields).form
    try:
        authenticated = await choose_password(recovery.accounts, page.visitor, flow, form.password)
    except WeakPassword as error:
        return await _page(page, flow, field_error("password", WEAK[error.code], minimum=error.minimum), 400)
    except Busy as error:
        return to_wait(await _page(page, flow, field_error("", BUSY), 503), error.retry_after)
    return await _sign_in(page, authenticated, stored_destination(flow.data))


async def _sign_in(page: PageRequest, authenticated: Authenticated, stored: Destination) -> Response:
    """Sign a user in who has recovered the account, and go on to where they want to go."""
    destination, _, _ = await find_destination(page.request, stored)
    arrival = await arrival_of(page, destination)
    result = await sign_in_after_recovery(
        page.services, page.visitor, authenticated, arrival.options, pending=arrival.pending, before=arrival.before
    )
    page.services.worker.nudge()
    token = _recovered_token(page, str(authenticated.user.id), int(clock.timestamp()) + DONE_SECONDS)
    address = arrival.destination.address(f"{HERE}/done", recovered=token)
    landing = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
    return finish(arrival.page, result, arrival.pending, arrival.before, landing)


@router.get(f"{HERE}/done")
async def recovered_page(page: CurrentPage) -> Response:
    """The page of a user who has recovered the account and is signed in: it leads to where they wanted to go.

    Only the recovery itself leads here: a link of somebody else cannot claim that an account was recovered.
    """
    current = await account_at(page.services, page.visitor)
    if current is None:
        return RedirectResponse("/login", 303)
    token = page.query.get("recovered", "")
    if not _has_recovered(page, str(current.signed_in.user.id), token):
        return RedirectResponse("/", 303, {"Cache-Control": "no-store"})
    destination, _, client = await find_destination(page.request, read_destination(page.query))
    target = address_of_destination(own_destination(destination.fields))
    opens = target == "/" and client is not None
    return page.page(
        "recover_done.html",
        here=destination.address(f"{HERE}/done", recovered=token),
        header=page.header(current.signed_in.user.name),
        client=client,
        target=(way_back(client, signing_in=True) or target) if opens else target,
        user_code=destination.user_code,
    )


def _recovered_token(page: PageRequest, user_id: str, until: int) -> str:
    """Return the proof that a user has recovered the account in this browser, valid until a moment."""
    return f"{until}.{page.csrf_token(f'recovered {user_id} {until}')}"


def _has_recovered(page: PageRequest, user_id: str, token: str) -> bool:
    """Tell whether this user has recovered the account in this browser a short time ago."""
    until = read_int_or_none(token.partition(".")[0], 0, MAX_TIMESTAMP)
    if until is None or until < clock.timestamp() or not page.has_browser:
        return False
    return equal(token, _recovered_token(page, user_id, until))


def continuation(box: SecretBox, registry: Registry, destination: Destination) -> Continuation:
    """Return what a recovery keeps of where the user wants to go."""
    return Continuation(destination.stored, page_end(box, registry, destination))


def to_recovery(request: Request, flow: RunningFlow) -> Response:
    """Return the way to the page of a recovery."""
    response = RedirectResponse(f"{HERE}?{urlencode({'c': flow.token})}", 303, {"Cache-Control": "no-store"})
    return with_browser(request, response)


def likely_kind(typed: str) -> str:
    """Return the kind of identifier that was typed, that of a contact before that of a user name; empty: none."""
    likely = contacts_first(meanings(typed))
    return likely[0].kind if likely else ""


async def _begin_page(
    page: PageRequest, typed: Mapping[str, str], errors: Sequence[FieldError] = (), status: int = 200
) -> Response:
    settings = page.services.settings
    destination, authorization, client = await find_destination(page.request, read_destination(typed))
    return page.page(
        "recover.html",
        status=status,
        ui_locales=authorization.ui_locales if authorization else "",
        here=destination.address(HERE),
        display=authorization.display if authorization else "page",
        client=client,
        onward=destination.fields,
        sign_in_at=sign_in_address(destination, client),
        username=typed.get("username", "")[:MAX_TYPED_CHARS],
        available=settings.can_send("email") or settings.can_send("phone"),
        errors=errors,
        csrf_token=page.csrf_token("recover"),
    )


def _waits_page(page: PageRequest, accounts: AccountServices, delayed: Delayed) -> Response:
    """Return the page that says that the recovery waits."""
    accounts.worker.nudge()
    client = page.services.provider.registry.get(delayed.client_id) if delayed.client_id else None
    return page.page("recover_waits.html", here=HERE, ready=delayed.ready_at, client=client)


async def _page(
    page: PageRequest,
    flow: RunningFlow,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    *,
    sent_again: bool = False,
) -> Response:
    provider, data, settings = page.services.provider, data_of(flow), page.services.settings
    stage, typed, has = data["stage"], data.get("typed", ""), set[str]()
    if stage != "code" and flow.user_id is not None:
        async with provider.db.read() as session:
            has = {credential.kind for credential in await users.credentials_of(session, flow.user_id)}
    second = stage == "password" and not data["drop"] and bool(has & STRONG)
    _, authorization, client = await find_destination(page.request, stored_destination(flow.data))
    return page.page(
        TEMPLATES[stage],
        status=status,
        ui_locales=authorization.ui_locales if authorization else "",
        here=f"{HERE}?{urlencode({'c': flow.token})}",
        form_target=authorization.redirect_uri if authorization else "",
        display=authorization.display if authorization else "page",
        client=client,
        c=flow.token,
        typed=typed,
        identifier=masked(likely_kind(typed), typed),
        **channel_texts(settings, likely_kind(typed), flow.channel),
        minutes=whole_minutes(settings.one_time_code_lifetime),
        hours=whole_hours(settings.recovery_delay),
        minimum=settings.password_min_length_with_second_factor if second else settings.password_min_length,
        shorter=second,
        errors=errors,
        sent_again=sent_again,
        passkey=provider.passkeys.request_options(page.visitor.browser_id) if "passkey" in has else "",
        csrf_token=page.csrf_token(f"recover {flow.token}"),
    )
