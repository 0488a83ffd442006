"""A person's own pages about what opens the account: password, passkeys, app, recovery codes, trusted browsers, and the
contacts and names to sign in with. Changing any of it needs a sign-in of a moment ago, and sends a notice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.contact_changes import contacts_told
from sso.accounts.notifications import notify, send_code
from sso.accounts.service import add_contact, change_password, remove_contact
from sso.http.account.profile import Visit, contacts_of, is_own_form, lock_visitor, own_page, visit
from sso.http.common import qr
from sso.http.common.cookies import browser_of, read_cookie
from sso.http.common.csrf import has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.i18n import N_
from sso.http.common.pages import failure, locale_of
from sso.http.common.responses import to_wait
from sso.http.common.state import address_of, request_id_of, site_of, source_of
from sso.http.sign_in.authorize import BUSY, STALE
from sso.http.sign_in.proving import first_codes, reserve
from sso.http.sign_in.sign_up import LANDLINE, NOT_A_CONTACT, NOT_SENT, TOO_MANY_CODES, WEAK, WRONG_CODE
from sso.identity.authn import factors, pending_flows
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.authn.passwords import Busy, WeakPassword, min_password_length
from sso.identity.authn.second_factor_policy import STRONG
from sso.identity.sessions import store as sessions
from sso.identity.sessions.devices import device_of
from sso.identity.users import store as users
from sso.identity.users.identifiers import (
    can_be_verified,
    may_be_chosen,
    normalise_as,
    normalise_contact,
    receives_codes,
)
from sso.identity.users.models import Credential, Identifier, User
from sso.identity.users.service import UserError, encrypt_nik
from sso.platform.audit import record
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.settings import whole_minutes
from sso.ssf import events as signals
from sso.ssf.events import CredentialChange

router = APIRouter()

SECURITY, CONTACTS = "/account/security", "/account/contacts"
CONTACT_SECONDS = 1800
MAX_CONTACTS = 10

DONE = {
    "password": N_("The password is changed. You were signed out everywhere else."),
    "passkey": N_("The passkey was added."),
    "totp": N_("The authenticator app was added."),
    "removed": N_("It was removed."),
    "trusted": N_("No browser is trusted any more."),
    "added": N_("It was added."),
    "primary": N_("It comes first now."),
    "username": N_("The user name is changed."),
    "nik": N_("The NIK was noted. At a city counter it can be checked."),
    "nik_place": N_("The NIK was noted. We do not know the place code in it: check the first six digits."),
}
WRONG_PASSWORD = N_("Your present password is not right.")
WRONG_APP_CODE = N_("This code is not right. Check the clock of your telephone, and type the newest code.")
PASSKEY_FAILED = N_("The passkey could not be added. Try again.")
NEEDS_LONGER = N_("Choose a longer password first: without a second step it needs %(minimum)d characters.")
LAST_WAY = N_("This is your only way to sign in. Add another one first.")
LAST_CONTACT = N_("This is the only way to reach you. Add another one first.")
TAKEN = N_("This cannot be used. Choose another.")
NOT_A_NAME = N_("A user name has 3 to 64 small letters, digits, dots or hyphens, and at least one letter.")
NOT_A_NIK = N_("This is not a NIK: it has 16 digits, and holds a place and a date of birth. Check it.")
NIK_FIXED = N_("Your NIK was checked at a counter. Only a counter can change it.")
MANY = N_("That is too many. Remove one first.")
WAIT = N_("There were too many wrong attempts. Please try again in %(minutes)d minutes.")


@router.get(SECURITY)
async def security_page(request: Request) -> Response:
    """What opens the account."""
    here = await visit(request, "security")
    return here if isinstance(here, Response) else await _security(request, here)


@router.post(SECURITY)
async def change_security(request: Request) -> Response:
    """Change what opens the account."""
    here, fields = await visit(request, "security", recent=True), await form_fields(request)
    if isinstance(here, Response):
        return here
    if not is_own_form(request, fields, "security"):
        return await _security(request, here, STALE, 400)
    choice, _, which = fields.get("choice", "").partition(" ")
    if choice == "password":
        return await _change_password(request, here, fields)
    if choice == "passkey":
        return await _add_passkey(request, here, fields)
    if choice == "remove":
        return await _remove(request, here, which)
    if choice == "codes":
        return await _make_codes(request, here)
    if choice == "distrust":
        async with site_of(request).provider.db.write() as session:
            await lock_visitor(request, session, here, "security")
            await sessions.distrust(session, here.user.id)
        return _done(SECURITY, "trusted")
    return await _security(request, here)


@router.get(SECURITY + "/app")
async def app_page(request: Request) -> Response:
    """Set up an authenticator app."""
    here = await visit(request, "security", recent=True)
    if isinstance(here, Response):
        return here
    provider = site_of(request).provider
    async with provider.db.write() as session:
        data = {"seed": factors.new_totp_seed()}
        running = await pending_flows.begin(
            session, provider.box, "contact", browser_of(request), data, user_id=here.user.id, seconds=CONTACT_SECONDS
        )
    return _app_page(request, here, running.token, data["seed"])


@router.post(SECURITY + "/app")
async def add_app(request: Request) -> Response:
    """Check the first code of an authenticator app, and keep it."""
    here, fields = await visit(request, "security", recent=True), await form_fields(request)
    if isinstance(here, Response):
        return here
    provider, browser = site_of(request).provider, read_cookie(request, "browser")
    async with provider.db.read() as session:
        running = await pending_flows.recall(session, provider.box, "contact", fields.get("c", ""), browser)
    if running is None or running.user_id != here.user.id or "seed" not in running.data:
        return failure(request, "stale_form", 400)
    if not is_own_form(request, fields, "security"):
        return _app_page(request, here, running.token, running.data["seed"], STALE, 400)
    async with provider.db.write() as session:
        if not await pending_flows.count_attempt(session, running, 10):
            return failure(request, "stale_form", 400)
    try:
        attempt = await reserve(request, Purpose.NEW_TOTP, here.user.id)
    except TooManyFailures as error:
        made = _app_page(request, here, running.token, running.data["seed"], WAIT, 429, minutes=error.minutes)
        return to_wait(made, error.retry_after)
    step = factors.totp_step(running.data["seed"], fields.get("code", "")[:20])
    if step is None:
        return _app_page(request, here, running.token, running.data["seed"], WRONG_APP_CODE, 400)
    await attempt.succeeded()
    async with provider.db.write() as session:
        await lock_visitor(request, session, here, "security")
        if not await pending_flows.finish(session, running):
            return failure(request, "stale_form", 400)
        known = await users.credentials_of(session, here.user.id)
        await factors.add_totp(session, provider.box, here.user.id, running.data["seed"], step)
        codes, changes = await first_codes(session, known, here.user)
        changes = [signals.replaced(known, "totp"), *changes]
        await _changed(request, session, here.user, "factor.added", "factor_added", "totp", changes)
    site_of(request).worker.nudge()
    return await _codes_page(request, here, codes) if codes else _done(SECURITY, "totp")


def _app_page(
    request: Request, here: Visit, token: str, seed: str, problem: str = "", status: int = 200, **values: int
) -> Response:
    uri = factors.totp_uri(site_of(request).settings, seed, here.user.name)
    return own_page(
        request,
        here,
        "security",
        "account_app.html",
        status,
        c=token,
        seed=" ".join(seed[at : at + 4] for at in range(0, len(seed), 4)),
        uri=uri,
        qr=qr.as_image(uri),
        problem=problem,
        values=values,
    )


async def _security(
    request: Request, here: Visit, problem: str = "", status: int = 200, *, field: str = "", **values: int
) -> Response:
    site, now = site_of(request), clock.now()
    async with site.provider.db.read() as session:
        known = await users.credentials_of(session, here.user.id)
        trusted = await sessions.trusted_devices(session, here.user.id, now)
    passkeys, browser = [one for one in known if one.kind == "passkey"], browser_of(request)
    kinds = {one.kind for one in known}
    return own_page(
        request,
        here,
        "security",
        "account_security.html",
        status,
        kinds=kinds,
        passkeys=passkeys,
        app=next((one for one in known if one.kind == "totp"), None),
        codes=sum(one.kind == "recovery_code" for one in known),
        trusted=[(one, device_of(one.user_agent or "").text) for one in trusted],
        minimum=min_password_length(site.settings, second_factor=bool(kinds & STRONG)),
        passkey=site.provider.passkeys.creation_options(here.user, here.user.name, passkeys, browser),
        default_name=device_of(request.headers.get("user-agent", "")).text,
        problem=problem,
        field=field,
        values=values,
        done=DONE.get(request.query_params.get("done", ""), ""),
    )


async def _change_password(request: Request, here: Visit, fields: dict[str, str]) -> Response:
    site, provider = site_of(request), site_of(request).provider
    async with provider.db.read() as session:
        known = await users.credentials_of(session, here.user.id)
        names = [one.value for one in await users.identifiers_of(session, here.user.id)]
    present = next((one for one in known if one.kind == "password"), None)
    new, source = fields.get("new_password", ""), source_of(request)
    if new and fields.get("repeated", new) != new:
        return await _security(request, here, N_("The two passwords are not the same."), 400, field="new_password")
    try:
        if present is not None:
            attempt = await reserve(request, Purpose.PRESENT_PASSWORD, here.user.id)
            try:
                right, _ = await site.passwords.verify(fields.get("password", ""), present.secret, source=source)
            except Busy:
                await attempt.give_back()
                raise
            if not right:
                return await _security(request, here, WRONG_PASSWORD, 400, field="password")
            await attempt.succeeded()
        second = any(one.kind in STRONG for one in known)
        await site.passwords.judge(new, [here.user.name, *names], second_factor=second, source=source)
        hashed = await site.passwords.hash(new, source=source)
    except WeakPassword as error:
        return await _security(request, here, WEAK[error.code], 400, field="new_password", minimum=error.minimum)
    except TooManyFailures as error:
        return to_wait(await _security(request, here, WAIT, 429, minutes=error.minutes), error.retry_after)
    except Busy as error:
        return to_wait(await _security(request, here, BUSY, 503), error.retry_after)
    long = len(new) >= site.settings.password_min_length
    async with provider.db.write() as session:
        user = await lock_visitor(request, session, here, "security")
        await change_password(session, provider, user, hashed, actor=str(user.id), long=long, keep=here.who.session.id)
    site.worker.nudge()
    return _done(SECURITY, "password")


async def _add_passkey(request: Request, here: Visit, fields: dict[str, str]) -> Response:
    provider = site_of(request).provider
    name = "".join(char for char in fields.get("name", "") if char.isprintable()).strip()
    name = name[: factors.MAX_NAME_CHARS] or device_of(request.headers.get("user-agent", "")).text or "Passkey"
    try:
        async with provider.db.write() as session:
            answer = fields.get("credential", "")[:20_000]
            made = await provider.passkeys.add(session, here.user.id, browser_of(request), answer, name)
            await lock_visitor(request, session, here, "security")  # after the challenge, by the order of locks
            codes, changes = await first_codes(session, await users.credentials_of(session, here.user.id), here.user)
            changes = [*signals.factor_changes([made], "create"), *changes]
            await _changed(request, session, here.user, "factor.added", "factor_added", "passkey", changes, name)
    except PasskeyRefused:
        return await _security(request, here, PASSKEY_FAILED, 400)
    site_of(request).worker.nudge()
    return await _codes_page(request, here, codes) if codes else _done(SECURITY, "passkey")


async def _remove(request: Request, here: Visit, which: str) -> Response:
    """Remove a passkey, the app, or the password; not the last way to sign in, nor the second step of a short
    password."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        await lock_visitor(request, session, here, "security")
        known = await users.credentials_of(session, here.user.id)
        chosen = next((one for one in known if str(one.id) == which and one.kind != "recovery_code"), None)
        if chosen is None:
            return _done(SECURITY, "removed")
        left = [one for one in known if one.id != chosen.id]
        problem = _may_not_go(left)
        if not problem:
            await users.remove_credentials(session, here.user.id, [chosen.kind], chosen.id)
            gone = [chosen]
            if not {one.kind for one in left} & STRONG:
                await users.remove_credentials(session, here.user.id, ["recovery_code"])
                gone += [one for one in left if one.kind == "recovery_code"]
            changes, name = signals.credential_changes(gone, "delete"), chosen.name or ""
            await _changed(request, session, here.user, "factor.removed", "factor_removed", chosen.kind, changes, name)
    if problem:
        minimum = site_of(request).settings.password_min_length
        return await _security(request, here, problem, 409, minimum=minimum)
    site_of(request).worker.nudge()
    return _done(SECURITY, "removed")


