"""The setup page of the console: the steps that can be done on a page, and the checklist. It can be used again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.admin.readiness import checklist
from sso.http.common.field_errors import FieldError, errors_in_order, field_error
from sso.http.common.late_routes import new_router
from sso.http.common.services import CurrentSettings, Db
from sso.http.common.state import site_of
from sso.http.common.typed_forms import FormModel, Sent, cut, refuse
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.identity.users import store as users
from sso.identity.users.identifiers import normalise_as
from sso.platform.db import Database
from sso.platform.messages import N_
from sso.platform.security.rate_limits import TooManyFailures
from sso.settings import Settings
from sso.setup.applications import ApplicationsExist, apply_examples
from sso.setup.mail import send_test_mail

router = new_router()
HERE = ADMIN + "/setup"
MAIL, APPLICATIONS = "setup mail", "setup applications"
"""What each form does: a token of one is refused by the other."""
NO_ADDRESS = N_("Enter an e-mail address such as siti@example.id.")
NOT_ACCEPTED = N_("The mail server did not accept the e-mail: %(reason)s")
TOO_MANY = N_("You have sent many test e-mails. Try again tomorrow.")
NOT_EMPTY = N_("Applications are registered already. The example applications were not registered.")
DONE = {
    "mail": N_("The mail server has accepted the test e-mail. Check that it arrives."),
    "applications": N_("The example applications are registered."),
}
SetsUp = Annotated[Here, Depends(Needs("settings:write"))]
Grants = Annotated[Here, Depends(Needs("clients:grant"))]


def _is_address(text: str) -> bool:
    """Tell whether a text is one e-mail address, as accounts have it."""
    try:
        normalise_as("email", text)
    except ValueError:
        return False
    return True


class MailForm(FormModel):
    """Who receives the test e-mail."""

    address: Annotated[str, cut(254), refuse(NO_ADDRESS, lambda text: not _is_address(str(text)))] = ""


class NoFields(FormModel):
    """A form with a button only."""


ExamplesSent = Annotated[Sent[NoFields], Depends(OwnForm(NoFields, APPLICATIONS))]
MailSent = Annotated[Sent[MailForm], Depends(OwnForm(MailForm, MAIL))]


@router.get(HERE)
async def setup_page(request: Request, here: SetsUp, db: Db, settings: CurrentSettings) -> Response:
    """Show the steps and the checklist."""
    return await _page(request, here, db, settings, done=request.query_params.get("done", ""))


@router.post(HERE + "/mail")
async def test_mail(request: Request, here: SetsUp, sent: MailSent, db: Db, settings: CurrentSettings) -> Response:
    """Send a test e-mail at once."""
    if sent.mistakes:
        errors = errors_in_order(sent.mistakes)
        return await _page(request, here, db, settings, errors, address=sent.typed.get("address", ""))
    try:
        await site_of(request).limits.contact_codes.take(here.actor)
    except TooManyFailures:
        return await _page(request, here, db, settings, field_error("address", TOO_MANY), status=429)
    if error := await send_test_mail(settings, sent.form.address, f"{settings.service_name}: test"):
        errors = field_error("address", NOT_ACCEPTED, reason=error[:300])
        return await _page(request, here, db, settings, errors, address=sent.form.address, status=502)
    return RedirectResponse(HERE + "?done=mail#mail", 303)


@router.post(HERE + "/applications")
async def register_examples(
    request: Request, here: Grants, _sent: ExamplesSent, db: Db, settings: CurrentSettings
) -> Response:
    """Register the example applications. Applications that are registered already stay as they are."""
    provider = site_of(request).provider
    try:
        await apply_examples(provider, here.as_actor, allow_http_loopback=settings.loopback)
    except ApplicationsExist:
        return await _page(request, here, db, settings, field_error("applications", NOT_EMPTY), status=409)
    await provider.refresh()
    return RedirectResponse(HERE + "?done=applications#applications", 303)


async def _page(
    request: Request,
    here: Here,
    db: Database,
    settings: Settings,
    errors: Sequence[FieldError] = (),
    *,
    address: str = "",
    done: str = "",
    status: int = 0,
) -> Response:
    user = here.visit.user
    async with db.read() as session:
        identifiers = await users.identifiers_of(session, user.id)
        credentials = await users.credentials_of(session, user.id)
    own = next((known for known in identifiers if known.kind == "email"), None)
    checks = await checklist(request, here)
    return admin_page(
        request,
        here,
        "system",
        "admin_setup.html",
        status or (400 if errors else 200),
        own_email=own.value if own else "",
        own_email_verified=own is not None and own.verified_at is not None,
        has_second_factor=any(credential.kind in ("totp", "passkey") for credential in credentials),
        address=address or (own.value if own else ""),
        mail_ready=settings.smtp_url is not None or settings.development_outbox,
        city_settings=settings,
        registered=len(site_of(request).provider.registry),
        checks=checks,
        done=DONE.get(done, ""),
        done_at=done if done in DONE else "",
        errors=errors,
        mail_token=token_for(request, MAIL),
        applications_token=token_for(request, APPLICATIONS),
    )
