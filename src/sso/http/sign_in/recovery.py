"""Getting back into an account: by a code to a contact of the person, and a second proof where one is set up; with one
proof only after a delay in which the owner is told and can stop it. Nobody learns here who has an account.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.accounts.contact_changes import tell_everywhere
from sso.accounts.notifications import link_token, not_me_session, notify, send_code
from sso.accounts.power import still_recovers
from sso.accounts.service import not_me, recover
from sso.http.common.cookies import browser_of, read_cookie, with_browser
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.i18n import N_
from sso.http.common.onward import Onward, find_onward, page_end, read_onward, sign_in_address, stored_onward
from sso.http.common.pages import failure, locale_of, page
from sso.http.common.responses import to_wait
from sso.http.common.state import address_of, kept_address_of, request_id_of, site_of, source_of
from sso.http.common.way_back import way_back
from sso.http.sign_in.authorize import BUSY, STALE
from sso.http.sign_in.proving import known_device, reserve
from sso.http.sign_in.sign_up import NOT_SENT, TOO_MANY, TOO_MANY_CODES, TOO_MANY_TRIES, WEAK, WRONG_CODE
from sso.identity.authn import factors, pending_flows
from sso.identity.authn import recovery_requests as recovery
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.authn.models import Recovery
from sso.identity.authn.passwords import Busy, WeakPassword
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.authn.second_factor_policy import STRONG
from sso.identity.test_users import MARK
from sso.identity.users import store as users
from sso.identity.users.identifiers import counted_as, masked, meanings, receives_codes
from sso.identity.users.models import Credential, Identifier, User
from sso.oidc.provider import Provider
from sso.platform.audit import record
from sso.platform.security.rate_limits import Purpose, Reservation, TooManyFailures
from sso.settings import whole_hours, whole_minutes

router = APIRouter()

HERE = "/recover"
SECONDS = 3600
MAX_ATTEMPTS = 5

NOTHING_TYPED = N_("Type your e-mail, telephone number, user name or NIK.")
WRONG_PROOF = N_("That is not right. Check it and try again.")


@router.get(HERE)
async def recover_page(request: Request) -> Response:
    """Where a recovery begins, or wherever it is."""
    token = request.query_params.get("c", "")
    if not token:
        query = dict(request.query_params)
        return await _begin_page(request, query)
    running = await _recall(request, token)
    return await _page(request, running) if running else failure(request, "expired_interaction", 400)


@router.post(HERE)
async def recover_form(request: Request) -> Response:
    """One page of a recovery."""
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    if not read_cookie(request, "browser"):
        return failure(request, "no_cookies", 400)
    if not fields.get("c"):
        return await _begin(request, fields)
    running = await _recall(request, fields["c"])
    if running is None:
        return failure(request, "expired_interaction", 400)
    if not has_valid_csrf_token(request, fields, f"recover {running.token}"):
        return await _page(request, running, STALE, 400)
    if running.data["stage"] == "code":
        return await _check_code(request, running, fields)
    if running.data["stage"] == "second":
        return await _check_second(request, running, fields)
    return await _set_password(request, running, fields)


@router.get(HERE + "/stop")
async def stop_page(request: Request) -> Response:
    """Ask whether a recovery that waits is to be stopped. Opening a link changes nothing: mail scanners open them
    too."""
    token = request.query_params.get("t", "")[:100]
    return page(request, "recover_stop.html", t=token, done=False, csrf_token=csrf_token(request, "recover-stop"))


@router.post(HERE + "/stop")
async def stop(request: Request) -> Response:
    """Stop a recovery that waits."""
    fields, provider = await form_fields(request), site_of(request).provider
    if not has_valid_csrf_token(request, fields, "recover-stop"):
        return RedirectResponse(f"{HERE}/stop?{urlencode({'t': fields.get('t', '')[:100]})}", 303)
    attempt = await site_of(request).limits.reserve(Purpose.LINK, "", address_of(request))
    async with provider.db.write() as session:
        found = await recovery.find(session, "delayed", fields.get("t", "")[:100])
        known = found is not None and await recovery.take(session, found)
        if found is not None and known:
            user = await session.get(User, found.user_id)
            assert user is not None
            notify(session, provider, user, "recovery_stopped")
            who, address = str(user.id), kept_address_of(request)
            record(session, "recovery.stopped", subject=who, address=address, request_id=request_id_of(request))
    if known:
        await attempt.succeeded()
    site_of(request).worker.nudge()
    return page(request, "recover_stop.html", t="", done=True, csrf_token="")


@router.get(HERE + "/continue")
async def continue_page(request: Request) -> Response:
    """Go on with a recovery whose delay is over."""
    token = request.query_params.get("t", "")[:100]
    return page(request, "recover_continue.html", t=token, csrf_token=csrf_token(request, "recover-continue"))


@router.post(HERE + "/continue")
async def continue_form(request: Request) -> Response:
    """Go on: the link is used up, and a new password is chosen."""
    fields, provider = await form_fields(request), site_of(request).provider
    if not has_valid_csrf_token(request, fields, "recover-continue"):
        return RedirectResponse(f"{HERE}/continue?{urlencode({'t': fields.get('t', '')[:100]})}", 303)
    attempt = await site_of(request).limits.reserve(Purpose.LINK, "", address_of(request))
    async with provider.db.write() as session:
        found = await recovery.find(session, "ready", fields.get("t", "")[:100])
        if found is None or not await recovery.take(session, found):
            return failure(request, "expired_interaction", 400)
        onward = Onward(client_id=found.client_id or "")
        data = {"stage": "password", "drop": True, "name": "", "locale": locale_of(request), **onward.stored}
        running = await pending_flows.begin(
            session,
            provider.box,
            "recover",
            browser_of(request),
            data,
            user_id=found.user_id,
            seconds=SECONDS,
            end=page_end(provider, onward),
        )
    await attempt.succeeded()
    return _to(request, running)


@router.get("/not-me")
async def not_me_page(request: Request) -> Response:
    """Ask whether a sign-in was not the person's."""
    token = request.query_params.get("t", "")[:120]
    return page(request, "not_me.html", t=token, done=False, csrf_token=csrf_token(request, "not-me"))


