"""The sign-in page: an identifier and a password, or a passkey."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from starlette.responses import RedirectResponse, Response

from sso.accounts.sign_in.current_account import CurrentAccount, is_recent
from sso.accounts.sign_in.passkey import sign_in_with_passkey
from sso.accounts.sign_in.password import sign_in_with_password
from sso.accounts.sign_in.pending_request import PendingRequest, account_at, recall_request
from sso.http.common.field_errors import errors_in_order, field_error
from sso.http.common.late_routes import new_router
from sso.http.common.typed_forms import FormModel, read_form, required
from sso.http.sign_in.after_sign_in import address_of_destination
from sso.http.sign_in.finish import ask_to_sign_in, finish, proceed
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.pages import sign_in_form
from sso.http.sign_in.texts import NO_IDENTIFIER, NO_PASSWORD, STALE

router = new_router()


class LoginForm(FormModel):
    """The identifier and the password, which is read as it is."""

    username: Annotated[str, AfterValidator(str.strip), required(NO_IDENTIFIER)] = ""
    password: Annotated[str, required(NO_PASSWORD)] = ""


@router.get("/login")
async def sign_in_page(page: CurrentPage) -> Response:
    """The page of an authorization request (``i``), or the sign-in page by itself."""
    token = page.query.get("i", "")
    if token:
        pending, current = await recall_request(page.services, page.visitor, token)
        return await proceed(page, pending, current)
    current = await account_at(page.services, page.visitor)
    adding = page.query.get("add") == "1"
    again = current if current is not None and _must_repeat(page, current) else None
    if current is not None and not adding and again is None:
        return RedirectResponse(address_of_destination(page.destination), 303)
    if current is None:
        return await ask_to_sign_in(page, None, adding=adding)
    return sign_in_form(page, None, again, adding=adding)


def _must_repeat(page: PageRequest, current: CurrentAccount) -> bool:
    """Tell whether a page of ours sent the person here to sign in once more."""
    return page.query.get("again") == "1" and not is_recent(page.services.settings, current.signed_in)


@router.post("/login")
async def sign_in(page: CurrentPage) -> Response:
    """Check an identifier and a password, start the session, and continue with the authorization request."""
    form = await _read_form(page)
    if isinstance(form, Response):
        return form
    pending, before = form
    sent = read_form(LoginForm, page.fields)
    if missing := errors_in_order(sent.mistakes, ("username", "password")):
        return sign_in_form(page, pending, before, missing, 400)
    result = await sign_in_with_password(
        page.services,
        page.visitor,
        sent.form.username,
        sent.form.password,
        page.options(pending),
        pending=pending,
        before=before,
    )
    return finish(page, result, pending, before)


@router.post("/login/passkey")
async def sign_in_by_passkey(page: CurrentPage) -> Response:
    """Check a passkey, start the session, and continue with the authorization request."""
    form = await _read_form(page)
    if isinstance(form, Response):
        return form
    pending, before = form
    result = await sign_in_with_passkey(
        page.services,
        page.visitor,
        page.fields.get("credential", ""),
        page.options(pending),
        pending=pending,
        before=before,
    )
    return finish(page, result, pending, before)


async def _read_form(page: PageRequest) -> tuple[PendingRequest | None, CurrentAccount | None] | Response:
    """Return the authorization request that a form of the sign-in page names, and the account that is signed in; or the
    page that says why the form is not accepted."""
    if not page.has_browser:
        return page.failure("no_cookies", 400)
    pending, before = await page.pending_and_account()
    if not page.has_valid_csrf_token("login"):
        return sign_in_form(page, pending, before, field_error("", STALE), 400)
    return pending, before
