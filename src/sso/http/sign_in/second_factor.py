"""The second step of signing in: a code of an app, a recovery code, a code by mail or SMS, or a passkey; and, where
somebody must have one and has none, setting up an app. Also signing in by a passkey alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.notifications import notify
from sso.accounts.service import cancel_deletion, verify_contact
from sso.http.common import qr
from sso.http.common.cookies import browser_of, read_cookie
from sso.http.common.csrf import csrf_token, has_valid_csrf_token
from sso.http.common.forms import form_fields
from sso.http.common.i18n import N_
from sso.http.common.onward import Onward
from sso.http.common.pages import failure, page
from sso.http.common.responses import to_wait
from sso.http.common.state import address_of, kept_address_of, request_id_of, site_of
from sso.http.sign_in.authorize import (
    STALE,
    Waiting,
    recall_waiting,
    sign_in_alone,
    sign_in_later,
    signed_in,
    who_is_here,
)
from sso.http.sign_in.proving import first_codes, is_new_device, reserve
from sso.http.sign_in.steps import (
    HERE,
    UNVERIFIED,
    Means,
    Options,
    begin_step,
    may_send,
    means_of,
    proof_so_far,
    reaches,
    send_step_code,
)
from sso.identity.authn import factors, pending_flows
from sso.identity.authn.assurance import ACR_CODE, ACR_PASSKEY
from sso.identity.authn.authenticated import AMR_PASSKEY, Authenticated, with_step
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.authn.second_factor_policy import Method
from sso.identity.users import store as users
from sso.identity.users.identifiers import masked
from sso.identity.users.models import Identifier, User
from sso.platform.audit import record
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.settings import whole_days, whole_minutes
from sso.ssf import events as signals

router = APIRouter()

WRONG_CODE = N_("This code is not right, or not right any more. Check it, and type the newest.")
TOO_MANY = N_("There were too many wrong codes. Sign in again from the beginning.")
NOT_SENT = N_("We cannot send another code just now. Look for the last one, or try again in a minute.")
WRONG_PASSKEY = N_("This passkey did not work. Try again, or sign in with your password.")
WAIT = N_("There were too many wrong codes. Please try again in %(minutes)d minutes, or use another way.")
SENT = N_("We have sent a new code.")
CODES = "codes"
"""The reason of a step in which nothing is proven: recovery codes are shown."""
RESTART_SECONDS = 30
"""After how long somebody may begin again whose step is over."""
PURPOSES: dict[str, Purpose] = {
    "passkey": Purpose.STEP_PASSKEY,
    "totp": Purpose.TOTP,
    "recovery_code": Purpose.RECOVERY_CODE,
    "email": Purpose.MESSAGE_CODE,
    "phone": Purpose.MESSAGE_CODE,
}
"""Under which purpose each way is counted."""
REASONS = {
    "asked": N_("The application asks for a second step."),
    "wished": N_("The application asks for a second step."),
    "own": N_("One more step, so that nobody else can sign in as you."),
    "role": N_("Your role needs a second step."),
    "risk": N_("We do not know this device. Show once that it is you."),
    "unverified": N_("Show that this address or number is yours."),
}
TITLES: dict[str, str] = {
    "passkey": N_("Passkey"),
    "totp": N_("Code of your authenticator app"),
    "recovery_code": N_("Recovery code"),
    "email": N_("Code by mail"),
    "phone": N_("Code by SMS"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A second step that is under way. ``enrol``: an app is set up, because there is no way to take it."""

    running: RunningFlow
    means: Means
    waiting: Waiting | None
    level: str
    method: Method | None

    @property
    def enrol(self) -> bool:
        return not self.means.methods

    @property
    def verifies(self) -> bool:
        """Whether it verifies the contact that was typed, and is no second factor."""
        return bool(self.running.data["reason"] == UNVERIFIED)

    @property
    def shows_codes(self) -> bool:
        """Whether everything is proven, and recovery codes were shown: the person confirms that they kept them."""
        return bool(self.running.data["reason"] == CODES)

    @property
    def may_trust(self) -> bool:
        """Whether the browser can be trusted because of it: a second factor was due, and no application asked."""
        return self.running.data["reason"] in ("own", "role", "risk")

    @property
    def options(self) -> Options:
        return Options(**self.running.data["options"])


@router.get(HERE)
async def second_step_page(request: Request) -> Response:
    """The page of a second step."""
    step = await _recall(request, request.query_params.get("c", ""), request.query_params.get("m", ""))
    return _page(request, step) if step is not None else failure(request, "expired_interaction", 400)