@router.post("/not-me")
async def not_me_form(request: Request) -> Response:
    """End the session, and let nothing be changed for a while."""
    fields, provider = await form_fields(request), site_of(request).provider
    if not has_valid_csrf_token(request, fields, "not-me"):
        return RedirectResponse(f"/not-me?{urlencode({'t': fields.get('t', '')[:120]})}", 303)
    attempt = await site_of(request).limits.reserve(Purpose.LINK, "", address_of(request))
    session_id, user = not_me_session(provider, fields.get("t", "")[:120]), None
    if session_id is not None:
        async with provider.db.write() as session:
            about = {"address": kept_address_of(request), "request_id": request_id_of(request)}
            user = await not_me(session, provider, session_id, **about)
    if user is None:
        return failure(request, "expired_interaction", 400)
    await attempt.succeeded()
    site_of(request).worker.nudge()
    return page(request, "not_me.html", t="", done=True, until=user.locked_until, csrf_token="")


async def _begin(request: Request, fields: dict[str, str]) -> Response:
    site = site_of(request)
    provider = site.provider
    if not has_valid_csrf_token(request, fields, "recover"):
        return await _begin_page(request, fields, STALE, 400)
    typed = fields.get("username", "").strip()
    if not typed:
        return await _begin_page(request, fields, NOTHING_TYPED, 400)
    try:
        await site.sign_ups.take(address_of(request))
    except TooManyFailures as error:
        made = await _begin_page(request, fields, TOO_MANY, 429, minutes=error.minutes)
        return to_wait(made, error.retry_after)
    onward, _, _ = await find_onward(request, read_onward(fields))
    async with provider.db.read() as session:
        user, contact = await _find(request, session, typed)
    data = {
        "stage": "code",
        "typed": typed[:254],
        "drop": False,
        "kind": contact.kind if contact else "",
        "to": contact.value if contact else "",
        "contact_id": str(contact.id) if contact else "",
        "locale": locale_of(request),
        **onward.stored,
    }
    allowed = None
    with suppress(TooManyFailures):
        allowed = await _may_send(request, data, user.id if user is not None and contact is not None else None)
    async with provider.db.write() as session:
        running = await pending_flows.begin(
            session,
            provider.box,
            "recover",
            browser_of(request),
            data,
            user_id=user.id if user is not None and contact is not None else None,
            seconds=SECONDS,
            end=page_end(provider, onward),
        )
        if allowed is not None:
            await _send(request, session, running, allowed)
        record(
            session,
            "recovery.begun",
            subject=str(user.id) if user else None,
            outcome="success" if contact else "failure",
            address=kept_address_of(request),
            request_id=request_id_of(request),
        )
    site.worker.nudge()
    return _to(request, running)