def _may_not_go(left: Sequence[Credential]) -> str:
    """Return why what is left would not be enough, or nothing."""
    if not any(one.kind in ("password", "passkey") for one in left):
        return LAST_WAY
    short = any(one.kind == "password" and one.data.get("long") is False for one in left)
    return NEEDS_LONGER if short and not any(one.kind in STRONG for one in left) else ""


async def _make_codes(request: Request, here: Visit) -> Response:
    async with site_of(request).provider.db.write() as session:
        await lock_visitor(request, session, here, "security")
        changes = [signals.replaced(await users.credentials_of(session, here.user.id), "recovery_code")]
        codes = await factors.new_recovery_codes(session, here.user.id)
        event = "factor.recovery_codes_made"
        await _changed(request, session, here.user, event, "factor_added", "recovery_code", changes)
    site_of(request).worker.nudge()
    return await _codes_page(request, here, codes)


async def _codes_page(request: Request, here: Visit, codes: list[str]) -> Response:
    return own_page(request, here, "security", "account_codes.html", codes=codes)


WHAT = {"totp": "TOTP", "passkey": "passkey", "recovery_code": "recovery codes", "password": "password"}


async def _changed(
    request: Request,
    session: AsyncSession,
    user: User,
    event: str,
    notice: str,
    kind: str,
    changes: Sequence[CredentialChange],
    name: str = "",
) -> None:
    """Record a change of what opens the account, and tell the person and the applications."""
    who, data = str(user.id), {"kind": kind, **({"name": name} if name else {})}
    record(session, event, actor=who, subject=who, request_id=request_id_of(request), data=data)
    what = f"{WHAT[kind]} ({name})" if name else WHAT[kind]
    notify(session, site_of(request).provider, user, notice, what=what)
    await signals.credentials_changed(session, site_of(request).provider, user.id, changes, "user")


