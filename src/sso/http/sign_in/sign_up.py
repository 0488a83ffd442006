"""Pages of a sign-up: a contact, the code that verifies it, a name and a password or passkey; then on to the
application. The rules are in ``accounts/sign_up.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from sso.accounts.contacts import read_contact
from sso.accounts.flows import Continuation, FlowEnded, FlowRefused, Problem
from sso.accounts.profile import MAX_NAME_CHARS, read_name
from sso.accounts.sign_in.destination import OPEN, Destination, named_application, page_end, stored_destination
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest, RequestExpired, account_at, recall_request
from sso.accounts.sign_in.start import start_session
from sso.accounts.sign_up import (
    begin_sign_up,
    check_sign_up_code,
    create_account,
    data_of,
    hash_new_password,
    recall_sign_up,
    resend_sign_up_code,
)
from sso.http.common.cookies import with_browser
from sso.http.common.destination import read_destination, sign_in_address
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.sign_in.after_sign_in import own_destination
from sso.http.sign_in.finish import finish
from sso.http.sign_in.flow_texts import SIGN_UP_TEXTS, TOO_MANY, WEAK
from sso.http.sign_in.page_request import CurrentPage, PageRequest
from sso.http.sign_in.texts import BUSY, STALE
from sso.identity.authn.authenticated import Authenticated
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
NOT_A_MAIL = N_("Type an e-mail address such as siti@example.id.")
NOT_AGREED = N_("Tick the box if you agree. Without it we cannot make an account for you.")
NO_NAME = N_("Type your name, as it is on your identity card.")


@dataclass(frozen=True, slots=True)
class SignUp:
    """A sign-up that is under way: its request, its pending flow, and the authorization request it is for, if any."""

    page: PageRequest
    flow: RunningFlow
    pending: PendingRequest | None

    @property
    def destination(self) -> Destination:
        """Where the user wants to go."""
        return stored_destination(self.flow.data)


@router.get(HERE)
async def sign_up_page(page: CurrentPage) -> Response:
    """The page of a sign-up: where it begins, or wherever it is."""
    if not page.site.settings.sign_up_kinds:
        return page.failure("not_found", 404)
    token = page.query.get("c", "")
    if not token:
        query = dict(page.query)
        pending = await _pending(page, query.get("i", ""))
        hint = pending.request.login_hint if pending else ""
        return _begin_page(page, pending, {**query, "contact": hint})
    sign_up = await _recall(page, token)
    return _page(sign_up) if sign_up is not None else page.failure("expired_interaction", 400)


@router.post(HERE)
async def sign_up_form(page: CurrentPage) -> Response:
    """One page of a sign-up."""
    if not page.site.settings.sign_up_kinds:
        return page.failure("not_found", 404)
    if not page.has_browser:
        return page.failure("no_cookies", 400)
    token = page.fields.get("c", "")
    if not token:
        return await _begin(page, await _pending(page, page.fields.get("i", "")))
    sign_up = await _recall(page, token)
    if sign_up is None:
        return page.failure("expired_interaction", 400)
    if not page.has_valid_csrf_token(f"sign-up {sign_up.flow.token}"):
        return _page(sign_up, STALE, 400)
    if not data_of(sign_up.flow).get("verified"):
        return await _check_code(sign_up)
    return await _create(sign_up)


async def _begin(page: PageRequest, pending: PendingRequest | None) -> Response:
    services, fields = page.site.accounts, page.fields
    if not page.has_valid_csrf_token("sign-up"):
        return _begin_page(page, pending, fields, STALE, 400)
    try:
        settings = services.settings
        contact = read_contact(settings.sign_up_kinds, fields.get("contact", ""), settings.phone_prefixes)
    except FlowRefused as error:
        text, status = SIGN_UP_TEXTS[error.problem]
        if error.problem is Problem.NOT_A_CONTACT and "phone" not in services.settings.sign_up_kinds:
            text = NOT_A_MAIL
        return _begin_page(page, pending, fields, text, status)
    if fields.get("agree") != "1":
        return _begin_page(page, pending, fields, NOT_AGREED, 400, field="agree")
    onward = _continuation(page, _destination(pending, fields))
    try:
        flow = await begin_sign_up(services, page.visitor, contact, onward)
    except TooManyFailures as error:
        return to_wait(_begin_page(page, pending, fields, TOO_MANY, 429, minutes=error.minutes), error.retry_after)
    page.site.worker.nudge()
    return with_browser(page.request, _to(flow))


async def _check_code(sign_up: SignUp) -> Response:
    page, flow = sign_up.page, sign_up.flow
    services = page.site.accounts
    try:
        if page.fields.get("choice") == "resend":
            try:
                await resend_sign_up_code(services, page.visitor, flow, _continuation(page, sign_up.destination))
            finally:
                page.site.worker.nudge()
            return _page(sign_up, sent_again=True)
        await check_sign_up_code(services, page.visitor, flow, page.fields.get("code", ""))
    except FlowRefused as error:
        return _refused(sign_up, error)
    return _to(flow)


async def _create(sign_up: SignUp) -> Response:
    """Create the account, sign in, and go on."""
    page, flow = sign_up.page, sign_up.flow
    services, fields = page.site.accounts, page.fields
    name, passkey = read_name(fields.get("name", "")), fields.get("credential", "")[:MAX_CREDENTIAL_CHARS]
    if not name:
        typed = " ".join(fields.get("name", "").split())[:MAX_NAME_CHARS]
        return _page(sign_up, NO_NAME, 400, name=typed, field="name")
    hashed = None
    try:
        if not passkey:
            hashed = await hash_new_password(services, page.visitor, flow, name, fields.get("password", ""))
        proof = await create_account(services, page.visitor, flow, name, password_hash=hashed, passkey=passkey)
    except WeakPassword as error:
        return _page(sign_up, WEAK[error.code], 400, name=name, field="password", minimum=error.minimum)
    except Busy as error:
        return to_wait(_page(sign_up, BUSY, 503, name=name), error.retry_after)
    except FlowEnded:
        return page.failure("expired_interaction", 400)
    except FlowRefused as error:
        return _refused(sign_up, error, name=name)
    return await _sign_in(sign_up, proof)


async def _sign_in(sign_up: SignUp, proof: Authenticated) -> Response:
    """Sign a new user in, and go on to where they want to go."""
    page, pending, destination = sign_up.page, sign_up.pending, sign_up.destination
    if pending is not None:
        _, before = await recall_request(page.site, page.visitor, pending.token)
    else:
        before = await account_at(page.site, page.visitor)
    then, client = destination.then, named_application(page.site.provider.registry, destination)
    if pending is None and client is not None and client.meta.initiate_login_uri:
        then = OPEN + client.client_id  # the request ended meanwhile
    options = SignInOptions(i=pending.token if pending else "", add=True, then=then, user_code=destination.user_code)
    result = await start_session(page.site, page.visitor, proof, options, pending=pending, before=before)
    page.site.worker.nudge()
    return finish(replace(page, destination=own_destination(destination.fields)), result, pending, before)


async def _recall(page: PageRequest, token: str) -> SignUp | None:
    flow = await recall_sign_up(page.site.accounts, page.visitor, token)
    if flow is None:
        return None
    return SignUp(page, flow, await _pending(page, flow.data["i"]))


async def _pending(page: PageRequest, token: str) -> PendingRequest | None:
    """Return the authorization request for which somebody signs up; None where it has ended: they can sign up all the
    same."""
    try:
        return (await recall_request(page.site, page.visitor, token))[0] if token else None
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
    client = named_application(page.site.provider.registry, destination)
    sign_in_at = sign_in_address(replace(destination, i="", user_code=""), client)
    return Continuation(
        destination.stored, page_end(page.site.provider.box, page.site.provider.registry, destination), sign_in_at
    )


def _to(flow: RunningFlow) -> Response:
    return RedirectResponse(f"{HERE}?{urlencode({'c': flow.token})}", 303, {"Cache-Control": "no-store"})


def _common(page: PageRequest, pending: PendingRequest | None, destination: Destination) -> dict[str, object]:
    asked, settings = pending.request if pending else None, page.site.settings
    named = named_application(page.site.provider.registry, destination)
    return {
        "ui_locales": asked.ui_locales if asked else "",
        "form_target": asked.redirect_uri if asked else "",
        "display": asked.display if asked else "page",
        "client": asked.client if asked else named,
        "terms": settings.terms_url or "/terms",
        "privacy": settings.privacy_url or "/privacy",
    }


def _begin_page(
    page: PageRequest,
    pending: PendingRequest | None,
    typed: Mapping[str, str],
    problem: str = "",
    status: int = 200,
    *,
    field: str = "contact",
    **values: int,
) -> Response:
    destination = _destination(pending, typed)
    return page.page(
        "sign_up.html",
        status=status,
        here=destination.address(HERE),
        onward=destination.fields,
        sign_in_at=sign_in_address(destination, named_application(page.site.provider.registry, destination)),
        contact=typed.get("contact", "")[:MAX_CONTACT_CHARS],
        agreed=typed.get("agree") == "1",
        kinds=page.site.settings.sign_up_kinds,
        problem=problem,
        field=field,
        values=values,
        csrf_token=page.csrf_token("sign-up"),
        **_common(page, pending, destination),
    )


def _refused(sign_up: SignUp, error: FlowRefused, *, name: str = "") -> Response:
    """Return the page that says why a step was refused."""
    text, status = SIGN_UP_TEXTS[error.problem]
    response = _page(sign_up, text, status, name=name, minutes=error.minutes)
    return to_wait(response, error.retry_after) if error.retry_after else response


def _page(
    sign_up: SignUp,
    problem: str = "",
    status: int = 200,
    *,
    name: str = "",
    field: str = "",
    sent_again: bool = False,
    **values: int,
) -> Response:
    page, data, token = sign_up.page, data_of(sign_up.flow), sign_up.flow.token
    settings, verified, passkey = page.site.settings, bool(data.get("verified")), ""
    if verified:
        stub = User(id=UUID(data["user_id"]), name=name or data["contact"])
        passkeys = page.site.provider.passkeys
        passkey = passkeys.creation_options(stub, data["contact"], [], page.visitor.browser_id)
    return page.page(
        "sign_up_account.html" if verified else "sign_up_code.html",
        status=status,
        here=f"{HERE}?{urlencode({'c': token})}",
        c=token,
        kind=data["kind"],
        contact=data["contact"],
        shown=masked(data["kind"], data["contact"]),
        minutes=whole_minutes(settings.one_time_code_lifetime),
        minimum=settings.password_min_length,
        name=name,
        problem=problem,
        field=field,
        sent_again=sent_again,
        values=values,
        passkey=passkey,
        csrf_token=page.csrf_token(f"sign-up {token}"),
        **_common(page, sign_up.pending, sign_up.destination),
    )