async def _find(request: Request, session: AsyncSession, typed: str) -> tuple[User | None, Identifier | None]:
    """Return whose verified identifier was typed, and the contact to which the code goes: the one that was typed, or
    else the first. What nobody has verified finds nobody. A contact comes before a user name here: whoever holds the
    telephone receives the code, whatever user name somebody else was given."""
    provider = site_of(request).provider
    lookups = [one.lookup(provider.nik_key) for one in sorted(meanings(typed), key=lambda one: one.kind == "username")]
    found = await users.proven_owners(session, lookups)
    if not found:
        return None, None
    user, lookup = found[0][0], found[0][1].lookup
    if user.disabled_at is not None or user.preferences.get(MARK):
        return None, None
    known = await users.identifiers_of(session, user.id)
    able = [
        one
        for one in known
        if one.verified_at is not None and receives_codes(one.kind, one.value) and provider.settings.can_send(one.kind)
    ]
    if not able:
        return user, None
    return user, max(able, key=lambda one: (one.lookup == lookup, one.kind == "email", one.is_primary))


async def _may_send(request: Request, data: dict[str, Any], user_id: UUID | None) -> bool:
    """Count a code; tell whether it may be sent. What is counted visibly depends on what was typed, not on who has it.

    Raises:
        TooManyFailures: when there were too many.
    """
    own = await known_device(request, user_id)
    asked, address, codes = _asked(request, data["typed"]), address_of(request), site_of(request).codes
    own = f"{user_id} {own}" if own else ""
    return await codes.allow("recover", asked, data["to"], data["kind"], address, own)


def _asked(request: Request, typed: str) -> str:
    """Return what was typed in the form in which it is counted."""
    return counted_as(typed, site_of(request).provider.nik_key)


async def _send(request: Request, session: AsyncSession, running: RunningFlow, allowed: bool) -> bool:
    """Send the code; nothing to nobody. Both take as long."""
    site, data = site_of(request), running.data
    kind = data["kind"] or "email"
    real = allowed and running.user_id is not None
    return await send_code(
        session, site.provider, running, kind, data["to"], "code_recover", data["locale"], really=real
    )


async def _check_code(request: Request, running: RunningFlow, fields: dict[str, str]) -> Response:
    """Check the code that was sent, or that the helpdesk gave."""
    site, provider = site_of(request), site_of(request).provider
    if fields.get("choice") == "resend":
        try:
            allowed = await _may_send(request, running.data, running.user_id)
        except TooManyFailures as error:
            return to_wait(await _page(request, running, NOT_SENT, 429), error.retry_after)
        async with provider.db.write() as session:
            sent = await _send(request, session, running, allowed)
        site.worker.nudge()
        if not sent:
            return to_wait(await _page(request, running, NOT_SENT, 429), pending_flows.RESEND_SECONDS)
        return await _page(request, running, sent_again=True)
    async with provider.db.write() as session:
        if not await pending_flows.count_attempt(session, running):
            return to_wait(await _page(request, running, TOO_MANY_CODES, 429), pending_flows.RESEND_SECONDS)
    asked = _asked(request, running.data["typed"])
    try:
        attempt = await site.limits.reserve(Purpose.RECOVERY_MESSAGE, asked, address_of(request))
    except TooManyFailures as error:
        made = await _page(request, running, TOO_MANY_TRIES, 429, minutes=error.minutes)
        return to_wait(made, error.retry_after)
    typed = fields.get("code", "").strip()[:40]
    if len(typed.replace("-", "").replace(" ", "")) == recovery.CODE_CHARS:
        return await _helpdesk_code(request, running, typed, attempt)
    valid = site.settings.one_time_code_lifetime
    if not pending_flows.is_code(provider.box, running, typed, valid) or running.user_id is None:
        return await _page(request, running, WRONG_CODE, 400)
    await attempt.succeeded()
    async with provider.db.write() as session:
        if not await _is_still_theirs(session, running):
            return await _page(request, running, WRONG_CODE, 400)
        await _after_contact(session, running, by_helpdesk=False)
        if running.data["stage"] == "password" and await _is_held(session, provider, running):
            user = await session.get(User, running.user_id)
            assert user is not None
            return await _wait(request, session, running, user)
        await pending_flows.keep(session, provider.box, running, anew=True)
    return _to(request, running)