@router.post(HERE)
async def second_step(request: Request) -> Response:
    """Check the second step, start the session, and go on."""
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    step = await _recall(request, fields.get("c", ""), fields.get("m", ""))
    if step is None:
        return failure(request, "expired_interaction", 400)
    if not has_valid_csrf_token(request, fields, f"step {step.running.token}"):
        return _page(request, step, STALE, 400)
    if fields.get("choice") == "resend":
        return await _resend(request, step)
    if step.running.data["reason"] == "deletion":
        return await _decide_deletion(request, step, fields)
    if step.shows_codes:
        if fields.get("choice") != "kept":
            return _page(request, step)
        return await _go_on(request, step, proof_so_far(step.running, step.means.user), trust=False)
    return await _prove(request, step, fields)


async def _prove(request: Request, step: Step, fields: dict[str, str]) -> Response:
    """Check what was typed, or the passkey, within the limits."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        if not await pending_flows.count_attempt(session, step.running):
            return to_wait(_page(request, step, TOO_MANY, 429), RESTART_SECONDS)
    purpose = Purpose.NEW_TOTP if step.enrol else PURPOSES[step.method or ""]
    try:
        attempt = await reserve(request, purpose, step.means.user.id)
    except TooManyFailures as error:
        provider.usage.count("sign_in_failed", label="too_many")
        return to_wait(_page(request, step, WAIT, 429, minutes=error.minutes), error.retry_after)
    try:
        async with provider.db.write() as session:
            proof = await _check(request, session, step, fields) if await _may_change(session, step) else None
            codes = await _first_codes(request, session, step) if proof is not None and step.enrol else []
    except IntegrityError:  # somebody else verified the contact at the same moment
        proof, codes = None, []
    if proof is not None:
        await attempt.succeeded()
    if proof is None:
        await _record_failure(request, step)
        site_of(request).provider.usage.count("sign_in_failed", label=step.method or "")
        return _page(request, step, WRONG_PASSKEY if step.method == "passkey" else WRONG_CODE, 400)
    if codes:
        return await _show_codes(request, step, proof, codes)
    return await _go_on(request, step, proof, trust=fields.get("trust") == "1")


@router.post("/login/passkey")
async def sign_in_by_passkey(request: Request) -> Response:
    """Sign in by a passkey alone: it is something that the person has, and they were recognised by it."""
    fields = await form_fields(request)
    request.scope["sso.lang"] = fields.get("lang", "")
    if not read_cookie(request, "browser"):
        return failure(request, "no_cookies", 400)
    waiting, before = None, None
    if fields.get("i"):
        waiting, before = await recall_waiting(request, fields["i"])
    else:
        before = await who_is_here(request, fields)
    if not has_valid_csrf_token(request, fields, "login"):
        return sign_in_alone(request, waiting, before, fields, STALE, 400)
    site, address = site_of(request), address_of(request)
    try:
        attempt = await site.limits.reserve(Purpose.PASSKEY, "", address)
        async with site.provider.db.write() as session:
            user, _, _ = await site.provider.passkeys.check(
                session, browser_of(request), fields.get("credential", "")[:20_000]
            )
    except TooManyFailures as error:
        return sign_in_later(request, waiting, before, fields, error)
    except PasskeyRefused as error:
        async with site.provider.db.write() as session:
            about = {"method": "passkey", "why": str(error)[:200]}
            address_kept, reference = kept_address_of(request), request_id_of(request)
            record(
                session,
                "sign_in.failed",
                outcome="failure",
                address=address_kept,
                request_id=reference,
                data=about,
            )
        return sign_in_alone(request, waiting, before, fields, WRONG_PASSKEY, 400)
    await attempt.succeeded()
    await site.limits.proven(str(user.id))
    options = Options(
        i=fields.get("i", ""),
        remember=fields.get("remember") == "1",
        add=fields.get("add") == "1",
        then=str(request.scope.get("sso.then", "")),
        user_code=str(request.scope.get("sso.user_code", "")),
        is_new=await is_new_device(request, user),
    )
    proof = Authenticated(user, ACR_PASSKEY, list(AMR_PASSKEY))
    return await signed_in(request, waiting, before, proof, options)


async def _recall(request: Request, token: str, method: str) -> Step | None:
    provider = site_of(request).provider
    async with provider.db.read() as session:
        running = await pending_flows.recall(session, provider.box, "sign_in", token, read_cookie(request, "browser"))
        if running is None or running.user_id is None:
            return None
        level = running.data["level"]
        verifies = running.data["reason"] == UNVERIFIED
        means = await means_of(session, provider, running.user_id, level, running.data["contact"] if verifies else "")
        if means is None or (verifies and not means.methods):
            return None
        if not means.methods and not running.data.get("proven"):
            # Before somebody sets up a first app, they show that a contact is theirs, where there is one.
            code = await means_of(session, provider, running.user_id, ACR_CODE)
            means = code if code is not None and code.methods else means
    waiting = None
    if i := running.data["options"]["i"]:
        waiting, _ = await recall_waiting(request, i)
    chosen = next((one for one in means.methods if one == method), None)
    usual = running.data.get("sent") if running.data.get("sent") in means.methods else None
    return Step(running, means, waiting, level, chosen or usual or next(iter(means.methods), None))


async def _check(request: Request, session: AsyncSession, step: Step, fields: dict[str, str]) -> Authenticated | None:
    """Return what is proven now, or None where the second step is wrong."""
    provider, typed = site_of(request).provider, fields.get("code", "").strip()[:100]
    user, running = step.means.user, step.running
    so_far = proof_so_far(running, user)
    if step.enrol:
        return await _enrol(request, session, step, typed, so_far)
    assert step.method is not None
    if step.method == "passkey":
        try:
            answer = fields.get("credential", "")[:20_000]
            await provider.passkeys.check(session, browser_of(request), answer, user.id)
        except PasskeyRefused:
            return None
    elif step.method == "totp":
        credential = step.means.credential("totp")
        if credential is None or not await factors.check_totp(session, provider.box, credential, typed):
            return None
    elif step.method == "recovery_code":
        if not await factors.use_recovery_code(session, user.id, typed):
            return None
        record(session, "factor.recovery_code_used", actor=str(user.id), subject=str(user.id))
    else:
        contact = step.means.received(running, step.method)
        valid = provider.settings.one_time_code_lifetime
        if contact is None or not pending_flows.is_code(provider.box, running, typed, valid):
            return None
        if step.verifies:
            return so_far if await verify_contact(session, provider, user, contact) else None
    return with_step(so_far, step.method)


async def _may_change(session: AsyncSession, step: Step) -> bool:
    """Tell whether a step that changes what opens the account may do so: nobody does whose proof is over, because the
    account was recovered or its password changed meanwhile."""
    if not step.enrol and not step.verifies:
        return True
    await users.lock_user(session, step.means.user.id)
    return await pending_flows.lock(session, step.running)


async def _enrol(
    request: Request, session: AsyncSession, step: Step, typed: str, so_far: Authenticated
) -> Authenticated | None:
    """Set up the app whose code was typed."""
    provider, user = site_of(request).provider, step.means.user
    if step.level == ACR_PASSKEY:
        return None
    used = factors.totp_step(step.running.data["seed"], typed)
    if used is None:
        return None
    changes = [signals.replaced(await users.credentials_of(session, user.id), "totp")]
    await factors.add_totp(session, provider.box, user.id, step.running.data["seed"], used)
    record(session, "factor.added", actor=str(user.id), subject=str(user.id), data={"kind": "totp"})
    notify(session, provider, user, "factor_added", what="TOTP")
    await signals.credentials_changed(session, provider, user.id, changes, "user")
    return with_step(so_far, "totp")


async def _first_codes(request: Request, session: AsyncSession, step: Step) -> list[str]:
    """Return the recovery codes of somebody who has just set up their first app; none where they have some already."""
    user, provider = step.means.user, site_of(request).provider
    codes, changes = await first_codes(session, await users.credentials_of(session, user.id), user)
    if changes:
        await signals.credentials_changed(session, provider, user.id, changes, "user")
    return codes


async def _show_codes(request: Request, step: Step, proof: Authenticated, codes: list[str]) -> Response:
    """Show recovery codes, once. The sign-in goes on when the person confirms that they kept them."""
    provider = site_of(request).provider
    step.running.data |= {"acr": proof.acr, "amr": proof.amr, "reason": CODES, "seed": ""}
    step.running.data["auth_time"] = proof.auth_time.isoformat() if proof.auth_time else None
    async with provider.db.write() as session:
        if not await pending_flows.lock(session, step.running):
            return failure(request, "expired_interaction", 400)
        await pending_flows.keep(session, provider.box, step.running)
    site_of(request).worker.nudge()
    return _page(request, step, codes=codes)


async def _go_on(request: Request, step: Step, proof: Authenticated, *, trust: bool) -> Response:
    """Finish the pending flow: start the session, or ask for what is still missing."""
    provider, due = site_of(request).provider, not step.verifies and not step.shows_codes
    if step.method is not None and due and not reaches(step.method, step.level):
        # A code by mail was only the beginning: now an app is set up.
        async with provider.db.write() as session:
            step.running.data["proven"] = True
            await pending_flows.keep(session, provider.box, step.running)
        return RedirectResponse(f"{HERE}?c={step.running.token}", 303)
    contact = "" if step.verifies else step.running.data["contact"]
    trust = (trust and step.may_trust) or bool(step.running.data.get("trust"))
    async with provider.db.write() as session:
        if not await pending_flows.finish(session, step.running):
            return failure(request, "expired_interaction", 400)
    if contact:
        following = await begin_step(request, proof, UNVERIFIED, proof.acr, step.options, contact=contact, trust=trust)
        assert following is not None, "only a precaution can be left out"
        return following
    before = (await recall_waiting(request, step.options.i))[1] if step.options.i else await who_is_here(request, {})
    return await signed_in(request, step.waiting, before, proof, step.options, trust=trust)


async def _decide_deletion(request: Request, step: Step, fields: dict[str, str]) -> Response:
    """Somebody whose account is to be deleted signs in: they keep it, or stay out."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        await users.lock_user(session, step.means.user.id)
        if not await pending_flows.finish(session, step.running):
            return failure(request, "expired_interaction", 400)
        if fields.get("choice") != "keep":
            return page(request, "account_leaving.html", here="/", until=step.means.user.delete_at)
        user = await session.get(User, step.means.user.id)
        assert user is not None
        await cancel_deletion(session, provider, user, actor=str(user.id), request_id=request_id_of(request))
    site_of(request).worker.nudge()
    before = (await recall_waiting(request, step.options.i))[1] if step.options.i else await who_is_here(request, {})
    proof = proof_so_far(step.running, user)
    return await signed_in(request, step.waiting, before, proof, step.options, kept=True)


