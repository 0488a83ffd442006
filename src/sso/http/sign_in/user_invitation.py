"""The page that an invitation leads to: a name, and a password or a passkey. The rules are in
``accounts/user_invitations.py``. Opening the link changes nothing, because mail scanners open links too."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from pydantic import AfterValidator
from starlette.responses import Response

from sso.accounts.flows import FlowEnded, FlowRefused
from sso.accounts.profile import MAX_NAME_CHARS, read_name
from sso.accounts.services import AccountServices
from sso.accounts.sign_in.destination import Destination
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import account_at
from sso.accounts.sign_in.start import start_session
from sso.accounts.user_invitations import accept_invitation, open_invitation
from sso.http.common.field_errors import errors_in_order
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.services import Accounts
from sso.http.common.typed_forms import FormModel, Ticked, first, read_form, refuse, required
from sso.http.sign_in.finish import finish
from sso.http.sign_in.flow_texts import SIGN_UP_TEXTS, TOO_MANY, WEAK
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.second_way import codes_page
from sso.http.sign_in.sign_up import MAX_CREDENTIAL_CHARS, NO_NAME
from sso.http.sign_in.texts import BUSY, STALE
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.users.models import User, UserInvitation
from sso.platform.security.rate_limits import TooManyFailures

router = new_router()

HERE = "/invitation"
MAX_TOKEN_CHARS = 100
NOT_AGREED = N_("Tick the box to agree to the terms and the privacy notice.")


class InvitationForm(FormModel):
    """The form of the account. The password is read as it is; with a passkey there is none."""

    name: Annotated[str, AfterValidator(read_name), required(NO_NAME)] = ""
    agree: Annotated[Ticked, refuse(NOT_AGREED, lambda agreed: not agreed)] = False
    credential: Annotated[str, first(MAX_CREDENTIAL_CHARS)] = ""
    password: str = ""


@router.get(HERE)
async def invitation_page(page: CurrentPage, accounts: Accounts) -> Response:
    """Show who is invited, and ask for a password or a passkey."""
    token = page.query.get("t", "")[:MAX_TOKEN_CHARS]
    try:
        invitation = await open_invitation(accounts, page.visitor, token)
    except FlowEnded:
        return _ended_page(page)
    except TooManyFailures as error:
        return to_wait(_ended_page(page, TOO_MANY, 429, minutes=error.minutes), error.retry_after)
    return _page(page, invitation, token)


@router.post(HERE)
async def accept(page: CurrentPage, accounts: Accounts) -> Response:
    """Create the account, and sign in."""
    if not page.has_browser:
        return page.failure("no_cookies", 400)
    token = page.fields.get("t", "")[:MAX_TOKEN_CHARS]
    try:
        invitation = await open_invitation(accounts, page.visitor, token)
        if not page.has_valid_csrf_token(f"invitation {token}"):
            return _page(page, invitation, token, STALE, 400)
        return await _create(page, accounts, invitation, token)
    except FlowEnded:
        return _ended_page(page)
    except TooManyFailures as error:
        return to_wait(_ended_page(page, TOO_MANY, 429, minutes=error.minutes), error.retry_after)


async def _create(page: PageRequest, services: AccountServices, invitation: UserInvitation, token: str) -> Response:
    """Create the account from what was typed.

    Raises:
        FlowEnded: when the invitation is over.
    """
    sent = read_form(InvitationForm, page.fields)
    if mistakes := errors_in_order(sent.mistakes, ("name", "agree")):
        return _page(page, invitation, token, mistakes[0].text, 400, field=mistakes[0].field)
    name, passkey, hashed = sent.form.name, sent.form.credential, None
    try:
        if not passkey:
            password, source = sent.form.password, page.visitor.network
            await services.passwords.judge(password, [name, invitation.email], source=source)
            hashed = await services.passwords.hash(password, source=source)
        account = await accept_invitation(services, page.visitor, token, name, password_hash=hashed, passkey=passkey)
    except WeakPassword as error:
        return _page(page, invitation, token, WEAK[error.code], 400, field="password", minimum=error.minimum)
    except Busy as error:
        return to_wait(_page(page, invitation, token, BUSY, 503), error.retry_after)
    except FlowRefused as error:
        text, status = SIGN_UP_TEXTS[error.problem]
        return _page(page, invitation, token, text, status)
    services.worker.nudge()
    needs_second = set(invitation.roles) & set(page.services.settings.second_factor_roles)
    if needs_second and not account.recovery_codes:  # with a password: the sign-in sets up the second factor
        return page.page("user_invitation_done.html", csrf_token="")
    before = await account_at(page.services, page.visitor)
    options = SignInOptions(add=True, then="account")
    result = await start_session(
        page.services, page.visitor, account.authenticated, options, pending=None, before=before
    )
    codes = account.recovery_codes
    return finish(page, result, None, before, codes_page(page, Destination(), codes, "/account") if codes else None)


def _page(
    page: PageRequest,
    invitation: UserInvitation,
    token: str,
    problem: str = "",
    status: int = 200,
    *,
    field: str = "",
    **values: int,
) -> Response:
    settings, fields = page.services.settings, page.fields
    name = " ".join(fields.get("name", "").split())[:MAX_NAME_CHARS] if fields else invitation.name
    stub = User(id=invitation.id, name=name or invitation.email)
    return page.page(
        "user_invitation.html",
        status=status,
        here=f"{HERE}?{urlencode({'t': token})}",
        t=token,
        email=invitation.email,
        name=name,
        agreed=fields.get("agree") == "1",
        minimum=settings.password_min_length,
        problem=problem,
        field=field,
        values=values,
        passkey=page.services.provider.passkeys.creation_options(stub, invitation.email, [], page.visitor.browser_id),
        terms=settings.terms_url or "/terms",
        privacy=settings.privacy_url or "/privacy",
        csrf_token=page.csrf_token(f"invitation {token}"),
    )


def _ended_page(page: PageRequest, problem: str = "", status: int = 404, **values: int) -> Response:
    return page.page("user_invitation_over.html", status=status, problem=problem, values=values, csrf_token="")
