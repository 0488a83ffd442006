"""What protects the own account: password, passkeys, recovery codes, trusted browsers. Changing any of it needs a
sign-in of a moment ago, and sends a notice."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Depends
from pydantic import AfterValidator
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.accounts.flows import FlowRefused, Problem
from sso.accounts.own_account import lock_own_account
from sso.accounts.passwords import change_own_password
from sso.accounts.second_factors import add_passkey, new_codes, remove_credential
from sso.http.account.access import OwnPage, OwnVisit, done
from sso.http.common.csrf import has_valid_csrf_token
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.responses import to_wait
from sso.http.common.services import Limits, PasswordService
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, SentForm, Ticked, first
from sso.http.common.visitor import CurrentVisitor
from sso.http.sign_in.flow_texts import OWN_ACCOUNT_TEXTS, WEAK
from sso.http.sign_in.texts import BUSY, STALE
from sso.identity.authn import factors
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.authn.passwords import Busy, WeakPassword, min_password_length
from sso.identity.authn.second_factor_policy import STRONG
from sso.identity.sessions import store as sessions
from sso.identity.sessions.devices import device_of
from sso.identity.users import store as users
from sso.platform.security.rate_limits import TooManyFailures

router = new_router()

SECURITY = "/account/security"
MAX_CREDENTIAL_CHARS = 20_000
NOT_THE_SAME = N_("The two passwords do not match.")
DONE = {
    "password": N_("Your password is changed. Sessions on other devices were ended."),
    "passkey": N_("The passkey is added."),
    "totp": N_("The authenticator app is enabled."),
    "removed": N_("The sign-in method is removed."),
    "trusted": N_("All trusted browsers are removed."),
}
Here = Annotated[OwnVisit, Depends(OwnPage("security"))]
HereRecently = Annotated[OwnVisit, Depends(OwnPage("security", recent=True))]


def _printable_name(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip()[: factors.MAX_NAME_CHARS]


class SecurityForm(FormModel):
    """A change of what protects the account; the choice says which fields count. ``repeated``: the new password once
    more; None: the form has no such field."""

    choice: ChoiceField = Choice()
    password: str = ""
    new_password: str = ""
    repeated: str | None = None
    credential: Annotated[str, first(MAX_CREDENTIAL_CHARS)] = ""
    name: Annotated[str, AfterValidator(_printable_name)] = ""


class StrengthForm(FormModel):
    """A password while it is typed. ``second``: the account has a second factor."""

    password: Annotated[str, first(256)] = ""
    name: Annotated[str, first(200)] = ""
    second: Ticked = False


Security = Annotated[Sent[SecurityForm], Depends(SentForm(SecurityForm))]
Strength = Annotated[Sent[StrengthForm], Depends(SentForm(StrengthForm))]


@router.get(SECURITY)
async def security_page(here: Here) -> Response:
    """What protects the account."""
    return await _page(here)


@router.post(SECURITY)
async def change_security(here: HereRecently, sent: Security) -> Response:
    """Change what protects the account."""
    if not here.sent_by_us(sent.typed):
        return await _page(here, STALE, 400)
    act, target = sent.form.choice
    if act == "password":
        return await _change_password(here, sent.form)
    if act == "passkey":
        return await _add_passkey(here, sent.form)
    if act == "remove":
        return await _remove(here, target)
    if act == "codes":
        return await _make_codes(here)
    if act == "distrust":
        async with here.services.db.write() as session:
            user = await lock_own_account(session, here.own)
            await sessions.distrust(session, user.id)
        return done(SECURITY, "trusted")
    return await _page(here)


async def _change_password(here: OwnVisit, form: SecurityForm) -> Response:
    new = form.new_password
    if new and form.repeated not in (None, new):
        return await _page(here, NOT_THE_SAME, 400, field="new_password")
    try:
        await change_own_password(here.services, here.visitor, here.own, here.user.name, form.password, new)
    except FlowRefused as error:
        text, status = OWN_ACCOUNT_TEXTS[error.problem]
        return await _page(here, text, status, field="password")
    except WeakPassword as error:
        return await _page(here, WEAK[error.code], 400, field="new_password", minimum=error.minimum)
    except TooManyFailures as error:
        text, status = OWN_ACCOUNT_TEXTS[Problem.TOO_MANY_TRIES]
        return to_wait(await _page(here, text, status, minutes=error.minutes), error.retry_after)
    except Busy as error:
        return to_wait(await _page(here, BUSY, 503), error.retry_after)
    here.services.worker.nudge()
    return done(SECURITY, "password")


async def _add_passkey(here: OwnVisit, form: SecurityForm) -> Response:
    services, browser_id = here.services, here.visitor.browser_id
    name = form.name or _device_name(here) or "Passkey"
    try:
        async with services.db.write() as session:
            codes = await add_passkey(session, services, here.own, browser_id, form.credential, name, here.actor)
    except PasskeyRefused:
        return await _page(here, *OWN_ACCOUNT_TEXTS[Problem.PASSKEY_FAILED])
    here.services.worker.nudge()
    return codes_page(here, codes) if codes else done(SECURITY, "passkey")


async def _remove(here: OwnVisit, credential_id: str) -> Response:
    """Remove a passkey, the app, or the password."""
    services = here.services
    async with services.db.write() as session:
        user = await lock_own_account(session, here.own)
        problem = await remove_credential(session, services.changes, user, credential_id, here.actor)
    if problem is not None:
        text, status = OWN_ACCOUNT_TEXTS[problem]
        return await _page(here, text, status, minimum=here.services.settings.password_min_length)
    here.services.worker.nudge()
    return done(SECURITY, "removed")


async def _make_codes(here: OwnVisit) -> Response:
    services = here.services
    async with services.db.write() as session:
        user = await lock_own_account(session, here.own)
        codes = await new_codes(session, services.changes, user, here.actor)
    here.services.worker.nudge()
    return codes_page(here, codes)


def codes_page(here: OwnVisit, codes: list[str]) -> Response:
    """Return the page that shows new recovery codes, once."""
    return here.page("account_codes.html", codes=codes)


async def _page(here: OwnVisit, problem: str = "", status: int = 200, *, field: str = "", **values: int) -> Response:
    services = here.services
    async with services.db.read() as session:
        known = await users.credentials_of(session, here.user.id)
        trusted = await sessions.trusted_devices(session, here.user.id, clock.now())
    passkeys = [credential for credential in known if credential.kind == "passkey"]
    kinds = {credential.kind for credential in known}
    options = services.passkeys.creation_options(here.user, here.user.name, passkeys, here.visitor.browser_id)
    return here.page(
        "account_security.html",
        status,
        kinds=kinds,
        passkeys=passkeys,
        app=next((credential for credential in known if credential.kind == "totp"), None),
        codes=sum(credential.kind == "recovery_code" for credential in known),
        trusted=[(device, device_of(device.user_agent or "").text) for device in trusted],
        minimum=min_password_length(services.settings, second_factor=bool(kinds & STRONG)),
        passkey=options,
        default_name=_device_name(here),
        problem=problem,
        field=field,
        values=values,
        done=DONE.get(here.request.query_params.get("done", ""), ""),
    )


def _device_name(here: OwnVisit) -> str:
    return device_of(here.request.headers.get("user-agent", "")).text


@router.post("/password-strength")
async def password_strength(
    request: Request, visitor: CurrentVisitor, sent: Strength, limits: Limits, passwords: PasswordService
) -> Response:
    """How strong a password is, while it is typed: asked for by a script of ours. Nothing of it is stored or logged."""
    form = sent.form
    if not has_valid_csrf_token(request, sent.typed, "strength"):
        return Response(status_code=403)
    try:
        await limits.strengths.take(visitor.ip_address)
    except TooManyFailures as error:
        return to_wait(Response(status_code=429), error.retry_after)
    try:
        strength = await passwords.strength(
            form.password, [form.name], second_factor=form.second, source=visitor.network
        )
    except Busy as error:
        return to_wait(Response(status_code=503), error.retry_after)
    return Response(
        orjson.dumps({"score": strength.score, "missing": strength.missing}),
        headers={"Cache-Control": "no-store"},
        media_type="application/json",
    )