def _done(address: str, what: str) -> Response:
    return RedirectResponse(f"{address}?{urlencode({'done': what})}", 303, {"Cache-Control": "no-store"})


@router.post("/password-strength")
async def password_strength(request: Request) -> Response:
    """How strong a password is, while it is typed: asked for by a script of ours. Nothing of it is kept or logged."""
    fields, site = await form_fields(request), site_of(request)
    if not has_valid_csrf_token(request, fields, "strength"):
        return Response(status_code=403)
    try:
        await site.strengths.take(address_of(request))
    except TooManyFailures as error:
        return to_wait(Response(status_code=429), error.retry_after)
    second = fields.get("second") == "1"
    typed, name = fields.get("password", "")[:256], fields.get("name", "")[:200]
    try:
        found = await site.passwords.strength(typed, [name], second_factor=second, source=source_of(request))
    except Busy as error:
        return to_wait(Response(status_code=503), error.retry_after)
    return Response(
        orjson.dumps({"score": found.score, "missing": found.missing}),
        headers={"Cache-Control": "no-store"},
        media_type="application/json",
    )


# Contacts and names


@router.get(CONTACTS)
async def contacts_page(request: Request) -> Response:
    """What the person signs in with."""
    here = await visit(request, "contacts")
    return here if isinstance(here, Response) else await _contacts(request, here)


