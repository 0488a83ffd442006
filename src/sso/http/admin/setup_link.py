"""The page of the link that ``sso setup`` prints: the first administrator chooses a name and a password, is signed in,
sets up two-step verification, and goes on to the setup page of the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from pydantic import AfterValidator
from starlette.responses import Response

from sso.accounts.profile import read_name
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.second_factor import begin_second_factor
from sso.http.admin.setup import HERE as THEN
from sso.http.common.field_errors import FieldError, errors_in_order, field_error
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.typed_forms import FormModel, cut, read_form, required
from sso.http.sign_in.finish import show_flow
from sso.http.sign_in.flow_texts import WEAK
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.texts import BUSY, STALE
from sso.identity.authn.assurance import ACR_MFA
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.users.service import UserError
from sso.messages import N_
from sso.setup.administrator import administrator_of_link, create_administrator
from sso.setup.links import PATH, LinkEnded, NewAdministrator

router = new_router()
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
async def setup_link_page(page: CurrentPage) -> Response:
    """Show the form of a setup link. It uses the link up only when it is sent: a preview of the link does no harm."""
    token = page.query.get("c", "")
    await page.site.limits.setup_links.take(page.visitor.ip_address)
    try:
        person = await administrator_of_link(page.site.accounts, token)
    except LinkEnded:
        return _ended(page)
    return _form_page(page, token, {"name": person.name, "username": person.username, "email": person.email})


@router.post(PATH)
async def use_setup_link(page: CurrentPage) -> Response:
    """Create the administrator, use the link up, and sign the administrator in."""
    fields, token = page.fields, page.fields.get("c", "")
    if not page.has_browser:
        return page.failure("no_cookies", 400)
    await page.site.limits.setup_links.take(page.visitor.ip_address)
    try:
        await administrator_of_link(page.site.accounts, token)
    except LinkEnded:
        return _ended(page)
    if not page.has_valid_csrf_token(f"setup {token}"):
        return _form_page(page, token, fields, field_error("", STALE), 400)
    sent = read_form(AdministratorForm, fields)
    if sent.mistakes:
        return _form_page(page, token, fields, errors_in_order(sent.mistakes, FIELDS), 400)
    return await _create(page, token, NewAdministrator(sent.form.name, sent.form.username, sent.form.email))


async def _create(page: PageRequest, token: str, person: NewAdministrator) -> Response:
    services, fields = page.site.accounts, page.fields
    try:
        proof = await create_administrator(services, page.visitor, token, person, fields.get("password", ""))
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
    # No session begins before the second factor is set up, whatever SSO_SECOND_FACTOR_ROLES says.
    options = SignInOptions(add=True, then=THEN)
    begun = await begin_second_factor(page.site, page.visitor, proof, "role", ACR_MFA, options)
    return show_flow(page, begun) if begun is not None else _ended(page)


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
        minimum=page.site.settings.password_min_length,
        errors=errors,
        csrf_token=page.csrf_token(f"setup {token}"),
    )


def _ended(page: PageRequest) -> Response:
    """Return the page of a link that cannot be used, and how to get another."""
    return page.page("setup_link_ended.html", status=410)
