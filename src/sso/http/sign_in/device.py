"""Where a person connects a device (RFC 8628 section 3.3): type its code, sign in, see what it asks for, decide."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.clients.claims import permissions
from sso.clients.registry import Client
from sso.http.common.cookies import read_cookie
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.i18n import N_
from sso.http.common.onward import Onward
from sso.http.common.pages import page
from sso.http.common.responses import to_wait
from sso.http.common.state import address_of, kept_address_of, request_id_of, site_of
from sso.http.common.way_back import way_back
from sso.http.sign_in.account_chooser import present_account
from sso.http.sign_in.authorize import NOT_ALLOWED_TEXTS, STALE, sign_in_alone
from sso.http.sign_in.consent import asked_for, shown_digest
from sso.http.sign_in.steps import Options, begin_step
from sso.identity.authn.assurance import ACR_PASSWORD
from sso.identity.authn.authenticated import Authenticated
from sso.identity.users.models import User
from sso.oidc.authorize.request import SignedIn
from sso.oidc.demands import Demand, Unmet
from sso.oidc.device import service as device
from sso.oidc.models import DeviceCode
from sso.platform.security.rate_limits import TooManyFailures

router = APIRouter()

UNKNOWN = N_("We do not know this code, or its time is over. Look at your device for a new one.")
WAIT = N_("There were too many wrong codes. Please try again in %(minutes)d minutes.")


@router.get("/device")
async def device_page(request: Request) -> Response:
    """The page where the code is typed; with a code, the one where it is decided (section 3.3.1)."""
    await _check_lock(request)
    typed = request.query_params.get("user_code", "")
    return await _look_up(request, typed) if typed else _type_page(request)


@router.post("/device")
async def device_form(request: Request) -> Response:
    """Look a code up, or decide."""
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    await _check_lock(request)
    cookie, typed = read_cookie(request, "session"), fields.get("user_code", "")
    if "choice" not in fields:
        if not has_valid_csrf_token(request, fields, "device"):
            return _type_page(request, typed, STALE, 400)
        return await _look_up(request, typed)
    waiting, client, _ = await _find(request, typed)
    purpose = _purpose(waiting, client) if waiting is not None and client is not None else ""
    if not purpose or not has_valid_csrf_token(request, fields, purpose, cookie):
        return await _look_up(request, typed)
    return await _decide(request, typed, fields["choice"] == "allow")


async def _check_lock(request: Request) -> None:
    """Raise ``AccountLocked`` where the account of this browser is locked."""
    async with site_of(request).provider.db.read() as session:
        await present_account(request, session)


async def _look_up(request: Request, typed: str) -> Response:
    """Show what the device of a code asks for, to a person who is signed in."""
    site, address = site_of(request), address_of(request)
    try:
        attempt = await site.device_codes.take(address)
    except TooManyFailures as error:
        return to_wait(_type_page(request, typed, WAIT, 429, minutes=error.minutes), error.retry_after)
    waiting, client, who = await _find(request, typed)
    if waiting is None or client is None:
        return await _unknown_page(request, typed)
    await attempt.give_back()
    if who is None:
        return RedirectResponse(f"/login?{urlencode({'user_code': waiting.user_code})}", 303)
    async with site.provider.db.read() as session:
        unmet = await device.unmet_by(session, site.provider, waiting, client, who, address)
    if unmet is not None:
        return await _lead(request, waiting, client, who, unmet)
    return page(
        request,
        "device_decide.html",
        here=f"/device?{urlencode({'user_code': waiting.user_code})}",
        client=client,
        user_code=waiting.user_code,
        asked=asked_for(client, permissions(waiting.scope.split(), client.meta.claim_reasons)),
        person=who.user.name,
        csrf_token=csrf_token(request, _purpose(waiting, client), read_cookie(request, "session")),
    )


def _purpose(waiting: DeviceCode, client: Client) -> str:
    """Return what the form of a decision is for: this device, and exactly what it is shown to ask for."""
    asked = permissions(waiting.scope.split(), client.meta.claim_reasons)
    return f"device {waiting.device_hash.hex()} {shown_digest(client, asked)}"


async def _find(request: Request, typed: str) -> tuple[DeviceCode | None, Client | None, SignedIn | None]:
    provider, user_code = site_of(request).provider, device.normal_user_code(typed)
    async with provider.db.read() as session:
        waiting = await device.find_waiting(session, user_code) if user_code else None
        who = await present_account(request, session)
    client = await provider.client(waiting.client_id) if waiting is not None else None
    return waiting, client if client is not None and client.enabled else None, who


async def _lead(request: Request, waiting: DeviceCode, client: Client, who: SignedIn, unmet: Unmet) -> Response:
    """Lead a person to what is missing before they can connect a device, and back; or say why they cannot, as for an
    authorization request."""
    if unmet.demand in (Demand.APPLICATION, Demand.GRANT_TYPE):
        return await _unknown_page(request, waiting.user_code)
    if unmet.demand is Demand.MAX_AGE:
        request.scope["sso.user_code"] = waiting.user_code
        return sign_in_alone(request, None, who)
    if unmet.demand is Demand.ACR:
        step = await _step_up(request, waiting, client, who)
        if step is not None:
            return step
    identity = unmet.demand is Demand.IDENTITY
    return page(
        request,
        "identity_needed.html" if identity else "not_allowed.html",
        status=403,
        here=f"/device?{urlencode({'user_code': waiting.user_code})}",
        client=client,
        person=who.user.name,
        level=client.meta.minimum_identity if identity else str(unmet.demand),
        text=NOT_ALLOWED_TEXTS.get(unmet.demand, ""),
        user_code=waiting.user_code,
        recover_at=Onward(user_code=waiting.user_code, client_id=client.client_id).address("/recover"),
        csrf_token=csrf_token(request, _purpose(waiting, client), read_cookie(request, "session")),
    )


async def _step_up(request: Request, waiting: DeviceCode, client: Client, who: SignedIn) -> Response | None:
    """Ask for the second step that the application asks for; it leads back to the device."""
    live, level = who.session, client.meta.minimum_acr or ACR_PASSWORD
    async with site_of(request).provider.db.read() as session:
        user = await session.get(User, who.user.id)
    if user is None:
        return None
    proof = Authenticated(user, live.acr, live.amr, live.auth_time)
    return await begin_step(request, proof, "asked", level, Options(user_code=waiting.user_code))


async def _decide(request: Request, typed: str, allowed: bool) -> Response:
    site, address = site_of(request), address_of(request)
    try:
        attempt = await site.device_codes.take(address)
    except TooManyFailures as error:
        return to_wait(_type_page(request, typed, WAIT, 429, minutes=error.minutes), error.retry_after)
    waiting, client, who = await _find(request, typed)
    if waiting is None or client is None:
        return await _unknown_page(request, typed)
    await attempt.give_back()
    if who is None:
        return await _look_up(request, typed)
    done, unmet = False, None
    try:
        async with site.provider.db.write() as session:
            if allowed:
                unmet = await device.unmet_by(session, site.provider, waiting, client, who, address)
            if unmet is None:
                done = await device.decide(
                    session,
                    site.provider,
                    waiting,
                    who,
                    allowed=allowed,
                    caller=address,
                    address=kept_address_of(request),
                    request_id=request_id_of(request),
                )
    except device.SessionOver:
        return RedirectResponse(f"/login?{urlencode({'user_code': waiting.user_code})}", 303)
    if unmet is not None:
        return await _lead(request, waiting, client, who, unmet)
    if not done:
        return await _unknown_page(request, typed)
    return page(request, "device_done.html", here="/device", client=client, allowed=allowed)


async def _unknown_page(request: Request, typed: str) -> Response:
    """Say that a code is not good. Where it was once, the page names the application and leads back to it."""
    provider, user_code = site_of(request).provider, device.normal_user_code(typed)
    async with provider.db.read() as session:
        client_id = await device.application_of(session, user_code) if user_code else ""
    return _type_page(request, typed, UNKNOWN, 400, provider.registry.enabled(client_id))


def _type_page(
    request: Request,
    typed: str = "",
    problem: str = "",
    status: int = 200,
    client: Client | None = None,
    **values: int,
) -> Response:
    return page(
        request,
        "device.html",
        status=status,
        here="/device",
        user_code=typed[:20],
        problem=problem,
        client=client,
        back=way_back(client, signing_in=True),
        values=values,
        csrf_token=csrf_token(request, "device"),
    )
