"""Pages of a sign-up: a contact, the code that verifies it, a name and a password or passkey; then on to the
application. The rules are in ``accounts/sign_up.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from pydantic import AfterValidator
from starlette.responses import RedirectResponse, Response

from sso.accounts.attributes import OWN, ValuesInvalid, why_not_registered
from sso.accounts.contacts import read_contact
from sso.accounts.flows import Continuation, FlowEnded, FlowRefused, Problem
from sso.accounts.profile import MAX_NAME_CHARS, read_name
from sso.accounts.services import AccountServices
from sso.accounts.sign_in.destination import Destination, named_application, page_end, stored_destination
from sso.accounts.sign_in.pending_request import PendingRequest, RequestExpired, recall_request
from sso.accounts.sign_in.start import start_session
from sso.accounts.sign_up import (
    NewAccount,
    begin_sign_up,
    check_sign_up_code,
    create_account,
    data_of,
    hash_new_password,
    recall_sign_up,
    resend_sign_up_code,
)
from sso.http.common.attribute_fields import required_errors, required_fields, sent_attributes
from sso.http.common.channels import channel_texts, chosen_channel, is_resend
from sso.http.common.cookies import with_browser
from sso.http.common.destination import read_destination, sign_in_address
from sso.http.common.field_errors import FieldError, errors_in_order, field_error
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.services import Accounts
from sso.http.common.typed_forms import FormModel, Ticked, first, read_form, refuse, required
from sso.http.sign_in.arrival import arrival_of
from sso.http.sign_in.finish import finish
from sso.http.sign_in.flow_texts import SIGN_UP_TEXTS, TOO_MANY, WEAK
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.second_way import SECOND_WAY, codes_page
from sso.http.sign_in.texts import BUSY, STALE
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.users.identifiers import masked
from sso.identity.users.models import User
from sso.platform.security.rate_limits import TooManyFailures
from sso.settings import whole_minutes

router = new_router()

HERE = "/signup"
MAX_CONTACT_CHARS = 254
MAX_CREDENTIAL_CHARS = 20_000
NOT_A_MAIL = N_("Enter an e-mail address in the correct format, like siti@example.id.")
NOT_AGREED = N_("Select the box to agree to the terms of use. Without your agreement we cannot create an account.")
NO_NAME = N_("Enter your name as shown on your identity card.")


@dataclass(frozen=True, slots=True)
class SignUp:
    """A sign-up that is under way.

    Args:
        page: the request.
        accounts: what use cases about the own account need.
        flow: the pending flow.
        pending: the authorization request that it is for, if any.
    """

    page: PageRequest
    accounts: AccountServices
    flow: RunningFlow
    pending: PendingRequest | None

    @property
    def destination(self) -> Destination:
        """Where the user wants to go."""
        return stored_destination(self.flow.data)


class ContactForm(FormModel):
    """The form with which a sign-up begins. ``read_contact`` reads the contact."""

    contact: str = ""
    agree: Annotated[Ticked, refuse(NOT_AGREED, lambda agreed: not agreed)] = False


class CodeForm(FormModel):
    """The form of the code: what was typed, or the button that sends another one."""

    choice: str = ""
    code: str = ""


class AccountForm(FormModel):
    """The form of the account. The password is read as it is; with a passkey there is none."""

    name: Annotated[str, AfterValidator(read_name), required(NO_NAME)] = ""
    credential: Annotated[str, first(MAX_CREDENTIAL_CHARS)] = ""
    password: str = ""


@router.get(HERE)
async def sign_up_page(page: CurrentPage, accounts: Accounts) -> Response:
    """The page of a sign-up: where it begins, or wherever it is."""
    if not page.services.settings.sign_up_kinds:
        return page.failure("not_found", 404)
    token = page.query.get("c", "")
    if not token:
        query = dict(page.query)
        pending = await _pending(page, query.get("i", ""))
        hint = pending.request.login_hint if pending else ""
        return _begin_page(page, pending, {**query, "contact": hint})
    sign_up = await _recall(page, accounts, token)
    return _page(sign_up) if sign_up is not None else page.failure("expired_interaction", 400)


@router.post(HERE)
async def sign_up_form(page: CurrentPage, accounts: Accounts) -> Response:
    """Begin a sign-up, or show the page of the one that ``c`` names."""
    if not page.services.settings.sign_up_kinds:
        return page.failure("not_found", 404)
    if not page.has_browser:
        return page.failure("no_cookies", 400)
    token = page.fields.get("c", "")
    if not token:
        return await _begin(page, accounts, await _pending(page, page.fields.get("i", "")))
    sign_up = await _recall(page, accounts, token)
    if sign_up is None:
        return page.failure("expired_interaction", 400)
    if not page.has_valid_csrf_token(f"sign-up {sign_up.flow.token}"):
        return _page(sign_up, field_error("", STALE), 400)
    if not data_of(sign_up.flow).get("verified"):
        return await _check_code(sign_up)
    return await _create(sign_up)


async def _begin(page: PageRequest, accounts: AccountServices, pending: PendingRequest | None) -> Response:
    fields = page.fields
    if not page.has_valid_csrf_token("sign-up"):
        return _begin_page(page, pending, fields, field_error("", STALE), 400)
    contact, errors, settings = None, list[FieldError](), accounts.settings
    sent = read_form(ContactForm, fields)
    try:
        contact = read_contact(settings.sign_up_kinds, sent.form.contact, settings.phone_prefixes)
    except FlowRefused as error:
        text, _ = SIGN_UP_TEXTS[error.problem]
        if error.problem is Problem.NOT_A_CONTACT and "phone" not in settings.sign_up_kinds:
            text = NOT_A_MAIL
        errors += field_error("contact", text)
    errors += errors_in_order(sent.mistakes, ("agree",))
    if contact is None or errors:
        return _begin_page(page, pending, fields, errors, 400)
    onward = _continuation(page, _destination(pending, fields))
    try:
        flow = await begin_sign_up(accounts, page.visitor, contact, onward)
    except FlowRefused as error:
        text, status = SIGN_UP_TEXTS[error.problem]
        return _begin_page(page, pending, fields, field_error("contact", text), status)
    except TooManyFailures as error:
        errors = field_error("", TOO_MANY, minutes=error.minutes)
        return to_wait(_begin_page(page, pending, fields, errors, 429), error.retry_after)
    accounts.worker.nudge()
    return with_browser(page.request, _to(flow))


async def _check_code(sign_up: SignUp) -> Response:
    page, accounts, flow = sign_up.page, sign_up.accounts, sign_up.flow
    form = read_form(CodeForm, page.fields).form
    try:
        if is_resend(form.choice):
            onward = _continuation(page, sign_up.destination)
            try:
                await resend_sign_up_code(accounts, page.visitor, flow, onward, chosen_channel(form.choice))
            finally:
                accounts.worker.nudge()
            return _page(sign_up, sent_again=True)
        await check_sign_up_code(accounts, page.visitor, flow, form.code)
    except FlowRefused as error:
        return _refused(sign_up, error)
    return _to(flow)


async def _create(sign_up: SignUp) -> Response:
    """Create the account, sign in, and go on."""
    page, services, flow = sign_up.page, sign_up.accounts, sign_up.flow
    sent = read_form(AccountForm, page.fields)
    name, passkey = sent.form.name, sent.form.credential
    typed, hashed = " ".join(page.fields.get("name", "").split())[:MAX_NAME_CHARS], None
    errors = list(errors_in_order(sent.mistakes, ("name",)))
    city = page.services.provider.registry.city
    values = sent_attributes(page.fields, city, OWN)
    errors += required_errors(why_not_registered(city, values, city.declaration.required()), city, page.visitor.locale)
    try:
        if not passkey:
            hashed = await hash_new_password(services, page.visitor, flow, name or typed, sent.form.password)
    except WeakPassword as error:
        errors += field_error("password", WEAK[error.code], minimum=error.minimum)
    except Busy as error:
        return to_wait(_page(sign_up, field_error("", BUSY), 503, name=typed), error.retry_after)
    if errors:
        return _page(sign_up, errors, 400, name=typed)
    try:
        account = await create_account(
            services, page.visitor, flow, name, password_hash=hashed, passkey=passkey, attributes=values
        )
    except FlowEnded:
        return page.failure("expired_interaction", 400)
    except ValuesInvalid as error:  # the city changed what it requires this very moment
        return _page(sign_up, required_errors(error.wrong, city, page.visitor.locale), 400, name=name)
    except FlowRefused as error:
        return _refused(sign_up, error, name=name)
    return await _sign_in(sign_up, account)


async def _sign_in(sign_up: SignUp, account: NewAccount) -> Response:
    """Sign a new user in, and offer a second way to sign in; that page leads on to where the user wants to go. A user
    with a passkey receives recovery codes instead."""
    page = sign_up.page
    arrival = await arrival_of(page, sign_up.destination)
    before, options = arrival.before, arrival.options
    result = await start_session(
        page.services, page.visitor, account.authenticated, options, pending=None, before=before
    )
    sign_up.accounts.worker.nudge()
    if account.recovery_codes:
        client = named_application(page.services.provider.registry, arrival.destination)
        onward = sign_in_address(arrival.destination, client)
        landing = codes_page(page, arrival.destination, account.recovery_codes, onward)
    else:
        landing = RedirectResponse(arrival.destination.address(SECOND_WAY), 303, {"Cache-Control": "no-store"})
    return finish(arrival.page, result, None, before, landing)


async def _recall(page: PageRequest, accounts: AccountServices, token: str) -> SignUp | None:
    flow = await recall_sign_up(accounts, page.visitor, token)
    if flow is None:
        return None
    return SignUp(page, accounts, flow, await _pending(page, stored_destination(flow.data).i))


async def _pending(page: PageRequest, token: str) -> PendingRequest | None:
    """Return the authorization request for which somebody signs up; None where it has ended: they can sign up all the
    same."""
    try:
        return (await recall_request(page.services, page.visitor, token))[0] if token else None
    except RequestExpired:
        return None


def _destination(pending: PendingRequest | None, fields: Mapping[str, str]) -> Destination:
    """Return where somebody wants to go who signs up."""
    if pending is not None:
        return Destination(i=pending.token, client_id=pending.request.client.client_id)
    return replace(read_destination(fields), i="")


def _continuation(page: PageRequest, destination: Destination) -> Continuation:
    """Return what the flow keeps of where somebody wants to go. The link in a message may be opened in another browser:
    it leads to the application, where that can be opened."""
    client = named_application(page.services.provider.registry, destination)
    sign_in_at = sign_in_address(replace(destination, i="", user_code=""), client)
    return Continuation(
        destination.stored,
        page_end(page.services.provider.box, page.services.provider.registry, destination),
        sign_in_at,
    )


def _to(flow: RunningFlow) -> Response:
    return RedirectResponse(f"{HERE}?{urlencode({'c': flow.token})}", 303, {"Cache-Control": "no-store"})


def _common(page: PageRequest, pending: PendingRequest | None, destination: Destination) -> dict[str, object]:
    authorization, settings = pending.request if pending else None, page.services.settings
    named = named_application(page.services.provider.registry, destination)
    return {
        "ui_locales": authorization.ui_locales if authorization else "",
        "form_target": authorization.redirect_uri if authorization else "",
        "display": authorization.display if authorization else "page",
        "client": authorization.client if authorization else named,
        "terms": settings.terms_url or "/terms",
        "privacy": settings.privacy_url or "/privacy",
    }


def _begin_page(
    page: PageRequest,
    pending: PendingRequest | None,
    typed: Mapping[str, str],
    errors: Sequence[FieldError] = (),
    status: int = 200,
) -> Response:
    destination = _destination(pending, typed)
    return page.page(
        "sign_up.html",
        status=status,
        here=destination.address(HERE),
        onward=destination.fields,
        sign_in_at=sign_in_address(destination, named_application(page.services.provider.registry, destination)),
        contact=typed.get("contact", "")[:MAX_CONTACT_CHARS],
        agreed=typed.get("agree") == "1",
        kinds=page.services.settings.sign_up_kinds,
        errors=errors,
        csrf_token=page.csrf_token("sign-up"),
        **_common(page, pending, destination),
    )


def _refused(sign_up: SignUp, error: FlowRefused, *, name: str = "") -> Response:
    """Return the page that says why a step was refused."""
    text, status = SIGN_UP_TEXTS[error.problem]
    verified = bool(data_of(sign_up.flow).get("verified"))
    errors = field_error("" if verified else "code", text, minutes=error.minutes)
    response = _page(sign_up, errors, status, name=name)
    return to_wait(response, error.retry_after)


def _page(
    sign_up: SignUp,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    *,
    name: str = "",
    sent_again: bool = False,
) -> Response:
    page, data, token = sign_up.page, data_of(sign_up.flow), sign_up.flow.token
    settings, verified, passkey = page.services.settings, bool(data.get("verified")), ""
    city = page.services.provider.registry.city
    if verified:
        stub = User(id=UUID(data["user_id"]), name=name or data["contact"])
        passkeys = page.services.provider.passkeys
        passkey = passkeys.creation_options(stub, data["contact"], [], page.visitor.browser_id)
    return page.page(
        "sign_up_account.html" if verified else "sign_up_code.html",
        status=status,
        here=f"{HERE}?{urlencode({'c': token})}",
        c=token,
        kind=data["kind"],
        contact=data["contact"],
        recipient=masked(data["kind"], data["contact"]),
        **channel_texts(settings, data["kind"], data.get("channel")),
        minutes=whole_minutes(settings.one_time_code_lifetime),
        minimum=settings.password_min_length,
        name=name,
        errors=errors,
        sent_again=sent_again,
        passkey=passkey,
        attributes=required_fields(city, city.declaration.required(), page.visitor.locale, page.fields),
        csrf_token=page.csrf_token(f"sign-up {token}"),
        **_common(page, sign_up.pending, sign_up.destination),
    )
