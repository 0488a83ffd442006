"""Registering: a contact, the code that proves it, a name and a password or passkey; then on to the application.

Nobody learns here who has an account: whatever is typed, the answer is that a code was sent. To somebody who has one
goes a message that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.notifications import notify, send, send_code
from sso.clients.registry import Client
from sso.http.common.cookies import browser_of, read_cookie, with_browser
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.i18n import N_
from sso.http.common.onward import (
    OPEN,
    Onward,
    application_named,
    page_end,
    read_onward,
    sign_in_address,
    stored_onward,
)
from sso.http.common.pages import failure, locale_of, page
from sso.http.common.responses import to_wait
from sso.http.common.state import address_of, kept_address_of, request_id_of, site_of, source_of
from sso.http.sign_in.authorize import BUSY, STALE, Gone, Waiting, recall_waiting, signed_in, who_is_here
from sso.http.sign_in.steps import Options
from sso.identity.authn import pending_flows
from sso.identity.authn.assurance import ACR_PASSKEY
from sso.identity.authn.authenticated import AMR_PASSKEY, Authenticated, by_password
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.users import store as users
from sso.identity.users.identifiers import masked, normalise_contact, receives_codes
from sso.identity.users.models import Agreement, Identifier, User, UserRole
from sso.platform.audit import record
from sso.platform.db import new_id
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.settings import whole_minutes

router = APIRouter()

HERE = "/signup"
SECONDS = 3600
MAX_NAME_CHARS = 200

NOT_A_CONTACT = N_("Type an e-mail address such as siti@example.id, or a telephone number such as 0812 3456 7890.")
LANDLINE = N_("This telephone number cannot receive an SMS. Type the number of a mobile telephone.")
NOT_A_MAIL = N_("Type an e-mail address such as siti@example.id.")
NOT_AGREED = N_("Tick the box if you agree. Without it we cannot make an account for you.")
TOO_MANY = N_("There were very many registrations from your network. Please try again in %(minutes)d minutes.")
WRONG_CODE = N_("This code is not right, or not right any more. Check it, and type the newest.")
TOO_MANY_CODES = N_("There were too many wrong codes. Ask for a new one.")
TOO_MANY_TRIES = N_("There were too many wrong codes. Please try again in %(minutes)d minutes.")
NOT_SENT = N_("We cannot send another code just now. Look for the last one, or try again in a minute.")
NO_NAME = N_("Type your name, as it is on your identity card.")
TAKEN = N_("Somebody has registered with this address or number meanwhile. Sign in, or recover your account.")
WEAK = {
    "short": N_("The password must have at least %(minimum)d characters. Several words are easy to remember."),
    "long": N_("The password must have at most 256 characters."),
    "common": N_("This password is easily guessed. Use several words that do not belong together."),
    "breached": N_("This password was stolen elsewhere, and is known to thieves. Choose another."),
}


@router.get(HERE)
async def sign_up_page(request: Request) -> Response:
    """The page of a registration: where it begins, or wherever it is."""
    if not site_of(request).settings.sign_up_kinds:
        return failure(request, "not_found", 404)
    token = request.query_params.get("c", "")
    if not token:
        query = dict(request.query_params)
        waiting = await _waiting(request, query.get("i", ""))
        hint = waiting.asked.login_hint if waiting else ""
        return _begin_page(request, waiting, {**query, "contact": hint})
    found = await _recall(request, token)
    if found is None:
        return failure(request, "expired_interaction", 400)
    return _page(request, *found)


@router.post(HERE)
async def sign_up(request: Request) -> Response:
    """One page of a registration."""
    if not site_of(request).settings.sign_up_kinds:
        return failure(request, "not_found", 404)
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    if not read_cookie(request, "browser"):
        return failure(request, "no_cookies", 400)
    if not fields.get("c"):
        waiting = await _waiting(request, fields.get("i", ""))
        return await _begin(request, waiting, fields)
    found = await _recall(request, fields["c"])
    if found is None:
        return failure(request, "expired_interaction", 400)
    running, waiting = found
    if not has_valid_csrf_token(request, fields, f"sign-up {running.token}"):
        return _page(request, running, waiting, STALE, 400)
    if not running.data.get("verified"):
        return await _check_code(request, running, waiting, fields)
    return await _make(request, running, waiting, fields)


async def _begin(request: Request, waiting: Waiting | None, fields: dict[str, str]) -> Response:
    site, settings = site_of(request), site_of(request).settings
    if not has_valid_csrf_token(request, fields, "sign-up"):
        return _begin_page(request, waiting, fields, STALE, 400)
    try:
        contact = normalise_contact(fields.get("contact", ""))
    except ValueError:
        contact = None
    if contact is None or contact.kind not in settings.sign_up_kinds or not contact.provable:
        problem = NOT_A_CONTACT if "phone" in settings.sign_up_kinds else NOT_A_MAIL
        return _begin_page(request, waiting, fields, problem, 400)
    if not receives_codes(contact.kind, contact.value):
        return _begin_page(request, waiting, fields, LANDLINE, 400)
    if fields.get("agree") != "1":
        return _begin_page(request, waiting, fields, NOT_AGREED, 400, field="agree")
    try:
        await site.sign_ups.take(address_of(request))
    except TooManyFailures as error:
        return to_wait(_begin_page(request, waiting, fields, TOO_MANY, 429, minutes=error.minutes), error.retry_after)
    locale = locale_of(request)
    onward = _onward(waiting, fields)
    data = {
        "kind": contact.kind,
        "contact": contact.value,
        **onward.stored,
        "locale": locale,
        "terms": settings.terms_version,
        "agreed_at": clock.now().isoformat(),
        "user_id": str(new_id()),
    }
    allowed = None
    with suppress(TooManyFailures):
        allowed = await _may_send(request, data)
    async with site.provider.db.write() as session:
        running = await pending_flows.begin(
            session,
            site.provider.box,
            "sign_up",
            browser_of(request),
            data,
            seconds=SECONDS,
            end=page_end(site.provider, onward),
        )
        if allowed is not None:
            await _send(request, session, running, allowed)
    site.worker.nudge()
    made = RedirectResponse(f"{HERE}?{urlencode({'c': running.token})}", 303, {"Cache-Control": "no-store"})
    return with_browser(request, made)


async def _may_send(request: Request, data: dict[str, Any]) -> bool:
    """Count a code; tell whether anything may be sent.

    Raises:
        TooManyFailures: when there were too many.
    """
    contact = data["contact"]
    return await site_of(request).codes.allow("sign_up", contact, contact, data["kind"], address_of(request))


async def _send(request: Request, session: AsyncSession, running: RunningFlow, allowed: bool) -> bool:
    """Send the code; to somebody who has an account, a message that says so. Both take as long.

    Args:
        request: where it was asked for.
        session: the transaction.
        running: the registration.
        allowed: whether anything may be sent; otherwise everything looks as if it was.
    """
    site, data = site_of(request), running.data
    owner = await users.verified_owner(session, data["contact"])
    kind, to, locale = data["kind"], data["contact"], data["locale"]
    really = allowed and owner is None
    sent = await send_code(session, site.provider, running, kind, to, "code_sign_up", locale, really=really)
    if sent and allowed and owner is not None:
        target = sign_in_address(*_without_request(request, stored_onward(data)))
        send(session, site.provider, kind, to, "already_here", locale, sign_in_at=target)
    return sent


async def _check_code(
    request: Request, running: RunningFlow, waiting: Waiting | None, fields: dict[str, str]
) -> Response:
    site, provider = site_of(request), site_of(request).provider
    if fields.get("choice") == "resend":
        try:
            allowed = await _may_send(request, running.data)
        except TooManyFailures as error:
            return to_wait(_page(request, running, waiting, NOT_SENT, 429), error.retry_after)
        async with provider.db.write() as session:
            sent = await _send(request, session, running, allowed)
        site.worker.nudge()
        if not sent:
            return to_wait(_page(request, running, waiting, NOT_SENT, 429), pending_flows.RESEND_SECONDS)
        return _page(request, running, waiting, sent_again=True)
    async with provider.db.write() as session:
        if not await pending_flows.count_attempt(session, running):
            return to_wait(_page(request, running, waiting, TOO_MANY_CODES, 429), pending_flows.RESEND_SECONDS)
    contact = running.data["contact"]
    try:
        attempt = await site.limits.reserve(Purpose.SIGN_UP_CODE, contact, address_of(request))
    except TooManyFailures as error:
        made = _page(request, running, waiting, TOO_MANY_TRIES, 429, minutes=error.minutes)
        return to_wait(made, error.retry_after)
    valid = site.settings.one_time_code_lifetime
    async with provider.db.read() as session:
        owner = await users.verified_owner(session, running.data["contact"])
    if not pending_flows.is_code(provider.box, running, fields.get("code", ""), valid) or owner is not None:
        return _page(request, running, waiting, WRONG_CODE, 400)
    await attempt.succeeded()
    running.data["verified"] = True
    async with provider.db.write() as session:
        await pending_flows.keep(session, provider.box, running)
    return RedirectResponse(f"{HERE}?{urlencode({'c': running.token})}", 303, {"Cache-Control": "no-store"})


async def _make(request: Request, running: RunningFlow, waiting: Waiting | None, fields: dict[str, str]) -> Response:
    """Make the account, sign in, and go on."""
    site = site_of(request)
    provider = site.provider
    name = " ".join(fields.get("name", "").split())[:MAX_NAME_CHARS]
    if not name or any(char in "<>" or not char.isprintable() for char in name):
        return _page(request, running, waiting, NO_NAME, 400, name=name, field="name")
    credential = fields.get("credential", "")[:20_000]
    hashed = None
    if not credential:
        try:
            source, password = source_of(request), fields.get("password", "")
            await site.passwords.judge(password, [name, running.data["contact"]], source=source)
            hashed = await site.passwords.hash(password, source=source)
        except WeakPassword as error:
            return _page(
                request, running, waiting, WEAK[error.code], 400, name=name, field="password", minimum=error.minimum
            )
        except Busy as error:
            return to_wait(_page(request, running, waiting, BUSY, 503, name=name), error.retry_after)
    try:
        async with provider.db.write() as session:
            if not await pending_flows.finish(session, running):
                return failure(request, "expired_interaction", 400)
            user = await _new_user(request, session, running, name)
            if credential:
                await provider.passkeys.add(session, user.id, browser_of(request), credential, "")
                proof = Authenticated(user, ACR_PASSKEY, list(AMR_PASSKEY))
            else:
                assert hashed is not None
                await users.set_password_hash(session, user.id, hashed, clock.now())
                proof = by_password(user)
            notify(session, provider, user, "welcome")
    except PasskeyRefused:
        return _page(request, running, waiting, N_("The passkey could not be made. Try again."), 400, name=name)
    except IntegrityError:
        return _page(request, running, waiting, TAKEN, 409, name=name)
    onward = stored_onward(running.data)
    before = (await recall_waiting(request, waiting.token))[1] if waiting else await who_is_here(request, running.data)
    then, client = onward.then, application_named(request, onward)
    if waiting is None and client is not None and client.meta.initiate_login_uri:
        then = OPEN + client.client_id  # the request ended meanwhile
    options = Options(i=waiting.token if waiting else "", add=True, then=then, user_code=onward.user_code)
    made = await signed_in(request, waiting, before, proof, options)
    site.worker.nudge()
    return made


async def _new_user(request: Request, session: AsyncSession, running: RunningFlow, name: str) -> User:
    now, data = clock.now(), running.data
    user = User(id=UUID(data["user_id"]), name=name, locale=data["locale"], profile={}, created_at=now, updated_at=now)
    session.add(user)
    await session.flush()
    kind, value = data["kind"], data["contact"]
    contact = Identifier(user_id=user.id, kind=kind, value=value, lookup=value, is_primary=True, created_at=now)
    contact.verified_at = now
    session.add(contact)
    session.add(UserRole(user_id=user.id, role="citizen"))
    for document in ("terms", "privacy"):
        session.add(Agreement(user_id=user.id, document=document, version=data["terms"], agreed_at=now))
    site_of(request).provider.usage.count("account_made")
    record(
        session,
        "user.registered",
        actor=str(user.id),
        subject=str(user.id),
        address=kept_address_of(request),
        request_id=request_id_of(request),
        data={"with": kind, "terms": data["terms"]},
    )
    await session.flush()
    return user


async def _recall(request: Request, token: str) -> tuple[RunningFlow, Waiting | None] | None:
    provider = site_of(request).provider
    async with provider.db.read() as session:
        running = await pending_flows.recall(session, provider.box, "sign_up", token, read_cookie(request, "browser"))
    if running is None:
        return None
    return running, await _waiting(request, running.data["i"])


async def _waiting(request: Request, token: str) -> Waiting | None:
    """Return the authorization request for which somebody registers; none where it has ended: they can register all
    the same."""
    try:
        return (await recall_waiting(request, token))[0] if token else None
    except Gone:
        return None


def _onward(waiting: Waiting | None, said: Mapping[str, str]) -> Onward:
    """Return where somebody wants to go who registers."""
    if waiting is not None:
        return Onward(i=waiting.token, client_id=waiting.asked.client.client_id)
    return replace(read_onward(said), i="")


def _without_request(request: Request, onward: Onward) -> tuple[Onward, Client | None]:
    """Return where a link in a mail leads, which may be opened in another browser: the application, where it can be
    opened."""
    client = application_named(request, onward)
    return replace(onward, i="", user_code=""), client


def _common(request: Request, waiting: Waiting | None, onward: Onward) -> dict[str, Any]:
    asked, settings = waiting.asked if waiting else None, site_of(request).settings
    named = application_named(request, onward)
    return {
        "ui_locales": asked.ui_locales if asked else "",
        "form_target": asked.redirect_uri if asked else "",
        "display": asked.display if asked else "page",
        "client": asked.client if asked else named,
        "terms": settings.terms_url or "/terms",
        "privacy": settings.privacy_url or "/privacy",
    }


def _begin_page(
    request: Request,
    waiting: Waiting | None,
    fields: dict[str, str],
    problem: str = "",
    status: int = 200,
    *,
    field: str = "contact",
    **values: int,
) -> Response:
    onward = _onward(waiting, fields)
    client = application_named(request, onward)
    return page(
        request,
        "sign_up.html",
        status=status,
        here=onward.address(HERE),
        onward=onward.fields,
        sign_in_at=sign_in_address(onward, client),
        contact=fields.get("contact", "")[:254],
        agreed=fields.get("agree") == "1",
        kinds=site_of(request).settings.sign_up_kinds,
        problem=problem,
        field=field,
        values=values,
        csrf_token=csrf_token(request, "sign-up"),
        **_common(request, waiting, onward),
    )


def _page(
    request: Request,
    running: RunningFlow,
    waiting: Waiting | None,
    problem: str = "",
    status: int = 200,
    *,
    name: str = "",
    field: str = "",
    sent_again: bool = False,
    **values: int,
) -> Response:
    site, data, browser = site_of(request), running.data, browser_of(request)
    verified = bool(data.get("verified"))
    passkey = ""
    if verified:
        stub = User(id=UUID(data["user_id"]), name=name or data["contact"])
        passkey = site.provider.passkeys.creation_options(stub, data["contact"], [], browser)
    return page(
        request,
        "sign_up_account.html" if verified else "sign_up_code.html",
        status=status,
        here=f"{HERE}?{urlencode({'c': running.token})}",
        c=running.token,
        kind=data["kind"],
        contact=data["contact"],
        shown=masked(data["kind"], data["contact"]),
        minutes=whole_minutes(site.settings.one_time_code_lifetime),
        minimum=site.settings.password_min_length,
        name=name,
        problem=problem,
        field=field,
        sent_again=sent_again,
        values=values,
        passkey=passkey,
        csrf_token=csrf_token(request, f"sign-up {running.token}"),
        **_common(request, waiting, stored_onward(data)),
    )
