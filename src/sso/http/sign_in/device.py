"""Where a person connects a device (RFC 8628 section 3.3): type its code, sign in, see what it asks for, decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.responses import RedirectResponse, Response

from sso.accounts.sign_in.current_account import CurrentAccount, current_account
from sso.accounts.sign_in.destination import Destination
from sso.accounts.sign_in.next_step import allowed_groups
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.results import FlowExpired, FlowStarted
from sso.accounts.sign_in.second_factor import begin_second_factor
from sso.clients.registry import Client
from sso.clients.services import LiveClients
from sso.http.common.field_errors import FieldError, field_error
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.services import Clients, Limits
from sso.http.common.typed_forms import FormModel, read_form
from sso.http.common.way_back import way_back
from sso.http.sign_in.allowed_users import needed_for
from sso.http.sign_in.finish import show_flow
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.pages import sign_in_form
from sso.http.sign_in.requested_data import permissions_digest, requested_items
from sso.http.sign_in.texts import NOT_ALLOWED_TEXTS, STALE
from sso.identity.authn.assurance import ACR_PASSWORD
from sso.identity.authn.authenticated import Authenticated
from sso.identity.users.models import User
from sso.oidc.authorize.signed_in import SignedIn
from sso.oidc.demands import Demand, Unmet
from sso.oidc.device import service as device
from sso.oidc.models import DeviceCode
from sso.platform.security.rate_limits import CountLimit, TooManyFailures

router = new_router()

UNKNOWN = N_("This code is wrong or has expired. Check the code on your device, or get a new code there.")
WAIT = N_("Too many wrong codes. Try again in %(minutes)d minutes.")


@dataclass(frozen=True, slots=True)
class DeviceVisit:
    """A request to the page of devices.

    Args:
        page: the request.
        clients: the registered applications.
        device_codes: limits wrong codes, for each IP address.
    """

    page: PageRequest
    clients: LiveClients
    device_codes: CountLimit


async def _visit(page: CurrentPage, clients: Clients, limits: Limits) -> DeviceVisit:
    return DeviceVisit(page, clients, limits.device_codes)


CurrentVisit = Annotated[DeviceVisit, Depends(_visit)]


class DeviceForm(FormModel):
    """The code of the device; with ``choice``, the decision about the device."""

    user_code: str = ""
    choice: str = ""


@router.get("/device")
async def device_page(visit: CurrentVisit) -> Response:
    """The page where the code is typed; with a code, the one where it is decided (section 3.3.1)."""
    page = visit.page
    await _current(page)
    typed = page.query.get("user_code", "")
    return await _look_up(visit, typed) if typed else _type_page(page)


@router.post("/device")
async def device_form(visit: CurrentVisit) -> Response:
    """Look a code up, or decide."""
    page = visit.page
    await _current(page)
    form = read_form(DeviceForm, page.fields).form
    typed = form.user_code
    if "choice" not in page.fields:
        if not page.has_valid_csrf_token("device"):
            return _type_page(page, typed, field_error("", STALE), 400)
        return await _look_up(visit, typed)
    code, client, _ = await _find(visit, typed)
    purpose = _purpose(code, client) if code is not None and client is not None else ""
    if not purpose or not page.has_valid_csrf_token(purpose, page.visitor.session_token):
        return await _look_up(visit, typed)
    return await _decide(visit, typed, form.choice == "allow")


async def _current(page: PageRequest) -> CurrentAccount | None:
    """Return the account of this browser.

    Raises:
        AccountLocked: when the account is locked.
    """
    provider = page.services.provider
    async with provider.db.read() as session:
        return await current_account(provider, session, page.visitor)


async def _enter(visit: DeviceVisit, typed: str) -> tuple[DeviceCode, Client, SignedIn | None] | Response:
    """Return what a typed code is for, and who is signed in; or the page that refuses the code, which counts."""
    page = visit.page
    try:
        attempt = await visit.device_codes.take(page.visitor.ip_address)
    except TooManyFailures as error:
        return to_wait(
            _type_page(page, typed, field_error("user_code", WAIT, minutes=error.minutes), 429), error.retry_after
        )
    code, client, who = await _find(visit, typed)
    if code is None or client is None:
        return await _unknown_page(page, typed)
    await attempt.give_back()
    return code, client, who


async def _look_up(visit: DeviceVisit, typed: str) -> Response:
    """Show what the device of a code asks for, to a person who is signed in."""
    page, entered = visit.page, await _enter(visit, typed)
    if isinstance(entered, Response):
        return entered
    (code, client, who), provider = entered, page.services.provider
    if who is None:
        return _sign_in(code)
    async with provider.db.read() as session:
        unmet = await device.unmet_by(session, provider.settings, code, client, who, page.visitor.ip_address)
    if unmet is not None:
        return await _lead(page, code, client, who, unmet)
    return page.page(
        "device_decide.html",
        here=_address(code),
        header=page.header(who.user.name),
        client=client,
        user_code=code.user_code,
        requested=requested_items(client, client.permissions(code.scope.split())),
        person=who.user.name,
        csrf_token=page.csrf_token(_purpose(code, client), page.visitor.session_token),
    )


def _address(code: DeviceCode) -> str:
    return f"/device?{urlencode({'user_code': code.user_code})}"


def _sign_in(code: DeviceCode) -> Response:
    return RedirectResponse(f"/login?{urlencode({'user_code': code.user_code})}", 303)


def _purpose(code: DeviceCode, client: Client) -> str:
    """Return what the form of a decision is for: this device, and exactly what it is shown to ask for."""
    permissions = client.permissions(code.scope.split())
    return f"device {code.device_hash.hex()} {permissions_digest(client, permissions)}"


async def _find(visit: DeviceVisit, typed: str) -> tuple[DeviceCode | None, Client | None, SignedIn | None]:
    """Return the device of a code, its application where it is enabled, and who is signed in."""
    page, user_code = visit.page, device.normal_user_code(typed)
    provider = page.services.provider
    async with provider.db.read() as session:
        code = await device.find_waiting(session, user_code) if user_code else None
        current = await current_account(provider, session, page.visitor)
    client = await visit.clients.client(code.client_id) if code is not None else None
    who = current.signed_in if current is not None else None
    return code, client if client is not None and client.enabled else None, who


async def _lead(page: PageRequest, code: DeviceCode, client: Client, who: SignedIn, unmet: Unmet) -> Response:
    """Lead a person to what is missing before they can connect a device, and back; or say why they cannot, as for an
    authorization request."""
    if unmet.demand in (Demand.APPLICATION, Demand.GRANT_TYPE):
        return await _unknown_page(page, code.user_code)
    if unmet.demand is Demand.MAX_AGE:
        to_device = replace(page, destination=Destination(user_code=code.user_code))
        return sign_in_form(to_device, None, CurrentAccount(who, page.visitor.session_token))
    if unmet.demand is Demand.ACR:
        begun = await _ask_for_factor(page, code, client, who)
        if begun is not None:
            return show_flow(page, begun)
    identity = unmet.demand is Demand.IDENTITY
    destination = Destination(user_code=code.user_code, client_id=client.client_id)
    return page.page(
        "identity_needed.html" if identity else "not_allowed.html",
        status=403,
        here=_address(code),
        header=page.header(who.user.name),
        client=client,
        person=who.user.name,
        level=client.meta.minimum_identity if identity else str(unmet.demand),
        text=NOT_ALLOWED_TEXTS.get(unmet.demand, ""),
        needed=needed_for(client, await allowed_groups(page.services.provider.db, client))
        if unmet.demand is Demand.ROLE
        else [],
        user_code=code.user_code,
        recover_at=destination.address("/recover"),
        csrf_token=page.csrf_token(_purpose(code, client), page.visitor.session_token),
    )


async def _ask_for_factor(
    page: PageRequest, code: DeviceCode, client: Client, who: SignedIn
) -> FlowStarted | FlowExpired | None:
    """Ask for the second factor that the application needs; it leads back to the device."""
    live, level = who.session, client.meta.minimum_acr or ACR_PASSWORD
    async with page.services.provider.db.read() as session:
        user = await session.get(User, who.user.id)
    if user is None:
        return None
    authenticated, options = (
        Authenticated(user, live.acr, live.amr, live.auth_time),
        SignInOptions(user_code=code.user_code),
    )
    return await begin_second_factor(page.services, page.visitor, authenticated, "asked", level, options)


async def _decide(visit: DeviceVisit, typed: str, allowed: bool) -> Response:
    page, entered = visit.page, await _enter(visit, typed)
    if isinstance(entered, Response):
        return entered
    (code, client, who), provider, visitor = entered, page.services.provider, page.visitor
    if who is None:
        return await _look_up(visit, typed)
    done, unmet = False, None
    try:
        async with provider.db.write() as session:
            if allowed:
                unmet = await device.unmet_by(session, provider.settings, code, client, who, visitor.ip_address)
            if unmet is None:
                done = await device.decide(
                    session,
                    provider,
                    code,
                    who,
                    allowed=allowed,
                    caller=visitor.ip_address,
                    address=visitor.stored_ip_address,
                    request_id=visitor.request_id,
                )
    except device.SessionEnded:
        return _sign_in(code)
    if unmet is not None:
        return await _lead(page, code, client, who, unmet)
    if not done:
        return await _unknown_page(page, typed)
    return page.page("device_done.html", here="/device", client=client, allowed=allowed)


async def _unknown_page(page: PageRequest, typed: str) -> Response:
    """Say that a code is not valid. Where it was once, the page names the application and leads back to it."""
    provider, user_code = page.services.provider, device.normal_user_code(typed)
    async with provider.db.read() as session:
        client_id = await device.application_of(session, user_code) if user_code else ""
    return _type_page(page, typed, field_error("user_code", UNKNOWN), 400, provider.registry.enabled(client_id))


def _type_page(
    page: PageRequest,
    typed: str = "",
    errors: Sequence[FieldError] = (),
    status: int = 200,
    client: Client | None = None,
) -> Response:
    return page.page(
        "device.html",
        status=status,
        here="/device",
        user_code=typed[:20],
        errors=errors,
        client=client,
        back=way_back(client, signing_in=True),
        csrf_token=page.csrf_token("device"),
    )
