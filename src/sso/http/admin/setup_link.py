"""The pages of the link that ``sso setup`` prints: the first administrator chooses a name and a password, sets up an
authenticator app, is created and signed in, and goes on to the setup page of the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from pydantic import AfterValidator
from starlette.responses import RedirectResponse, Response

from sso.accounts.flows import FlowEnded, FlowRefused
from sso.accounts.profile import read_name
from sso.accounts.services import AccountServices
from sso.accounts.sign_in.destination import Destination
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import account_at
from sso.accounts.sign_in.start import start_session
from sso.http.admin.setup import HERE as SETUP
from sso.http.common.field_errors import FieldError, errors_in_order, field_error
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.services import Accounts, Limits
from sso.http.common.typed_forms import FormModel, cut, read_form, required
from sso.http.sign_in.finish import finish
from sso.http.sign_in.flow_texts import WEAK, WRONG_APP_CODE
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.second_way import codes_page
from sso.http.sign_in.setup_of_app import app_enrolment
from sso.http.sign_in.texts import BUSY, STALE
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.users.service import UserError
from sso.platform.messages import N_
from sso.setup.administrator import (
    administrator_of_link,
    begin_administrator,
    confirm_administrator,
    data_of,
    recall_administrator,
)
from sso.setup.links import PATH, LinkEnded, NewAdministrator

router = new_router()
APP = PATH + "/app"
NO_NAME = N_("Enter your full name.")
NO_USERNAME = N_("Enter a username, such as siti.")
NOT_USABLE = N_("This username or e-mail address cannot be used: %(reason)s")
FIELDS = ("name", "username", "email", "password")


class AdministratorForm(FormModel):
    """What the administrator types. The password is read as it is."""

    name: Annotated[str, AfterValidator(read_name), required(NO_NAME)] = ""
    username: Annotated[str, cut(64), required(NO_USERNAME)] = ""
    email: Annotated[str, cut(254)] = ""


@router.get(PATH)
async def setup_link_page(page: CurrentPage, accounts: Accounts, limits: Limits) -> Response:
    """Show the form of a setup link. It uses the link up only when it is sent: a preview of the link does no harm."""
    token = page.query.get("c", "")
    await limits.setup_links.take(page.visitor.ip_address)
    try:
        person = await administrator_of_link(accounts, token)
    except LinkEnded:
        return _ended(page)
    return _form_page(page, token, {"name": person.name, "username": person.username, "email": person.email})


@router.post(PATH)
async def use_setup_link(page: CurrentPage, accounts: Accounts, limits: Limits) -> Response:
    """Keep the name and the password, and lead to the page on which the authenticator app is set up."""
    fields, token = page.fields, page.fields.get("c", "")
    if not page.has_browser:
        return page.failure("no_cookies", 400)
    await limits.setup_links.take(page.visitor.ip_address)
    try:
        await administrator_of_link(accounts, token)
    except LinkEnded:
        return _ended(page)
    if not page.has_valid_csrf_token(f"setup {token}"):
        return _form_page(page, token, fields, field_error("", STALE), 400)
    sent = read_form(AdministratorForm, fields)
    if sent.mistakes:
        return _form_page(page, token, fields, errors_in_order(sent.mistakes, FIELDS), 400)
    return await _begin(page, accounts, token, NewAdministrator(sent.form.name, sent.form.username, sent.form.email))


async def _begin(page: PageRequest, services: AccountServices, token: str, person: NewAdministrator) -> Response:
    fields = page.fields
    try:
        flow = await begin_administrator(services, page.visitor, token, person, fields.get("password", ""))
    except LinkEnded:
        return _ended(page)
    except WeakPassword as error:
        errors = field_error("password", WEAK[error.code], minimum=error.minimum)
        return _form_page(page, token, fields, errors, 400)
    except Busy as error:
        return to_wait(_form_page(page, token, fields, field_error("", BUSY), 503), error.retry_after)
    except UserError as error:
        errors = field_error("username", NOT_USABLE, reason="; ".join(error.mistakes))
        return _form_page(page, token, fields, errors, 409)
    return RedirectResponse(f"{APP}?{urlencode({'f': flow.token})}", 303, {"Cache-Control": "no-store"})


@router.get(APP)
async def setup_app_page(page: CurrentPage, accounts: Accounts) -> Response:
    """Show the authenticator app that the administrator sets up."""
    flow = await _flow(page, accounts, page.query.get("f", ""))
    return flow if isinstance(flow, Response) else _app_page(page, flow)


@router.post(APP)
async def confirm_setup_app(page: CurrentPage, accounts: Accounts) -> Response:
    """Create the administrator, use the link up, start the session, and show the recovery codes."""
    flow = await _flow(page, accounts, page.fields.get("f", ""))
    if isinstance(flow, Response):
        return flow
    if not page.has_valid_csrf_token(f"setup app {flow.token}"):
        return _app_page(page, flow, field_error("", STALE), 400)
    try:
        created = await confirm_administrator(accounts, page.visitor, flow, page.fields.get("code", ""))
    except FlowRefused:
        return _app_page(page, flow, field_error("code", WRONG_APP_CODE), 400)
    except FlowEnded:
        return page.failure("expired_interaction", 400)
    except LinkEnded:
        return _ended(page)
    except UserError as error:
        data = data_of(flow)
        errors = field_error("username", NOT_USABLE, reason="; ".join(error.mistakes))
        return _form_page(page, data["link"], data["person"], errors, 409)
    accounts.worker.nudge()
    before = await account_at(page.services, page.visitor)
    options = SignInOptions(add=True, then=SETUP)
    started = await start_session(
        page.services, page.visitor, created.authenticated, options, pending=None, before=before
    )
    return finish(page, started, None, before, codes_page(page, Destination(), created.recovery_codes, SETUP))


async def _flow(page: PageRequest, accounts: AccountServices, flow_token: str) -> RunningFlow | Response:
    """Return the pending flow of the administrator, or the page that says that it is over."""
    try:
        flow = await recall_administrator(accounts, page.visitor, flow_token)
    except LinkEnded:
        return _ended(page)
    return flow if flow is not None else page.failure("expired_interaction", 400)


def _app_page(page: PageRequest, flow: RunningFlow, errors: Sequence[FieldError] = (), status: int = 200) -> Response:
    data = data_of(flow)
    return page.page(
        "setup_app.html",
        status=status,
        here=f"{APP}?{urlencode({'f': flow.token})}",
        f=flow.token,
        back=f"{PATH}?{urlencode({'c': data['link']})}",
        enrol=app_enrolment(page, data["seed"], data["person"]["username"]),
        errors=errors,
        csrf_token=page.csrf_token(f"setup app {flow.token}"),
    )


def _form_page(
    page: PageRequest, token: str, typed: Mapping[str, str], errors: Sequence[FieldError] = (), status: int = 200
) -> Response:
    return page.page(
        "setup_link.html",
        status=status,
        here=f"{PATH}?{urlencode({'c': token})}",
        c=token,
        name=typed.get("name", "")[:200],
        username=typed.get("username", "")[:64],
        email=typed.get("email", "")[:254],
        minimum=page.services.settings.password_min_length,
        errors=errors,
        csrf_token=page.csrf_token(f"setup {token}"),
    )


def _ended(page: PageRequest) -> Response:
    """Return the page of a link that cannot be used, and how to get another."""
    return page.page("setup_link_ended.html", status=410)