@router.post(CONTACTS)
async def change_contacts(request: Request) -> Response:
    """Add, prove, put first or remove what the person signs in with."""
    here, fields = await visit(request, "contacts", recent=True), await form_fields(request)
    if isinstance(here, Response):
        return here
    if not is_own_form(request, fields, "contacts"):
        return await _contacts(request, here, STALE, 400)
    choice, _, which = fields.get("choice", "").partition(" ")
    if choice == "add":
        return await _begin_contact(request, here, fields.get("contact", ""))
    if choice == "prove":
        return await _begin_contact(request, here, which)
    if choice in ("primary", "remove"):
        return await _change_contact(request, here, choice, which)
    if choice == "username":
        return await _set_username(request, here, fields.get("username", ""))
    if choice == "nik":
        return await _set_nik(request, here, fields.get("nik", ""))
    return await _contacts(request, here)


async def _begin_contact(request: Request, here: Visit, typed: str) -> Response:
    """Send a code to a new contact. Whether somebody else has it is not told: then the code never comes."""
    site, provider = site_of(request), site_of(request).provider
    try:
        wanted = normalise_contact(typed)
    except ValueError:
        return await _contacts(request, here, NOT_A_CONTACT, 400, field="contact", typed=typed)
    if not wanted.provable or not site.settings.can_send(wanted.kind):
        return await _contacts(request, here, NOT_A_CONTACT, 400, field="contact", typed=typed)
    if not receives_codes(wanted.kind, wanted.value):
        return await _contacts(request, here, LANDLINE, 400, field="contact", typed=typed)
    async with provider.db.read() as session:
        known = await users.identifiers_of(session, here.user.id)
    if len(known) >= MAX_CONTACTS:
        return await _contacts(request, here, MANY, 409)
    data, allowed = {"kind": wanted.kind, "value": wanted.value}, None
    with suppress(TooManyFailures):
        allowed = await _may_send(request, here, data)
    async with provider.db.write() as session:
        running = await pending_flows.begin(
            session, provider.box, "contact", browser_of(request), data, user_id=here.user.id, seconds=CONTACT_SECONDS
        )
        if allowed is not None:
            await _send_contact_code(request, session, running, allowed)
    site.worker.nudge()
    return RedirectResponse(f"{CONTACTS}/code?{urlencode({'c': running.token})}", 303, {"Cache-Control": "no-store"})