async def _resend(request: Request, step: Step) -> Response:
    if step.method not in ("email", "phone"):
        return _page(request, step)
    try:
        allowed = await may_send(request, step.means, step.method)
    except TooManyFailures as error:
        return to_wait(_page(request, step, NOT_SENT, 429), error.retry_after)
    sent = False
    if allowed:
        async with site_of(request).provider.db.write() as session:
            sent = await send_step_code(request, session, step.running, step.means, step.method)
    if not sent:
        return to_wait(_page(request, step, NOT_SENT, 429), pending_flows.RESEND_SECONDS)
    return _page(request, step, told=SENT)


async def _record_failure(request: Request, step: Step) -> None:
    user_id = str(step.means.user.id)
    async with site_of(request).provider.db.write() as session:
        record(
            session,
            "sign_in.failed",
            outcome="failure",
            subject=user_id,
            client_id=step.waiting.asked.client.client_id if step.waiting else None,
            address=kept_address_of(request),
            request_id=request_id_of(request),
            data={"method": step.method or "totp"},
        )


def _page(
    request: Request,
    step: Step,
    problem: str = "",
    status: int = 200,
    *,
    told: str = "",
    codes: Sequence[str] = (),
    **values: int,
) -> Response:
    site, running, asked = site_of(request), step.running, step.waiting.asked if step.waiting else None
    about: dict[str, Any] = {
        "status": status,
        "here": f"{HERE}?c={running.token}",
        "ui_locales": asked.ui_locales if asked else "",
        "form_target": asked.redirect_uri if asked else "",
        "display": asked.display if asked else "page",
        "client": asked.client if asked else None,
        "c": running.token,
        "csrf_token": csrf_token(request, f"step {running.token}"),
        "problem": problem,
        "values": values,
        "told": told,
    }
    if running.data["reason"] == "deletion":
        return page(request, "account_keep.html", until=step.means.user.delete_at, **about)
    if step.shows_codes:
        return page(request, "second_step_codes.html", codes=codes, **about)
    contact = step.means.contact(step.method) if step.method in ("email", "phone") else None
    return page(
        request,
        "second_step.html",
        method=step.method,
        reason=REASONS.get(running.data["reason"], ""),
        others=[(one, TITLES[one]) for one in step.means.methods if one != step.method],
        title=TITLES.get(step.method or "", ""),
        contact=_masked(contact),
        sent=running.row.code_hash is not None,
        minutes=whole_minutes(site.settings.one_time_code_lifetime),
        can_trust=whole_days(site.settings.trusted_device_lifetime) if step.may_trust else 0,
        can_recover=step.method in ("totp", "passkey", "recovery_code"),
        recover_at=_onward(step).address("/recover"),
        passkey=site.provider.passkeys.request_options(browser_of(request)) if step.method == "passkey" else "",
        enrol=_enrolment(request, step) if step.enrol else None,
        needs_passkey=step.enrol and step.level == ACR_PASSKEY,
        **about,
    )


def _onward(step: Step) -> Onward:
    """Return where somebody wants to go who takes a second step."""
    options, client = step.options, step.waiting.asked.client.client_id if step.waiting else ""
    return Onward(i=options.i, then=options.then, user_code=options.user_code, client_id=client)


def _masked(contact: Identifier | None) -> str:
    return masked(contact.kind, contact.value) if contact is not None else ""


def _enrolment(request: Request, step: Step) -> dict[str, str]:
    """Return what the page needs to set up an app."""
    settings, seed = site_of(request).settings, step.running.data.get("seed", "")
    uri = factors.totp_uri(settings, seed, step.means.user.name) if seed else ""
    return {"seed": " ".join(seed[at : at + 4] for at in range(0, len(seed), 4)), "qr": qr.as_image(uri), "uri": uri}
