"""The page of a second factor: a code of an app, a recovery code, a code by mail or SMS, or a passkey; setting up an
app where a user must have one and has none; verifying the contact that was typed; and keeping an account that is to be
deleted."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from sso.accounts.sign_in.destination import Destination
from sso.accounts.sign_in.results import (
    DeletionConfirmed,
    RecoveryCodesIssued,
    SecondFactorResult,
    TooManyAttempts,
    TooManyTries,
    WrongSecondFactor,
)
from sso.accounts.sign_in.second_factor import SecondFactorFlow, recall_second_factor
from sso.accounts.sign_in.second_factor_check import (
    SecondFactorAnswer,
    check_second_factor,
    decide_deletion,
    finish_second_factor,
    resend_code,
)
from sso.http.common.channels import channel_texts, chosen_channel, is_resend
from sso.http.common.field_errors import FieldError, field_error
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.typed_forms import FormModel, Ticked, read_form
from sso.http.sign_in.finish import SECOND_FACTOR, finish
from sso.http.sign_in.flow_texts import NO_MESSAGES
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.setup_of_app import app_enrolment
from sso.http.sign_in.texts import STALE, WRONG_PASSKEY
from sso.identity.authn.assurance import ACR_PASSKEY
from sso.identity.authn.pending_flows import RESEND_SECONDS
from sso.identity.users.identifiers import masked
from sso.identity.users.models import Identifier
from sso.platform.security.message_limits import NoMessagesLeft
from sso.platform.security.rate_limits import TooManyFailures
from sso.settings import whole_days, whole_minutes

router = new_router()

WRONG_CODE = N_("The code is wrong or has expired. Enter the newest code.")
TOO_MANY = N_("Too many wrong codes. Sign in again.")
NOT_SENT = N_("We cannot send another code yet. Use the last code that you received, or try again in a minute.")
WAIT = N_("Too many wrong codes. Try again in %(minutes)d minutes, or choose another way.")
SENT = N_("A new code has been sent.")
RESTART_SECONDS = 30
"""After how long a person may begin again who typed too many wrong codes."""
REASONS = {
    "asked": N_("The application requires two-step verification."),
    "wished": N_("The application requires two-step verification."),
    "own": N_("One more step to make sure that it is you."),
    "role": N_("Your role requires two-step verification."),
    "risk": N_("You are signing in from a new device. Enter a code to confirm that it is you."),
    "unverified": N_("Confirm that this e-mail address or phone number is yours."),
}
TITLES: dict[str, str] = {
    "passkey": N_("Passkey"),
    "totp": N_("Code from your authenticator app"),
    "recovery_code": N_("Recovery code"),
    "email": N_("Code by e-mail"),
    "phone": N_("Code to your phone"),
}


class SecondFactorForm(FormModel):
    """The form of a second factor. ``c`` names the pending flow, ``m`` the method."""

    c: str = ""
    m: str = ""
    choice: str = ""
    code: str = ""
    credential: str = ""
    trust: Ticked = False


@router.get(SECOND_FACTOR)
async def second_factor_page(page: CurrentPage) -> Response:
    flow = await recall_second_factor(page.services, page.visitor, page.query.get("c", ""), page.query.get("m", ""))
    return _page(page, flow) if flow is not None else page.failure("expired_interaction", 400)


@router.post(SECOND_FACTOR)
async def second_factor(page: CurrentPage) -> Response:
    """Check the second factor, start the session, and continue."""
    form = read_form(SecondFactorForm, page.fields).form
    flow = await recall_second_factor(page.services, page.visitor, form.c, form.m)
    if flow is None:
        return page.failure("expired_interaction", 400)
    if not page.has_valid_csrf_token(f"step {flow.token}"):
        return _page(page, flow, field_error("", STALE), 400)
    if is_resend(form.choice):
        return await _resend(page, flow, chosen_channel(form.choice))
    if flow.shows_codes and form.choice != "kept":
        return _page(page, flow)
    return _answer(page, flow, await _carry_out(page, flow, form))


async def _carry_out(page: PageRequest, flow: SecondFactorFlow, form: SecondFactorForm) -> SecondFactorResult:
    """Do what the form asks for."""
    if flow.decides_deletion:
        return await decide_deletion(page.services, page.visitor, flow, keep=form.choice == "keep")
    if flow.shows_codes:
        return await finish_second_factor(page.services, page.visitor, flow, flow.authenticated_so_far, trust=False)
    answer = SecondFactorAnswer(form.code, form.credential, trust=form.trust)
    return await check_second_factor(page.services, page.visitor, flow, answer)


def _answer(page: PageRequest, flow: SecondFactorFlow, result: SecondFactorResult) -> Response:
    """Turn the result into a page or a redirect."""
    if isinstance(result, WrongSecondFactor):
        by_passkey = flow.method == "passkey"
        wrong = field_error("", WRONG_PASSKEY) if by_passkey else field_error("code", WRONG_CODE)
        return _page(page, flow, wrong, 400)
    if isinstance(result, TooManyTries):
        return to_wait(_page(page, flow, field_error("", TOO_MANY), 429), RESTART_SECONDS)
    if isinstance(result, TooManyAttempts):
        return to_wait(_page(page, flow, field_error("", WAIT, minutes=result.minutes), 429), result.retry_after)
    if isinstance(result, RecoveryCodesIssued):
        return _page(page, flow, codes=result.codes)
    if isinstance(result, DeletionConfirmed):
        return page.page("account_leaving.html", here="/", until=flow.available.user.delete_at)
    return finish(page, result, flow.pending, None)


async def _resend(page: PageRequest, flow: SecondFactorFlow, channel: str) -> Response:
    if flow.method not in ("email", "phone"):
        return _page(page, flow)
    try:
        sent = await resend_code(page.services, page.visitor, flow, channel)
    except TooManyFailures as error:
        return to_wait(_page(page, flow, field_error("", NOT_SENT), 429), error.retry_after)
    except NoMessagesLeft:
        return _page(page, flow, field_error("", NO_MESSAGES), 503)
    if not sent:
        return to_wait(_page(page, flow, field_error("", NOT_SENT), 429), RESEND_SECONDS)
    return _page(page, flow, notice=SENT)


def _page(
    page: PageRequest,
    flow: SecondFactorFlow,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    *,
    notice: str = "",
    codes: Sequence[str] = (),
) -> Response:
    """Return the page of a flow.

    Args:
        page: the request.
        flow: the flow.
        errors: what is wrong.
        status: the HTTP status.
        notice: a message that says what was done.
        codes: recovery codes that are shown.
    """
    authorization = flow.pending.request if flow.pending else None
    context: dict[str, object] = {
        "status": status,
        "here": f"{SECOND_FACTOR}?c={flow.token}",
        "ui_locales": authorization.ui_locales if authorization else "",
        "form_target": authorization.redirect_uri if authorization else "",
        "display": authorization.display if authorization else "page",
        "client": authorization.client if authorization else None,
        "c": flow.token,
        "csrf_token": page.csrf_token(f"step {flow.token}"),
        "errors": errors,
        "done": notice,
    }
    if flow.decides_deletion:
        return page.page("account_keep.html", until=flow.available.user.delete_at, **context)
    if flow.shows_codes:
        return page.page("second_step_codes.html", codes=codes, **context)
    return page.page("second_step.html", **_factor_view(page, flow), **context)


def _factor_view(page: PageRequest, flow: SecondFactorFlow) -> dict[str, object]:
    """Return what the page shows of a second factor."""
    settings, passkeys, method = page.services.settings, page.services.provider.passkeys, flow.method
    contact = flow.available.contact(method) if method in ("email", "phone") else None
    chosen = flow.running.channel or (contact.channel if contact else None)
    return {
        "method": method,
        "verifies": flow.verifies,
        "reason": REASONS.get(flow.data["reason"], ""),
        "others": [(other, TITLES[other]) for other in flow.available.methods if other != method],
        "title": TITLES.get(method or "", ""),
        "contact": _masked(contact),
        **channel_texts(settings, method or "", chosen),
        "sent": flow.running.row.code_hash is not None,
        "minutes": whole_minutes(settings.one_time_code_lifetime),
        "can_trust": whole_days(settings.trusted_device_lifetime) if flow.may_trust else 0,
        "can_recover": method in ("totp", "passkey", "recovery_code"),
        "recover_at": _destination(flow).address("/recover"),
        "passkey": passkeys.request_options(page.visitor.browser_id) if method == "passkey" else "",
        "enrol": app_enrolment(page, flow.data.get("seed", ""), flow.available.user.name) if flow.enrols else None,
        "needs_passkey": flow.enrols and flow.level == ACR_PASSKEY,
    }


def _destination(flow: SecondFactorFlow) -> Destination:
    """Return where a person wants to go who must give a second factor."""
    options, pending = flow.options, flow.pending
    client_id = pending.request.client.client_id if pending is not None else ""
    return Destination(i=options.i, then=options.then, user_code=options.user_code, client_id=client_id)


def _masked(contact: Identifier | None) -> str:
    return masked(contact.kind, contact.value) if contact is not None else ""