async def _may_send(request: Request, here: Visit, data: dict[str, str]) -> bool:
    """Count a code that somebody who is signed in asks for; tell whether it may be sent.

    Raises:
        TooManyFailures: when there were too many.
    """
    who, site, contact = str(here.user.id), site_of(request), data["value"]
    await site.contact_codes.take(who)
    return await site.codes.allow("contact", contact, contact, data["kind"], address_of(request), who)


async def _send_contact_code(
    request: Request, session: AsyncSession, running: pending_flows.RunningFlow, allowed: bool
) -> bool:
    site, data = site_of(request), running.data
    owner = await users.verified_owner(session, data["value"])
    real = allowed and (owner is None or owner == running.user_id)
    locale = locale_of(request)
    return await send_code(
        session, site.provider, running, data["kind"], data["value"], "code_contact", locale, really=real
    )


@router.get(CONTACTS + "/code")
async def contact_code_page(request: Request) -> Response:
    """Where the code for a new contact is typed."""
    found = await _contact_running(request, request.query_params.get("c", ""))
    return found if isinstance(found, Response) else _code_page(request, *found)


@router.post(CONTACTS + "/code")
async def contact_code(request: Request) -> Response:
    """Check the code, and keep the contact."""
    fields = await form_fields(request)
    found = await _contact_running(request, fields.get("c", ""))
    if isinstance(found, Response):
        return found
    here, running = found
    site, provider = site_of(request), site_of(request).provider
    if not is_own_form(request, fields, "contacts"):
        return _code_page(request, here, running, STALE, 400)
    if fields.get("choice") == "resend":
        return await _resend_contact_code(request, here, running)
    async with provider.db.write() as session:
        if not await pending_flows.count_attempt(session, running):
            return to_wait(_code_page(request, here, running, TOO_MANY_CODES, 429), pending_flows.RESEND_SECONDS)
    try:
        attempt = await reserve(request, Purpose.CONTACT_CODE, here.user.id)
    except TooManyFailures as error:
        return to_wait(_code_page(request, here, running, WAIT, 429, minutes=error.minutes), error.retry_after)
    valid = site.settings.one_time_code_lifetime
    if not pending_flows.is_code(provider.box, running, fields.get("code", ""), valid):
        return _code_page(request, here, running, WRONG_CODE, 400)
    await attempt.succeeded()
    try:
        async with provider.db.write() as session:
            user = await lock_visitor(request, session, here, "contacts")
            if not await pending_flows.finish(session, running):
                return failure(request, "stale_form", 400)
            kind, value = running.data["kind"], running.data["value"]
            added = await add_contact(session, provider, user, kind, value, request_id=request_id_of(request))
    except IntegrityError:
        added = False
    site.worker.nudge()
    return _done(CONTACTS, "added") if added else await _contacts(request, here, TAKEN, 409)