async def _is_still_theirs(session: AsyncSession, running: RunningFlow) -> bool:
    """Tell whether the contact that the code was sent to is still a verified contact of the person: what was removed
    or changed since opens nothing."""
    if not running.data.get("contact_id"):
        return False
    one = await session.get(Identifier, UUID(running.data["contact_id"]))
    said = (running.user_id, running.data["kind"], running.data["to"])
    return one is not None and one.verified_at is not None and (one.user_id, one.kind, one.value) == said


async def _is_held(session: AsyncSession, provider: Provider, running: RunningFlow) -> bool:
    """Tell whether the contact that was proven is one that somebody else added to the account, or marked as verified,
    within the delay of recoveries. Only a second factor of the person's own goes with it without waiting."""
    assert running.user_id is not None
    since = clock.now() - provider.settings.recovery_delay
    known = await users.identifiers_of(session, running.user_id)
    mine = [one for one in known if (one.kind, one.value) == (running.data["kind"], running.data["to"])]
    return not mine or any(one.asserted_at is not None and one.asserted_at > since for one in mine)


async def _after_contact(session: AsyncSession, running: RunningFlow, *, by_helpdesk: bool) -> None:
    """Decide what is still needed: a second proof where one is set up and the helpdesk has not vouched."""
    assert running.user_id is not None
    known = {one.kind for one in await users.credentials_of(session, running.user_id)}
    running.data["contact_proven"] = True
    running.data["stage"] = "second" if known & STRONG and not by_helpdesk else "password"
    running.data["drop"] = by_helpdesk


async def _helpdesk_code(request: Request, running: RunningFlow, typed: str, attempt: Reservation) -> Response:
    """The helpdesk's code stands for the proof that was lost. With a contact it is enough; alone it waits, so that the
    helpdesk by itself can take no account over."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        await pending_flows.lock(session, running)
        user, _ = await _find(request, session, running.data["typed"])
        found = await _code_of_helpdesk(session, provider, typed, user.id if user else UUID(int=0))
        another = user is not None and running.user_id not in (None, user.id)  # the name is somebody else's now
        if user is None or found is None or another or not await recovery.take(session, found):
            return await _page(request, running, WRONG_CODE, 400)
        running.data["helpdesk"] = True
        if running.data.get("contact_proven") and not await _is_held(session, provider, running):
            await _after_contact(session, running, by_helpdesk=True)
            await pending_flows.keep(session, provider.box, running)
            made = _to(request, running)
        else:
            made = await _wait(request, session, running, user)
    await attempt.succeeded()
    return made


async def _code_of_helpdesk(session: AsyncSession, provider: Provider, typed: str, user_id: UUID) -> Recovery | None:
    """Return the helpdesk's code that was typed, where whoever made it may still make one for this account."""
    found = await recovery.find(session, "helpdesk", typed.replace(" ", ""), user_id)
    holds = found is not None and await still_recovers(session, provider, found.created_by, user_id)
    return found if holds else None


