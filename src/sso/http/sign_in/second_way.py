"""After a registration: recovery codes for a passkey, or the offer of a second way to sign in. Both lead on to where
the user wanted to go, and the offer can be skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from starlette.responses import RedirectResponse, Response

from sso.accounts.contact_code import begin_contact, check_contact_code, data_of, recall_contact, resend_contact_code
from sso.accounts.flows import FlowEnded, FlowRefused, Problem
from sso.accounts.own_account import OwnSession
from sso.accounts.second_factors import add_passkey, begin_app, confirm_app, recall_app
from sso.accounts.services import AccountServices
from sso.accounts.sign_in.current_account import CurrentAccount, is_recent
from sso.accounts.sign_in.destination import Destination
from sso.accounts.sign_in.pending_request import account_at
from sso.clients.registry import Client
from sso.http.common.channels import channel_texts, chosen_channel, is_resend
from sso.http.common.destination import find_destination, read_destination, sign_in_address
from sso.http.common.field_errors import FieldError, field_error
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.services import Accounts
from sso.http.common.typed_forms import FormModel, first, read_form
from sso.http.sign_in.flow_texts import OWN_ACCOUNT_TEXTS, WRONG_APP_CODE
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.setup_of_app import app_enrolment
from sso.http.sign_in.texts import STALE
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.sessions.devices import device_of
from sso.identity.test_users import is_test
from sso.identity.users import store as users
from sso.identity.users.identifiers import masked
from sso.identity.users.models import User
from sso.platform.actor import Actor
from sso.settings import whole_minutes

router = new_router()

SECOND_WAY = "/welcome"
MAX_CONTACT_CHARS, MAX_CREDENTIAL_CHARS = 254, 20_000
ADDED = {
    "contact": N_("Your contact was verified and added."),
    "passkey": N_("The passkey was added."),
    "app": N_("The authenticator app was added."),
}


@dataclass(frozen=True, slots=True)
class Guest:
    """A user who has just signed in, and where they want to go.

    Args:
        page: the request.
        accounts: what use cases about the own account need.
        current: the account.
        user: the user.
        destination: where the user wants to go, as far as it is still valid.
        client: the application; None: it is not known.
    """

    page: PageRequest
    accounts: AccountServices
    current: CurrentAccount
    user: User
    destination: Destination
    client: Client | None

    @property
    def own(self) -> OwnSession:
        """The session in which the user is here."""
        idle = self.accounts.settings.session_idle_timeout
        return OwnSession(self.user.id, self.current.signed_in.session.id, idle)

    @property
    def onward(self) -> str:
        """The URL that leads to where the user wants to go."""
        return sign_in_address(self.destination, self.client)

    @property
    def actor(self) -> Actor:
        """The user as the actor of a change."""
        return self.page.visitor.as_actor(self.user.id)


class SecondWayForm(FormModel):
    """A form of these pages: which one, as ``choice`` says. ``c`` names the pending flow of a code."""

    c: str = ""
    choice: str = ""
    code: str = ""
    contact: str = ""
    credential: Annotated[str, first(MAX_CREDENTIAL_CHARS)] = ""


@router.get(SECOND_WAY)
async def second_way_page(page: CurrentPage, accounts: Accounts) -> Response:
    """Offer a second way to sign in; with a pending flow, ask for the code of a new contact or of an app."""
    guest = await _guest(page, accounts, page.query)
    if isinstance(guest, Response):
        return guest
    token = page.query.get("c", "")
    if (flow := await recall_contact(accounts, page.visitor, guest.own, token)) is not None:
        return _code_page(guest, flow)
    if (flow := await recall_app(accounts, page.visitor, guest.own, token)) is not None:
        return _app_page(guest, flow)
    return await _page(guest)


@router.post(SECOND_WAY)
async def second_way(page: CurrentPage, accounts: Accounts) -> Response:
    """Add a second way to sign in."""
    guest = await _guest(page, accounts, page.fields)
    if isinstance(guest, Response):
        return guest
    if not page.has_valid_csrf_token("second way", guest.current.token):
        return await _page(guest, field_error("", STALE), 400)
    form = read_form(SecondWayForm, page.fields).form
    act = _check_code if is_resend(form.choice) else ACTS.get(form.choice)
    return await act(guest, form) if act is not None else await _page(guest)


async def _guest(page: PageRequest, accounts: AccountServices, fields: Mapping[str, str]) -> Guest | Response:
    """Return the user; or the way on where nobody has just signed in, so that there is nothing to offer."""
    current = await account_at(page.services, page.visitor)
    destination, _, client = await find_destination(page.request, read_destination(fields))
    onward = RedirectResponse(sign_in_address(destination, client), 303, {"Cache-Control": "no-store"})
    if current is None or is_test(current.signed_in.session) or not is_recent(accounts.settings, current.signed_in):
        return onward
    async with accounts.db.read() as session:
        user = await session.get(User, current.signed_in.user.id)
    return Guest(page, accounts, current, user, destination, client) if user is not None else onward


async def _add_passkey(guest: Guest, form: SecondWayForm) -> Response:
    page, accounts = guest.page, guest.accounts
    name = device_of(page.visitor.user_agent).text or "Passkey"
    browser, credential = page.visitor.browser_id, form.credential
    try:
        async with accounts.db.write() as session:
            codes = await add_passkey(session, accounts, guest.own, browser, credential, name, guest.actor)
    except PasskeyRefused:
        return await _page(guest, field_error("", OWN_ACCOUNT_TEXTS[Problem.PASSKEY_FAILED][0]), 400)
    guest.accounts.worker.nudge()
    if codes:
        return codes_page(page, guest.destination, codes, onward=guest.onward)
    return _to(guest, done="passkey")


async def _begin_app(guest: Guest, _: SecondWayForm) -> Response:
    flow = await begin_app(guest.accounts, guest.page.visitor, guest.own)
    return _to(guest, c=flow.token)


async def _confirm_app(guest: Guest, form: SecondWayForm) -> Response:
    """Check the first code of an authenticator app, and show the recovery codes."""
    page, accounts = guest.page, guest.accounts
    flow = await recall_app(accounts, page.visitor, guest.own, form.c)
    if flow is None:
        return page.failure("stale_form", 400)
    try:
        codes = await confirm_app(accounts, page.visitor, guest.own, flow, form.code, guest.actor)
    except FlowEnded:
        return page.failure("stale_form", 400)
    except FlowRefused as error:
        text, status = OWN_ACCOUNT_TEXTS[error.problem]
        text = WRONG_APP_CODE if error.problem is Problem.WRONG_CODE else text
        response = _app_page(guest, flow, field_error("code", text, minutes=error.minutes), status)
        return to_wait(response, error.retry_after)
    guest.accounts.worker.nudge()
    return codes_page(page, guest.destination, codes, guest.onward) if codes else _to(guest, done="app")


async def _begin_contact(guest: Guest, form: SecondWayForm) -> Response:
    try:
        flow = await begin_contact(guest.accounts, guest.page.visitor, guest.own, form.contact)
    except FlowRefused as error:
        text, status = OWN_ACCOUNT_TEXTS[error.problem]
        return await _page(guest, field_error("contact", text), status, contact=form.contact[:MAX_CONTACT_CHARS])
    guest.accounts.worker.nudge()
    return _to(guest, c=flow.token)


async def _check_code(guest: Guest, form: SecondWayForm) -> Response:
    """Check the code that was sent to a new contact, or send another one."""
    page, accounts = guest.page, guest.accounts
    flow = await recall_contact(accounts, page.visitor, guest.own, form.c)
    if flow is None:
        return page.failure("stale_form", 400)
    try:
        if is_resend(form.choice):
            await resend_contact_code(accounts, page.visitor, guest.own, flow, chosen_channel(form.choice))
            guest.accounts.worker.nudge()
            return _code_page(guest, flow, sent_again=True)
        added = await check_contact_code(accounts, page.visitor, guest.own, flow, form.code, guest.actor)
    except FlowEnded:
        return page.failure("stale_form", 400)
    except FlowRefused as error:
        text, status = OWN_ACCOUNT_TEXTS[error.problem]
        response = _code_page(guest, flow, field_error("code", text, minutes=error.minutes), status)
        return to_wait(response, error.retry_after)
    guest.accounts.worker.nudge()
    if not added:
        return await _page(guest, field_error("contact", OWN_ACCOUNT_TEXTS[Problem.TAKEN][0]), 409)
    return _to(guest, done="contact")


ACTS = {
    "passkey": _add_passkey,
    "app": _begin_app,
    "app_code": _confirm_app,
    "contact": _begin_contact,
    "code": _check_code,
}
"""What each choice of these pages does; ``resend`` and ``resend CHANNEL`` lead to :func:`_check_code` too."""


def codes_page(page: PageRequest, destination: Destination, codes: Sequence[str], onward: str = "") -> Response:
    """Return the page that shows new recovery codes once.

    Args:
        page: the request.
        destination: where the user wants to go.
        codes: the codes.
        onward: the URL that leads there; empty: that of the page which offers a second way.
    """
    here = destination.address(SECOND_WAY)
    return page.page("recovery_codes.html", here=here, codes=codes, onward=onward or here)


def _to(guest: Guest, **parameters: str) -> Response:
    address = guest.destination.address(SECOND_WAY, **parameters)
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


async def _page(guest: Guest, errors: Sequence[FieldError] = (), status: int = 200, *, contact: str = "") -> Response:
    page, services = guest.page, guest.accounts
    async with services.db.read() as session:
        known = await users.credentials_of(session, guest.user.id)
        identifiers = await users.identifiers_of(session, guest.user.id)
    held = {credential.kind for credential in known}
    contacts = {identifier.kind for identifier in identifiers if identifier.verified_at is not None}
    passkeys = [credential for credential in known if credential.kind == "passkey"]
    options = services.passkeys.creation_options(guest.user, guest.user.name, passkeys, page.visitor.browser_id)
    missing = [kind for kind in services.settings.contact_kinds if kind not in contacts]
    return _guest_page(
        guest,
        "second_way.html",
        errors,
        status,
        here=guest.destination.address(SECOND_WAY),
        onward=guest.onward,
        passkey="" if "passkey" in held else options,
        offers_app="totp" not in held,
        contact_kinds=missing or services.settings.contact_kinds,
        contact=contact,
        done=ADDED.get(page.query.get("done", ""), ""),
    )


def _guest_page(guest: Guest, template: str, errors: Sequence[FieldError], status: int, **context: object) -> Response:
    """Return a page with what each of these pages needs."""
    page = guest.page
    return page.page(
        template,
        status=status,
        header=page.header(guest.user.name),
        client=guest.client,
        fields_onward=guest.destination.fields,
        errors=errors,
        csrf_token=page.csrf_token("second way", guest.current.token),
        **context,
    )


def _flow_page(
    guest: Guest, flow: RunningFlow, template: str, errors: Sequence[FieldError], status: int, **context: object
) -> Response:
    """Return a page of a pending flow."""
    address = guest.destination.address
    here, back = address(SECOND_WAY, c=flow.token), address(SECOND_WAY)
    return _guest_page(guest, template, errors, status, here=here, back=back, c=flow.token, **context)


def _code_page(
    guest: Guest, flow: RunningFlow, errors: Sequence[FieldError] = (), status: int = 200, *, sent_again: bool = False
) -> Response:
    data = data_of(flow)
    return _flow_page(
        guest,
        flow,
        "second_way_code.html",
        errors,
        status,
        recipient=masked(data["kind"], data["value"]),
        **channel_texts(guest.accounts.settings, data["kind"], flow.channel),
        minutes=whole_minutes(guest.accounts.settings.one_time_code_lifetime),
        sent_again=sent_again,
    )


def _app_page(guest: Guest, flow: RunningFlow, errors: Sequence[FieldError] = (), status: int = 200) -> Response:
    enrol = app_enrolment(guest.page, str(flow.data["seed"]), guest.user.name)
    return _flow_page(guest, flow, "second_way_app.html", errors, status, enrol=enrol)