async def _resend_contact_code(request: Request, here: Visit, running: pending_flows.RunningFlow) -> Response:
    site = site_of(request)
    try:
        allowed = await _may_send(request, here, running.data)
    except TooManyFailures as error:
        return to_wait(_code_page(request, here, running, NOT_SENT, 429), error.retry_after)
    async with site.provider.db.write() as session:
        sent = await _send_contact_code(request, session, running, allowed)
    site.worker.nudge()
    if not sent:
        return to_wait(_code_page(request, here, running, NOT_SENT, 429), pending_flows.RESEND_SECONDS)
    return _code_page(request, here, running, sent_again=True)


async def _contact_running(request: Request, token: str) -> tuple[Visit, pending_flows.RunningFlow] | Response:
    here = await visit(request, "contacts")
    if isinstance(here, Response):
        return here
    provider, browser = site_of(request).provider, read_cookie(request, "browser")
    async with provider.db.read() as session:
        running = await pending_flows.recall(session, provider.box, "contact", token, browser)
    if running is None or running.user_id != here.user.id or "value" not in running.data:
        return failure(request, "stale_form", 400)
    return here, running


def _code_page(
    request: Request,
    here: Visit,
    running: pending_flows.RunningFlow,
    problem: str = "",
    status: int = 200,
    *,
    sent_again: bool = False,
    **values: int,
) -> Response:
    data, minutes = running.data, whole_minutes(site_of(request).settings.one_time_code_lifetime)
    return own_page(
        request,
        here,
        "contacts",
        "account_contact_code.html",
        status,
        c=running.token,
        shown=data["value"],
        minutes=minutes,
        problem=problem,
        values=values,
        sent_again=sent_again,
    )


async def _change_contact(request: Request, here: Visit, choice: str, which: str) -> Response:
    provider = site_of(request).provider
    try:
        async with provider.db.write() as session:
            user = await lock_visitor(request, session, here, "contacts")
            known = await users.identifiers_of(session, user.id)
            chosen = next((one for one in known if str(one.id) == which), None)
            if chosen is None or (chosen.kind == "username" and chosen.is_primary):
                return _done(CONTACTS, "removed")
            if chosen.kind == "nik" and chosen.verified_at is not None:
                return await _contacts(request, here, NIK_FIXED, 409)
            if choice == "remove":
                await remove_contact(session, provider, user, chosen, request_id=request_id_of(request))
            elif chosen.verified_at is not None:
                async with contacts_told(session, provider, user):
                    for one in known:
                        if one.kind == chosen.kind:
                            one.is_primary = one.id == chosen.id
                user.updated_at = clock.now()
    except UserError:
        return await _contacts(request, here, LAST_CONTACT, 409)
    site_of(request).worker.nudge()
    return _done(CONTACTS, "removed" if choice == "remove" else "primary")


