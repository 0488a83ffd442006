"""Checking what somebody typed to sign in: who it may be, whether the password is right, and what is still needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.authn.levels import ACR_PASSWORD
from sso.authn.passwords import Busy
from sso.authn.policy import Reason, Situation, second_step
from sso.authn.service import Authenticated, by_password, is_password
from sso.oidc.test_people import MARK
from sso.security.limits import Purpose, Reservation
from sso.security.tokens import random_token, token_hash
from sso.sessions import store as sessions
from sso.sessions.service import Place
from sso.sessions.store import SigningIn
from sso.users import store as users
from sso.users.identifiers import normalise
from sso.users.models import User
from sso.web.http import read_cookie, set_cookie
from sso.web.site import address_of, site_of, source_of

DEVICE_COOKIE_SECONDS = 365 * 86400


class WrongCredentials(Exception):
    """The identifier, the password or both are wrong, or the account is disabled: one answer for all of them."""

    def __init__(self, user_id: object = None) -> None:
        super().__init__("wrong identifier or password")
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class Proven:
    """Somebody whose password was right. ``step`` says why a second step is needed and the level that it must reach;
    ``is_new`` that this browser is new to them, and they are not. ``contact`` is the unverified contact that was typed:
    it must be verified after the second step, and is none."""

    proof: Authenticated
    step: tuple[Reason, str] | None
    is_new: bool
    contact: str = ""


async def prove(request: Request, name: str, password: str, wanted: str = ACR_PASSWORD) -> Proven:
    """Check an identifier and a password. One statement; nothing is held open while the hash is computed.

    Args:
        request: where it was typed.
        name: the identifier.
        password: the password.
        wanted: the level that the application needs.

    Raises:
        WrongCredentials: whatever is wrong.
        TooManyFailures: after too many of them.
        Busy: when too many passwords are waiting.
    """
    site, address, now = site_of(request), address_of(request), clock.now()
    provider = site.provider
    lookup = _lookup(name, provider.nik_key)
    device, country = read_cookie(request, "device"), provider.countries.of(address)
    found: SigningIn | None = None
    if lookup:
        async with provider.db.read() as session:
            found = await sessions.signing_in(session, lookup, token_hash(device) if device else None, country, now)
    own = device if found is not None and found.known else ""
    # The account counts, whichever of its identifiers was typed; an identifier of nobody counts in the same way.
    account = str(found.user.id) if found is not None else f"nobody {lookup or name.casefold()}"
    attempt = await site.limits.reserve(Purpose.PASSWORD, account, address, own)
    user = found.user if found is not None and _may_be_used(found, provider.settings.can_send) else None
    user = user if user is None or not user.preferences.get(MARK) else None
    credential = found.password if found is not None else None
    try:
        right, stronger = await is_password(site.passwords, user, credential, password, source=source_of(request))
    except Busy:
        await attempt.give_back()
        raise
    if not right or found is None or user is None:
        raise WrongCredentials(found.user.id if found else None)
    await attempt.succeeded()
    if stronger and credential is not None:
        async with provider.db.write() as session:
            await users.upgrade_password_hash(session, credential.id, stronger, now)
    step = second_step(
        situation_of(found, country), wanted, site.settings.second_factor_roles, site.settings.risk_second_step
    )
    unproven = not found.verified and found.identifier_kind in ("email", "phone")
    return Proven(by_password(user), step, found.seen_before and not found.known, lookup if unproven else "")


def situation_of(found: SigningIn, country: str | None) -> Situation:
    """Return what is known of a sign-in."""
    return Situation(
        factors=found.factors,
        roles=found.roles,
        trusted=found.trusted,
        known=found.known,
        seen_before=found.seen_before,
        country_known=None if country is None else found.country_known,
    )


def place_of(request: Request, *, trust: bool = False) -> Place:
    """Return where somebody signs in. :func:`with_device` sets the cookie that names the browser."""
    site = site_of(request)
    device = read_cookie(request, "device") or random_token()
    request.scope["sso.device"] = device
    place = Place(token_hash(device), site.provider.countries.of(address_of(request)))
    if trust and site.settings.trusted_device_days:
        return replace(place, trusted_until=clock.now() + timedelta(days=site.settings.trusted_device_days))
    return place


def with_device(request: Request, made: Response) -> Response:
    """Set the cookie by which a browser is known at the next sign-in. It opens nothing."""
    device = request.scope.get("sso.device")
    if device:
        set_cookie(made, site_of(request).settings, "device", device, DEVICE_COOKIE_SECONDS)
    return made


async def is_new_device(request: Request, user: User) -> bool:
    """Tell whether this browser is new to somebody who has signed in before. One statement."""
    device = read_cookie(request, "device")
    async with site_of(request).provider.db.read() as session:
        known, seen_before = await sessions.is_known(session, user.id, token_hash(device))
    return seen_before and not known


async def known_device(request: Request, user_id: UUID | None) -> str:
    """Return the cookie of a browser that a person has used before; nothing where it is new, or nobody is meant. One
    statement in either case."""
    device = read_cookie(request, "device")
    async with site_of(request).provider.db.read() as session:
        known, _ = await sessions.is_known(session, user_id or UUID(int=0), token_hash(device))
    return device if device and known else ""


async def reserve(request: Request, purpose: Purpose, user_id: UUID) -> Reservation:
    """Take a place for one attempt to guess a secret of an account.

    Raises:
        TooManyFailures: when there were too many.
    """
    device = await known_device(request, user_id)
    return await site_of(request).limits.reserve(purpose, str(user_id), address_of(request), device)


def _lookup(name: str, nik_key: bytes) -> str:
    try:
        return normalise(name).lookup(nik_key)
    except ValueError:
        return ""


def _may_be_used(found: SigningIn, can_send: object) -> bool:
    """Tell whether what was typed opens an account: a user name, and whatever else was proven; or a contact that can be
    proven on the way."""
    if found.verified or found.identifier_kind == "username":
        return True
    return found.identifier_kind in ("email", "phone") and callable(can_send) and bool(can_send(found.identifier_kind))
