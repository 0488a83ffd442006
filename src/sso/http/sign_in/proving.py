"""Checking what somebody typed to sign in: who it may be, whether the password is right, and what is still needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.http.common.cookies import read_cookie, set_cookie
from sso.http.common.state import Site, address_of, site_of, source_of
from sso.identity.authn import factors
from sso.identity.authn.assurance import ACR_PASSWORD
from sso.identity.authn.authenticated import Authenticated, by_password, is_password
from sso.identity.authn.passwords import Busy
from sso.identity.authn.second_factor_policy import Reason, Situation, second_step
from sso.identity.sessions import store as sessions
from sso.identity.sessions.service import Place
from sso.identity.sessions.store import SigningIn
from sso.identity.test_users import MARK
from sso.identity.users import store as users
from sso.identity.users.identifiers import can_be_verified, counted_as, meanings, receives_codes
from sso.identity.users.models import Credential, User
from sso.platform.security.rate_limits import Purpose, Reservation, TooManyFailures
from sso.platform.security.tokens import random_token, token_hash
from sso.settings import Settings
from sso.ssf import events as signals
from sso.ssf.events import CredentialChange

DEVICE_COOKIE_SECONDS = 365 * 86400
MAX_MEANINGS = 2
"""How many accounts one text can mean: one by the user name, and one by what else the text is."""
SETTLED = timedelta(days=1)
"""How old a password must be for its right use to be no guess at another account."""


class WrongCredentials(Exception):
    """The identifier, the password or both are wrong, or the account is disabled: one answer for all of them.

    ``user_ids`` are the accounts that were tried. ``several``: what was typed can mean several things, whether or not
    anybody has one of them.
    """

    def __init__(self, user_ids: Sequence[UUID] = (), *, several: bool = False) -> None:
        super().__init__("wrong identifier or password")
        self.user_ids = list(user_ids)
        self.several = several


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

    What was typed can mean several accounts: the user name of one is the telephone number or the NIK of another. The
    password is compared with each, and must be right for exactly one (docs/decisions/0041).

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
    lookups = [one.lookup(provider.nik_key) for one in meanings(name)]
    device, country = read_cookie(request, "device"), provider.countries.of(address)
    people: list[SigningIn] = []
    if lookups:
        async with provider.db.read() as session:
            known_by = token_hash(device) if device else None
            people = (await sessions.signing_in(session, lookups, known_by, country, now))[:MAX_MEANINGS]
    tries = await _places(site, people, counted_as(name, provider.nik_key), address, device)
    right = await _verified(request, tries, password, minimum=min(len(lookups), MAX_MEANINGS))
    if len(right) != 1:
        tried = [one.found.user.id for one in tries if one.found is not None]
        raise WrongCredentials(tried, several=len(lookups) > 1)
    chosen = right[0]
    found, credential = chosen.found, chosen.credential
    assert found is not None
    assert credential is not None
    await chosen.attempt.succeeded()
    if credential.updated_at < now - SETTLED:
        for one in tries:
            if one is not chosen:
                await one.attempt.give_back()
    if chosen.stronger:
        async with provider.db.write() as session:
            await users.upgrade_password_hash(session, credential.id, chosen.stronger, now)
    step = second_step(
        situation_of(found, country), wanted, site.settings.second_factor_roles, site.settings.risk_based_second_factor
    )
    unproven = not found.verified and found.identifier_kind in ("email", "phone")
    is_new = found.seen_before and not found.known
    return Proven(by_password(found.user), step, is_new, found.lookup if unproven else "")


@dataclass(slots=True)
class _Try:
    """One account that was meant, or nobody, with the place that was taken for it."""

    found: SigningIn | None
    attempt: Reservation
    stronger: str | None = None

    @property
    def credential(self) -> Credential | None:
        """The password to compare with."""
        return self.found.password if self.found is not None else None


async def _places(site: Site, people: Sequence[SigningIn], nobody: str, address: str, device: str) -> list[_Try]:
    """Take a place at every account that was meant. An account counts whichever of its identifiers was typed; an
    identifier of nobody counts in the same way. An account without a free place is not tried, which keeps nobody from
    another one: who guesses at one account does not shut out the other.

    Raises:
        TooManyFailures: when no account has a place.
    """
    tries: list[_Try] = []
    refused, with_source = None, True
    everybody: Sequence[SigningIn | None] = people or [None]
    for found in everybody:
        account = str(found.user.id) if found is not None else f"nobody {nobody}"
        own = device if found is not None and found.known else ""
        try:
            attempt = await site.limits.reserve(Purpose.PASSWORD, account, address, own, with_source=with_source)
        except TooManyFailures as error:
            refused = error
            continue
        with_source = with_source and bool(own)
        tries.append(_Try(found, attempt))
    if refused is not None and not tries:
        raise refused
    return tries


async def _verified(request: Request, tries: Sequence[_Try], password: str, *, minimum: int) -> list[_Try]:
    """Return the tries for which the password is right. When it is wrong, ``least`` hashes are computed, which depends
    only on what was typed, so that time does not tell how many accounts it means.

    Raises:
        Busy: when too many passwords are waiting. What was tried stays counted.
    """
    site, source, right = site_of(request), source_of(request), []
    for number, one in enumerate(tries):
        found = one.found
        user = found.user if found is not None and _may_be_used(found, site.settings) else None
        user = user if user is None or not user.preferences.get(MARK) else None
        try:
            is_right, one.stronger = await is_password(site.passwords, user, one.credential, password, source=source)
        except Busy:
            for left in tries[number:]:
                await left.attempt.give_back()
            raise
        if is_right:
            right.append(one)
    if not right:
        for _ in range(minimum - len(tries)):
            await is_password(site.passwords, None, None, password, source=source)
    return right


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
    if trust and site.settings.trusted_device_lifetime:
        return replace(place, trusted_until=clock.now() + site.settings.trusted_device_lifetime)
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


def _may_be_used(found: SigningIn, settings: Settings) -> bool:
    """Tell whether what was typed opens an account: a user name, and whatever else was proven; or a contact that can be
    proven on the way."""
    if found.verified or found.identifier_kind == "username":
        return True
    kind, value = found.identifier_kind, found.lookup
    return settings.can_send(kind) and receives_codes(kind, value) and can_be_verified(kind, value)


async def first_codes(
    session: AsyncSession, known: Sequence[Credential], user: User
) -> tuple[list[str], list[CredentialChange]]:
    """Give a person recovery codes who sets up a second step and has none yet; return them, and what changed."""
    if any(one.kind == "recovery_code" for one in known):
        return [], []
    return await factors.new_recovery_codes(session, user.id), [signals.replaced(known, "recovery_code")]