async def _set_username(request: Request, here: Visit, typed: str) -> Response:
    provider = site_of(request).provider
    try:
        wanted = normalise_as("username", typed)
    except ValueError:
        return await _contacts(request, here, NOT_A_NAME, 400, field="username", typed=typed)
    try:
        async with provider.db.write() as session:
            user = await lock_visitor(request, session, here, "contacts")
            names = [one for one in await users.identifiers_of(session, user.id) if one.kind == "username"]
            if not may_be_chosen(wanted.value) and wanted.value not in [one.value for one in names]:
                return await _contacts(request, here, NOT_A_NAME, 400, field="username", typed=typed)
            owner = await users.verified_owner(session, wanted.value)
            if owner is not None and owner != here.user.id:
                return await _contacts(request, here, TAKEN, 409, field="username", typed=typed)
            now = clock.now()
            async with contacts_told(session, provider, user):
                _name_first(session, user, names, wanted.value)
            await users.mark_changed(session, here.user.id, now)
            who = str(here.user.id)
            about = {"changed": ["username"]}
            record(session, "user.changed", actor=who, subject=who, request_id=request_id_of(request), data=about)
    except IntegrityError:
        return await _contacts(request, here, TAKEN, 409, field="username", typed=typed)
    return _done(CONTACTS, "username")


def _can_be_proven(one: Identifier) -> bool:
    return receives_codes(one.kind, one.value) and can_be_verified(one.kind, one.value)


def _name_first(session: AsyncSession, user: User, names: list[Identifier], wanted: str) -> None:
    """Let a user name be the main one: one that the person has already, from a merge, or else in place of the present
    main one."""
    present = next((one for one in names if one.is_primary), names[0] if names else None)
    mine = next((one for one in names if one.value == wanted), present)
    if mine is None:
        mine = Identifier(user_id=user.id, kind="username", is_primary=True, created_at=clock.now())
        session.add(mine)
    for one in names:
        one.is_primary = one is mine
    mine.value = mine.lookup = wanted
    mine.verified_at = mine.verified_at or clock.now()


async def _set_nik(request: Request, here: Visit, typed: str) -> Response:
    """Note a NIK as the person says it; it opens nothing until it is checked at a counter."""
    provider = site_of(request).provider
    try:
        nik = normalise_as("nik", typed)
    except ValueError:
        return await _contacts(request, here, NOT_A_NIK, 400, field="nik")
    async with provider.db.write() as session:
        user = await lock_visitor(request, session, here, "contacts")
        known = [one for one in await users.identifiers_of(session, user.id) if one.kind == "nik"]
        if any(one.verified_at is not None for one in known):
            return await _contacts(request, here, NIK_FIXED, 409)
        async with contacts_told(session, provider, user):
            for one in known:
                await session.delete(one)
            await session.flush()
            made = Identifier(user_id=user.id, kind="nik", is_primary=True, created_at=clock.now())
            encrypt_nik(made, nik.value, provider.nik_key, provider.box)
            session.add(made)
        who = str(here.user.id)
        about = {"changed": ["nik"]}
        record(session, "user.changed", actor=who, subject=who, request_id=request_id_of(request), data=about)
    return _done(CONTACTS, "nik_place" if nik.warnings else "nik")


async def _contacts(
    request: Request, here: Visit, problem: str = "", status: int = 200, *, field: str = "", typed: str = ""
) -> Response:
    settings = site_of(request).settings
    async with site_of(request).provider.db.read() as session:
        known = await contacts_of(session, here.user.id)
    kinds = [kind for kind in ("email", "phone") if settings.can_send(kind)]
    return own_page(
        request,
        here,
        "contacts",
        "account_contacts.html",
        status,
        contacts=[one for one in known if one.kind in ("email", "phone")],
        username=next((one.value for one in known if one.kind == "username" and one.is_primary), ""),
        other_names=[one for one in known if one.kind == "username" and not one.is_primary],
        can_prove={one.id for one in known if one.kind in kinds and _can_be_proven(one)},
        nik=next((one for one in known if one.kind == "nik"), None),
        kinds=kinds,
        problem=problem,
        field=field,
        typed=typed[:254],
        done=DONE.get(request.query_params.get("done", ""), ""),
    )