async def _check_second(request: Request, running: RunningFlow, fields: dict[str, str]) -> Response:
    """Check the second proof; without it the recovery waits."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        if not await pending_flows.count_attempt(session, running, MAX_ATTEMPTS):
            return failure(request, "expired_interaction", 400)
    attempt = None
    if fields.get("choice") != "lost":
        assert running.user_id is not None
        purpose = Purpose.STEP_PASSKEY if fields.get("credential") else Purpose.TOTP
        try:
            attempt = await reserve(request, purpose, running.user_id)
        except TooManyFailures as error:
            made = await _page(request, running, TOO_MANY_TRIES, 429, minutes=error.minutes)
            return to_wait(made, error.retry_after)
    if attempt is not None and not await _is_passkey(request, running, fields):
        return await _page(request, running, WRONG_PROOF, 400)
    async with provider.db.write() as session:
        if not await pending_flows.lock(session, running):
            return failure(request, "expired_interaction", 400)
        user = await session.get(User, running.user_id)
        assert user is not None
        if attempt is None:
            return await _wait(request, session, running, user)
        if not fields.get("credential") and not await _is_second(session, provider, running, user, fields):
            return await _page(request, running, WRONG_PROOF, 400)
        running.data["stage"] = "password"
        await pending_flows.keep(session, provider.box, running)
    await attempt.succeeded()
    return _to(request, running)


async def _is_passkey(request: Request, running: RunningFlow, fields: dict[str, str]) -> bool:
    """Tell whether the passkey that was sent is right, or none was sent. In a transaction of its own, because its
    challenge is used up before the pending flow is locked, by the order of locks."""
    provider, credential = site_of(request).provider, fields.get("credential", "")[:20_000]
    if not credential:
        return True
    try:
        async with provider.db.write() as session:
            await provider.passkeys.check(session, browser_of(request), credential, running.user_id)
    except PasskeyRefused:
        return False
    return True


async def _is_second(
    session: AsyncSession, provider: Provider, running: RunningFlow, user: User, fields: dict[str, str]
) -> bool:
    typed = fields.get("code", "").strip()[:100]
    known = await users.credentials_of(session, user.id)
    app = next((one for one in known if one.kind == "totp"), None)
    if app is not None and await factors.check_totp(session, provider.box, app, typed):
        return True
    held = await _is_held(session, provider, running)
    helpdesk = await _code_of_helpdesk(session, provider, typed, user.id) if typed and not held else None
    if helpdesk is not None and await recovery.take(session, helpdesk):
        running.data["drop"] = True
        return True
    return await factors.use_recovery_code(session, user.id, typed)


async def _wait(request: Request, session: AsyncSession, running: RunningFlow, user: User) -> Response:
    """Let the recovery wait, and tell the owner, who can stop it."""
    provider = site_of(request).provider
    await pending_flows.finish(session, running)
    token, wait = link_token(), provider.settings.recovery_delay
    valid = timedelta(hours=recovery.READY_HOURS)
    made = await recovery.add(
        session, user.id, "delayed", token, wait=wait, valid=valid, client_id=running.data.get("client_id") or None
    )
    ready = made.ready_at.isoformat()
    await tell_everywhere(session, provider, user, "recovery_waits", ready=ready, token=token)
    who, address = str(user.id), kept_address_of(request)
    record(session, "recovery.delayed", subject=who, address=address, request_id=request_id_of(request))
    site_of(request).worker.nudge()
    client = provider.registry.get(made.client_id) if made.client_id else None
    return page(request, "recover_waits.html", here=HERE, ready=made.ready_at, client=client)


async def _set_password(request: Request, running: RunningFlow, fields: dict[str, str]) -> Response:
    site, provider = site_of(request), site_of(request).provider
    async with provider.db.read() as session:
        user = await session.get(User, running.user_id)
        known = await users.identifiers_of(session, user.id) if user else []
        credentials = await users.credentials_of(session, user.id) if user else []
    if user is None or user.disabled_at is not None:
        return failure(request, "expired_interaction", 400)
    drop = bool(running.data["drop"])
    second = not drop and _has_second(credentials)
    password = fields.get("password", "")
    try:
        about = [user.name, *(one.value for one in known)]
        await site.passwords.judge(password, about, second_factor=second, source=source_of(request))
        hashed = await site.passwords.hash(password, source=source_of(request))
    except WeakPassword as error:
        return await _page(request, running, WEAK[error.code], 400, minimum=error.minimum)
    except Busy as error:
        return to_wait(await _page(request, running, BUSY, 503), error.retry_after)
    long = len(password) >= site.settings.password_min_length
    async with provider.db.write() as session:
        found = await users.lock_user(session, user.id)
        gone = running.data.get("contact_proven") and not await _is_still_theirs(session, running)
        if found is None or gone or not await pending_flows.finish(session, running):
            return failure(request, "expired_interaction", 400)
        await recover(
            session,
            provider,
            found,
            hashed,
            long=long,
            drop_factors=drop,
            request_id=request_id_of(request),
        )
    await site.limits.clear(str(user.id))
    site.worker.nudge()
    onward, _, client = await find_onward(request, stored_onward(running.data))
    target = sign_in_address(onward, client)
    return page(
        request,
        "recover_done.html",
        here=target,
        client=client,
        target=target,
        back=way_back(client, signing_in=True),
        user_code=onward.user_code,
    )


def _has_second(credentials: list[Credential]) -> bool:
    return any(one.kind in STRONG for one in credentials)


async def _recall(request: Request, token: str) -> RunningFlow | None:
    provider = site_of(request).provider
    async with provider.db.read() as session:
        return await pending_flows.recall(session, provider.box, "recover", token, read_cookie(request, "browser"))


def _to(request: Request, running: RunningFlow) -> Response:
    made = RedirectResponse(f"{HERE}?{urlencode({'c': running.token})}", 303, {"Cache-Control": "no-store"})
    return with_browser(request, made)


async def _begin_page(
    request: Request, fields: dict[str, str], problem: str = "", status: int = 200, **values: int
) -> Response:
    settings = site_of(request).settings
    onward, asked, client = await find_onward(request, read_onward(fields))
    return page(
        request,
        "recover.html",
        status=status,
        ui_locales=asked.ui_locales if asked else "",
        here=onward.address(HERE),
        display=asked.display if asked else "page",
        client=client,
        onward=onward.fields,
        sign_in_at=sign_in_address(onward, client),
        username=fields.get("username", "")[:254],
        available=settings.can_send("email") or settings.can_send("phone"),
        problem=problem,
        values=values,
        csrf_token=csrf_token(request, "recover"),
    )


async def _page(
    request: Request,
    running: RunningFlow,
    problem: str = "",
    status: int = 200,
    *,
    sent_again: bool = False,
    **values: int,
) -> Response:
    site, data, stage = site_of(request), running.data, running.data["stage"]
    has: set[str] = set()
    if stage != "code" and running.user_id is not None:
        async with site.provider.db.read() as session:
            has = {one.kind for one in await users.credentials_of(session, running.user_id)}
    second = stage == "password" and not data["drop"] and bool(has & STRONG)
    settings = site.settings
    _, asked, client = await find_onward(request, stored_onward(data))
    return page(
        request,
        {"code": "recover_code.html", "second": "recover_second.html"}.get(stage, "recover_password.html"),
        status=status,
        ui_locales=asked.ui_locales if asked else "",
        here=f"{HERE}?{urlencode({'c': running.token})}",
        display=asked.display if asked else "page",
        client=client,
        c=running.token,
        typed=data.get("typed", ""),
        shown=masked(likely_kind(data.get("typed", "")), data.get("typed", "")),
        minutes=whole_minutes(settings.one_time_code_lifetime),
        hours=whole_hours(settings.recovery_delay),
        minimum=settings.password_min_length_with_second_factor if second else settings.password_min_length,
        has=has,
        problem=problem,
        sent_again=sent_again,
        values=values,
        passkey=site.provider.passkeys.request_options(browser_of(request)) if "passkey" in has else "",
        csrf_token=csrf_token(request, f"recover {running.token}"),
    )


def likely_kind(typed: str) -> str:
    """Return the kind of what was typed, that of a contact before that of a user name; or nothing."""
    found = sorted(meanings(typed), key=lambda one: one.kind == "username")
    return found[0].kind if found else ""
